"""``python -m tasks.train X`` runs the stage ``train@X``."""

import sys

from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.train.launcher import begin

name = sys.argv[1]


def train(stage: Stage) -> None:
    from tasks.train.run import run  # when the log is set up: bitsandbytes warns as it is imported

    run(name, Paths(stage.root), stage)


begin(name, train)
