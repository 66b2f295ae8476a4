"""The entry of a step that DVC does not know (``tracking``, ``register``): the logging and the errors of a stage."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from tasks.errors import TunesmithError
from tasks.stage import readable_errors


def main(name: str, work: Callable[[], None]) -> None:
    """Run ``work``, then return; exit with 1 on an error of the user's (one line on stderr), 130 interrupted.

    ``tasks.stage.main`` hashes what ``dvc.yaml`` says of a stage; these have no entry there.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    for noisy in ("dvc", "httpx", "alembic", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with readable_errors():
            work()
    except TunesmithError as error:
        sys.stderr.write("".join(f"{name}: error: {line}\n" for line in str(error).splitlines()))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted; run it again to complete what it left\n")
        sys.exit(130)
