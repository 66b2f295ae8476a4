"""``tunesmith champion``: the champion, the versions beside it, and the latest decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.by_hand import load_registration
from tasks.core.paths import Paths
from tasks.gate.params import AWAITING, CHALLENGER, PREVIOUS


def champion_lines(root: Path) -> list[str]:
    """Lines about the champion, the versions beside it, and the latest decision, from the registry."""
    from tasks.register.people import registry_state
    from tasks.registry.verdict import lines_below

    params = load_registration(root)
    state = registry_state(params, Paths(root))
    champion, promotion, last = state["champion"], state["promotion"], state["last"]
    name = f"models:/{params.model_name}@{params.alias}"
    if champion is None:
        lines = [f"{name}: no champion yet"]
    else:
        mark = f" ({champion['by_hand']['how']})" if champion["by_hand"] else ""
        lines = [f"{name}: version {champion['version']}, experiment {champion['experiment']}{mark}"]
        lines += [f"  {state['description']}"] if state["description"] else []
        if promotion:
            lines.append(f"  since {promotion['decided']}, set by {promotion['by']}")
            lines += [f"    {line}" for line in lines_below(promotion)]
        else:
            lines.append(f"  the alias was set in MLflow, not by the gate; the version was made on {state['made']}")
    lines += _beside(state)
    if last is None:
        return [*lines, "the gate has decided nothing here yet; `tunesmith run` runs it"]
    # Times are whole seconds, so two decisions may share one.
    if promotion and (last["decided"], last["key"]) == (promotion["decided"], promotion["key"]):
        return [*lines, "the latest decision is the one that promoted the champion"]
    lines.append(f"latest decision ({last['decided']}): {last['summary']}")
    return [*lines, *(f"    {line}" for line in lines_below(last))]


def _beside(state: dict[str, Any]) -> list[str]:
    """Lines about the versions with the other aliases."""
    remedies = {
        AWAITING: "`tunesmith approve {0} --why TEXT` or `tunesmith reject {0} --why TEXT`",
        PREVIOUS: "`tunesmith rollback --why TEXT` makes it the champion again",
        CHALLENGER: "`tunesmith challenge {0}` lets the gate decide again",
    }
    lines = []
    for key, alias in (("awaiting", AWAITING), ("previous", PREVIOUS), ("challenger", CHALLENGER)):
        if (version := state[key]) is not None:
            remedy = remedies[alias].format(version["version"])
            lines.append(f"{alias}: version {version['version']}, experiment {version['experiment']}; {remedy}")
    return lines
