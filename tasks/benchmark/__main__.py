"""``python -m tasks.benchmark X`` runs the stage ``benchmark@X``."""

import sys

from tasks.benchmark.run import run
from tasks.core.paths import Paths
from tasks.core.stage import main

name = sys.argv[1]
main(f"benchmark@{name}", lambda stage: run(name, Paths.here(), stage))
