"""``python -m tasks.train X`` runs the stage ``train@X``."""

import sys

from tasks.paths import Paths
from tasks.stage import main
from tasks.train.run import run

name = sys.argv[1]
main(f"train@{name}", lambda stage: run(name, Paths.here(), stage))
