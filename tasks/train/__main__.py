"""``python -m tasks.train X`` runs the stage ``train@X``."""

import sys

from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.train.launcher import start

name = sys.argv[1]


def train(stage: Stage) -> None:
    from tasks.train.run import run  # after the log is set up, since the import of bitsandbytes warns

    run(name, Paths(stage.root), stage)


start(name, train)
