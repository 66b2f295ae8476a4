"""``python -m tasks.evaluate X`` runs the stage ``evaluate@X``."""

import sys

from tasks.evaluate.run import run
from tasks.paths import Paths
from tasks.stage import main

name = sys.argv[1]
main(f"evaluate@{name}", lambda stage: run(name, Paths.here(), stage))
