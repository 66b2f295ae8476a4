"""Carry out what people decide about registered versions, one flow or command at a time."""

from __future__ import annotations

import logging
from pathlib import Path

from flows.events import emit_decision
from flows.person import person_name
from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.registry.verdict import Result

logger = logging.getLogger("tunesmith")

LONGEST_WHY = 1000
"""Most characters of a reason; MLflow's tags hold 5,000."""


def decide_by_hand(root: Path, action: str, target: str | None, why: str, who: str | None = None) -> None:
    """Carry out ``approve``, ``reject``, ``promote`` or ``rollback`` for a person.

    Args:
        target: version or experiment; None for ``rollback``.
        why: the reason, which is stored.
        who: name of the person; None takes that of git or of the system.

    Raises:
        TunesmithError: the reason is empty, or the action is not possible.
    """
    from tasks.register import people
    from tasks.registry.result import Person

    if not why.strip():
        raise TunesmithError(f"{action}: --why must give the reason, which is stored with the version; it is empty")
    if len(why) > LONGEST_WHY:
        raise TunesmithError(f"{action}: --why must have at most {LONGEST_WHY:,} characters; it has {len(why):,}")
    person = Person(who or person_name(root), " ".join(why.split()))
    params, paths = load_registration(root), Paths(root)
    actions = {"approve": people.approve, "reject": people.reject, "promote": people.promote_by_hand}
    with workspace_lock(root, f"tunesmith {action}"):
        interrupted = complete_interrupted(root)
        if interrupted is not None and _is_same(interrupted, action, target, paths):
            logger.info("this command repeats the interrupted one, which is recorded now with its own reason")
            return
        if target is None:
            result = people.rollback(person, params, paths)
        else:
            result = actions[action](target, person, params, paths)
    emit_decision(result)


def challenge_champion(root: Path, target: str) -> None:
    """Let the gate decide on ``target``, a version or an experiment."""
    from tasks.register.people import challenge

    with workspace_lock(root, "tunesmith challenge"):
        complete_interrupted(root)
        result = challenge(target, load_registration(root), Paths(root))
    emit_decision(result)


def complete_interrupted(root: Path) -> Result | None:
    """Complete the decision that a fault or a kill interrupted in this workspace, and emit its events.

    Returns:
        Its result; None if there is none.
    """
    from tasks.registry.opened import complete_interrupted as complete

    result = complete(load_registration(root), Paths(root))
    if result is not None:
        emit_decision(result)
    return result


def finish_interrupted(root: Path, command: str) -> None:
    """As ``complete_interrupted``, for a caller that does not hold the workspace lock."""
    with workspace_lock(root, command):
        complete_interrupted(root)


def _is_same(interrupted: Result, action: str, target: str | None, paths: Paths) -> bool:
    """Whether the command repeats the interrupted one. A second rollback would undo the first."""
    from tasks.registry.keep import is_present

    if interrupted["action"] != action:
        return False
    if target == interrupted["candidate"]:
        return is_present(interrupted, paths)
    number = str(interrupted["version"])
    return target in (None, number, f"models:/{interrupted['model_name']}/{number}")


def load_registration(root: Path) -> RegistrationParams:
    """The section ``registration`` of the workspace."""
    return load(RegistrationParams, Paths(root).params / "registration.yaml", "registration")


def awaiting_version(root: Path, number: int | None = None) -> int | None:
    """The number of the version that awaits approval; None if there is none, or if it is not ``number``."""
    from tasks.register.people import registry_state

    awaiting = registry_state(load_registration(root), Paths(root))["awaiting"]
    if awaiting is None or number not in (None, awaiting["version"]):
        return None
    return int(awaiting["version"])


def commands(number: int) -> str:
    """The commands that decide on the version which awaits approval."""
    return f"`tunesmith approve {number} --why TEXT` or `tunesmith reject {number} --why TEXT`"
