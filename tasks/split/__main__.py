"""``python -m tasks.split S`` runs the stage ``split@S``."""

import sys

from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import main
from tasks.split.params import SplitParams
from tasks.split.run import run

name, paths = sys.argv[1], Paths.here()
main(
    f"split@{name}",
    lambda stage: run(name, load(SplitParams, paths.params / "sources.yaml", "sources", name, "split"), paths, stage),
)
