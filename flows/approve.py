"""The flow ``approve``: wait for a person's decision on the version that awaits approval, and carry it out.

It waits without the workspace lock, so that no retrain waits behind a person. When the person has decided, it takes the
lock, and the gate decides again against the current champion.
"""

# No `from __future__ import annotations`: Prefect sends the function to another process without the module, which then
# could not resolve a parameter's type that is written as text.

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, Running, State
from pydantic import Field

from flows.by_hand import LONGEST_WHY, awaiting_version, commands, decide_by_hand, finish_interrupted
from flows.crashed import note_flow
from flows.retries import retried
from flows.summary import markdown_decision
from flows.workspace import find_root
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.registry.verdict import last_result

NAME = "approve"
_POLL_S = 5

Hours = Annotated[float, Field(gt=0)]


class Answer(RunInput):
    """The form that a person fills in to resume the flow run."""

    approve: bool = Field(default=False, description="Make this version the champion, if the gate still accepts it.")
    why: str = Field(
        min_length=1,
        max_length=LONGEST_WHY,
        description="The reason; it is stored with the version and in decisions.jsonl.",
    )
    who: str = Field(min_length=1, max_length=200, description="Your name, for the ledger.")


def _name() -> str:
    version = flow_run.parameters.get("version")
    return "approve" if version is None else f"approve version {version}"


@flow(name=NAME, flow_run_name=_name, persist_result=False)
def approve(version: int | None = None, hours: Hours = 72.0) -> State[Any]:
    """Wait for a person to approve or reject the version that awaits approval.

    Args:
        version: the version; by default the one that awaits approval.
        hours: how long to wait. Without a decision by then, the version is rejected.
    """
    logger = get_run_logger()
    try:
        root = find_root()
        note_flow(root, str(flow_run.id))
        number = retried(lambda: awaiting_version(root, version), logger.warning)
        if number is None:
            which = "no version awaits" if version is None else f"version {version} does not await"
            return Completed(message=f"{which} approval")
        create_markdown_artifact(
            key="approval",
            description=f"What the gate decided about version {number}, and how it compares",
            markdown=markdown_decision(root, number),
        )
        logger.info("version %s awaits approval: press Resume on this page, or %s", number, commands(number))
        answer = _answer(hours)
        # A person's answer must outlive a server that is down for a minute.
        summary = retried(lambda: _decided(root, number, *answer), logger.warning)
        return Completed(message=summary or f"version {number} does not await approval any more")
    except TunesmithError as error:
        logger.error(str(error))
        return Failed(message=str(error))


def _answer(hours: float) -> tuple[str, str, str]:
    """``approve`` or ``reject``, the reason, and who decided."""
    seconds = round(timedelta(hours=hours).total_seconds())
    try:
        answer = pause_flow_run(wait_for_input=Answer, timeout=seconds, poll_interval=min(_POLL_S, seconds))
    except FlowPauseTimeout:
        with get_client(sync_client=True) as client:  # Prefect lets a paused run end only as failed
            client.set_flow_run_state(UUID(str(flow_run.id)), Running(), force=True)
        return "reject", f"nobody decided within {hours:g} hours", "the flow approve"
    return "approve" if answer.approve else "reject", answer.why, answer.who


def _decided(root: Path, number: int, action: str, why: str, who: str) -> str | None:
    """Carry out the person's decision, unless the version does not await approval any more.

    Returns:
        The summary of the workspace's latest decision if it is the one on this version, else None.
    """
    if awaiting_version(root, number) is None:
        finish_interrupted(root, f"tunesmith {action}")  # a fault may have stopped the try before this one
    else:
        decide_by_hand(root, action, str(number), why, who)
    result = last_result(Paths(root))
    if result is None or result.get("version") != number or result["verdict"] == "awaiting":
        return None
    return str(result["summary"])
