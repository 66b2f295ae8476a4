"""``python -m tasks.evaluate X`` runs the stage ``evaluate@X``."""

import sys

from tasks.core.paths import Paths
from tasks.core.stage import main
from tasks.evaluate.run import run

name = sys.argv[1]
main(f"evaluate@{name}", lambda stage: run(name, Paths.here(), stage))
