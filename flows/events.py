"""Events of Prefect about models, on which automations act: ``infra/automations.yaml``.

- ``tunesmith.champion.promoted``: another version is the champion.
- ``tunesmith.version.awaits-approval``: the gate accepts a version, and a person must approve it.
- ``tunesmith.champion.drifts``: inputs, scores or outputs of the champion drift.
- ``tunesmith.test-set.worn-out``: the gate decided so often on one test set that a candidate may win by chance.

The resource is ``tunesmith.model.NAME``. The payload has ``title`` and ``message``, texts for people, and numbers.
"""

from __future__ import annotations

from typing import Any

from flows import served
from tasks.register.looks import WORN_OUT
from tasks.register.verdict import Result


def emit_decision(result: Result) -> None:
    """Emit the events of a decision of the gate or of a person."""
    lines = "\n".join([result["summary"], *result["reasons"]])
    facts = {"version": result["version"], "experiment": result["candidate"], "by": result["by"], "why": result["why"]}
    if result["changed"]:
        champion = result["champion"] or {}
        title = f"{champion.get('experiment')} (version {champion.get('version')}) is the champion"
        _emit("champion.promoted", result["model_name"], title, lines, facts)
    elif result["verdict"] == "awaiting":
        title = f"{result['candidate']} (version {result['version']}) awaits approval"
        _emit("version.awaits-approval", result["model_name"], title, lines, facts)
    if (count := result["decisions_on_this_test_set"] or 0) >= WORN_OUT:
        title = f"the test set has decided {count} times"
        _emit("test-set.worn-out", result["model_name"], title, lines, {"decisions": count})


def emit_drift(model_name: str, result: Result) -> None:
    """Emit the event of a champion that drifts; nothing if it does not."""
    if result["drift"]:
        facts = {"version": result["version"], "experiment": result["experiment"], "quantities": result["quantities"]}
        _emit("champion.drifts", model_name, result["summary"], "\n".join(result["lines"]), facts)


def _emit(name: str, model: str, title: str, message: str, facts: dict[str, Any]) -> None:
    """Emit an event, if a Prefect server answers."""
    if served.api_url() is None:
        return
    from prefect.events import emit_event

    emit_event(
        event=f"tunesmith.{name}",
        resource={"prefect.resource.id": f"tunesmith.model.{model}", "prefect.resource.name": model},
        payload={"title": title, "message": message, **facts},
    )
