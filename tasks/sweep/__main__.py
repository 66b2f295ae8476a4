"""``python -m tasks.sweep NAME`` runs the stage ``trial@NAME``."""

import sys

from tasks.core.paths import Paths
from tasks.core.stage import Stage, main

name = sys.argv[1]


def train(stage: Stage) -> None:
    from tasks.sweep.trial import run  # after the log is set up, since the import of bitsandbytes warns

    run(name, Paths(stage.root), stage)


main(f"trial@{name}", train)
