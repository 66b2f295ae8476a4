"""``python -m tasks.mix M`` runs the stage ``mix@M``."""

import sys

from tasks.mix.params import MixtureParams
from tasks.mix.run import run
from tasks.params import load
from tasks.paths import Paths
from tasks.stage import main

name, paths = sys.argv[1], Paths.here()
main(
    f"mix@{name}",
    lambda stage: run(name, load(MixtureParams, paths.params / "mixtures.yaml", "mixtures", name), paths, stage),
)
