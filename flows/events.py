"""Emit Prefect events about models; the automations in ``infra/automations.yaml`` act on them.

- ``tunesmith.champion.promoted``: another version is the champion.
- ``tunesmith.version.awaits-approval``: the gate accepts a version, and a person must approve it.
- ``tunesmith.champion.drifts``: inputs, scores or outputs of the champion drift, and did not in the check before.
- ``tunesmith.test-set.worn-out``: the gate decided so often on one test set that a candidate may win by chance.

The resource is ``tunesmith.model.NAME``. The payload has ``title`` and ``message``, texts for people, ``link`` to
the flow run, and numbers.
"""

from __future__ import annotations

from typing import Any

from flows import served
from tasks.gate.looks import WORN_OUT
from tasks.registry.verdict import Result


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
        title = f"the gate has decided {count} times on one test set; draw a new one: tunesmith testset rotate"
        _emit("test-set.worn-out", result["model_name"], title, lines, {"decisions": count})


def emit_drift(model_name: str, result: Result, before: Result | None) -> None:
    """Emit the event of a champion that drifts, unless it drifted in the same quantities in the check ``before``."""
    known = set() if before is None or before["version"] != result["version"] else drifting(before)
    if drifting(result) - known:
        facts = {"version": result["version"], "experiment": result["experiment"], "quantities": result["quantities"]}
        _emit("champion.drifts", model_name, result["summary"], "\n".join(result["lines"]), facts)


def drifting(result: Result) -> set[str]:
    """The quantities that drift."""
    return {name for name, entry in result["quantities"].items() if entry["verdict"] == "drift"}


def _emit(name: str, model: str, title: str, message: str, facts: dict[str, Any]) -> None:
    """Emit an event, if a Prefect server answers."""
    if served.api_url() is None:
        return
    from prefect.events import emit_event
    from prefect.runtime import flow_run
    from prefect.utilities.urls import url_for

    run_id = flow_run.id
    link = (url_for("flow-run", obj_id=run_id) or "") if run_id else ""
    emit_event(
        event=f"tunesmith.{name}",
        resource={"prefect.resource.id": f"tunesmith.model.{model}", "prefect.resource.name": model},
        payload={"title": title, "message": message, "link": link, **facts},
    )
