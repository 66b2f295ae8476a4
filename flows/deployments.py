"""``tunesmith schedule``: the flow ``retrain`` as a deployment of this process."""

from __future__ import annotations

import os
from pathlib import Path

from flows.retrain import retrain
from tasks.errors import TunesmithError

NAME = "retrain"


def serve(root: Path, cron: str, experiments: list[str] | None, register: bool) -> None:
    """Serve ``retrain`` until it is interrupted; its parameters can be changed in the UI's form for each run.

    Raises:
        TunesmithError: the cron line is wrong, or no Prefect server answers.
    """
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise TunesmithError(f'schedule: --cron {cron!r}: {reason}; for example "0 3 * * 1" is Monday at 3') from None
    if "PREFECT_API_URL" not in os.environ:
        raise TunesmithError(
            "schedule: a Prefect server must run, and none does for this workspace; start one with `make ui`, or set "
            "PREFECT_API_URL"
        )
    os.chdir(root)
    retrain.serve(
        name=NAME,
        cron=cron,
        parameters={"experiments": experiments, "register_model": register},
        description="Bring the workspace up to date, complete MLflow, and let the gate decide about a new champion.",
        tags=["tunesmith"],
        pause_on_shutdown=False,
    )
