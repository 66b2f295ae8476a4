"""What ``tunesmith doctor`` asks of the services that a workspace uses: one request to each."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from flows.workspace import answers
from tasks.core.errors import TunesmithError

_SECONDS = 1.0
_BUSY_CORES = 0.2


def prefect_server() -> str:
    """Whether the Prefect server answers.

    Raises:
        TunesmithError: ``PREFECT_API_URL`` is set, and no server answers there.
    """
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        return "none runs for this workspace, and PREFECT_API_URL is not set; flows run with a server of their own"
    if not answers(f"{url}/health"):
        raise TunesmithError(
            f"PREFECT_API_URL: the Prefect server at {url} must answer to {url}/health; it does not; start it, correct "
            "the address (it ends in /api) or unset the variable"
        )
    return f"answers at {url}"


def dvc_remote(root: Path) -> str:
    """Whether DVC's default remote answers, with its keys.

    Raises:
        TunesmithError: it is configured, and does not answer.
    """
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            return "none; other clones can get neither data nor results (`dvc remote add --default NAME URL`)"
        url = str(repo.config["remote"][name]["url"])
        try:
            remote = repo.cloud.get_remote(name)
            remote.fs.exists(remote.path)
        except Exception as error:  # each kind of store raises its own
            raise TunesmithError(
                f"DVC's remote {name} at {url} must answer; it does not ({type(error).__name__}: {error}); check the "
                "address in .dvc/config, and the keys in the environment or .env"
            ) from None
    return f"{name} answers at {url}"


def load_beside_us() -> str:
    """How much of the processor other processes use: a training waits for the slowest of its threads."""
    cores = psutil.cpu_count() or 1
    used = psutil.cpu_percent(_SECONDS) / 100 * cores
    if used < _BUSY_CORES:
        return f"idle: other processes use {used:.1f} of {cores} cores"
    return (
        f"other processes use {used:.1f} of {cores} cores; a training waits for the slowest of its threads, so it may "
        "run up to four times slower; stop them, or lower `threads` in params/training.yaml"
    )
