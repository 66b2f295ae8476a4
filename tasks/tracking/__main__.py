"""``python -m tasks.tracking`` completes MLflow from the files of the workspace in the current folder."""

import logging

from tasks.paths import Paths
from tasks.stage import step


def work() -> None:
    from tasks.tracking.sync import sync

    for result in sync(Paths.here(), None):
        state = "completed" if result.changed else "up to date"
        logging.getLogger("tunesmith").info("%s: %s (MLflow run %s)", result.experiment, state, result.run_id)


step("tracking", work)
