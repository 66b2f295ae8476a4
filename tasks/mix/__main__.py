"""``python -m tasks.mix M`` runs the stage ``mix@M``."""

import sys

from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.mix.params import MixtureParams, load_contamination
from tasks.mix.run import run

name, paths = sys.argv[1], Paths.here()


def work(stage: Stage) -> None:
    file = paths.params / "mixtures.yaml"
    run(name, load(MixtureParams, file, "mixtures", name), load_contamination(file), paths, stage)


main(f"mix@{name}", work)
