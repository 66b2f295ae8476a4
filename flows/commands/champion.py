"""``tunesmith champion``: show the champion and the gate's latest decision, or set the champion by hand."""

from __future__ import annotations

from pathlib import Path

from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.register.params import RegistrationParams


def champion_lines(root: Path) -> list[str]:
    """Lines about the champion and about the gate's latest decision, from the registry."""
    from tasks.register.run import current_champion

    params = _params(root)
    state = current_champion(params, Paths(root))
    champion, promotion, last = state["champion"], state["promotion"], state["last"]
    name = f"models:/{params.model_name}@{params.alias}"
    if champion is None:
        lines = [f"{name}: no champion yet"]
    else:
        lines = [f"{name}: version {champion['version']}, experiment {champion['experiment']}"]
        lines += [f"  {state['description']}"] if state["description"] else []
        if promotion:
            lines.append(f"  since {promotion['decided']}, set by {promotion['by']}")
            lines += [f"    {reason}" for reason in promotion["reasons"]]
        else:
            lines.append(f"  the alias was set in MLflow, not by the gate; the version was made on {state['made']}")
    if last is None:
        return [*lines, "the gate has decided nothing here yet; `tunesmith run` runs it"]
    # Times are whole seconds, so two decisions may share one.
    if promotion and (last["decided"], last["key"]) == (promotion["decided"], promotion["key"]):
        return [*lines, "this was the latest decision"]
    lines.append(f"latest decision ({last['decided']}): {last['summary']}")
    return [*lines, *(f"    {reason}" for reason in last["reasons"])]


def set_by_hand(root: Path, experiment: str, because: str | None) -> None:
    """Make ``experiment`` the champion, for the reason ``because``.

    Raises:
        TunesmithError: no reason is given, or the experiment cannot be the champion.
    """
    from tasks.register.run import set_champion

    if not (because or "").strip():
        raise TunesmithError("champion: --set needs --because TEXT, the reason that is stored with the version")
    with workspace_lock(root, "tunesmith champion --set"):
        set_champion(experiment, str(because).strip(), _params(root), Paths(root))


def _params(root: Path) -> RegistrationParams:
    return load(RegistrationParams, Paths(root).params / "registration.yaml", "registration")
