"""The run of a flow: the comparison's metrics and the gate's decision at the end of one ``retrain``.

Runs of experiments outlive flows, since a cached experiment keeps the run that trained it. The run of a flow shows what
was compared at that time, so that two weeks can be told apart.
"""

from __future__ import annotations

from typing import Any

from mlflow.entities import Metric, RunTag
from mlflow.utils.time import get_current_time_millis

from tasks.compare.headline import headline
from tasks.core.files import canonical_json
from tasks.core.paths import Paths
from tasks.tracking.client import Tracker, open_store, readable_mlflow
from tasks.tracking.description import RESULTS, describe, report_line, sentence, table
from tasks.tracking.experiment_files import read_comparison
from tasks.tracking.metric_names import short
from tasks.tracking.processes import this_process
from tasks.tracking.run_metrics import DIGITS
from tasks.tracking.tag_names import CANDIDATE, CHAMPION, FLOW, GATE, PROCESS

_MOST_SENTENCES = 10
"""Sentences about single experiments, so that a description stays below MLflow's limit of 8,000 characters."""


def record_flow(
    paths: Paths, flow_run_id: str, name: str, decided: dict[str, Any] | None, tracker: Tracker | None = None
) -> str | None:
    """Log the present comparison and the gate's decision on it as the run of a flow; return the run's id.

    A second call with the same ``flow_run_id`` completes the same run.

    Args:
        flow_run_id: Prefect's id of the flow run.
        name: name of the flow run.
        decided: the gate's decision on the present comparison; None if it has not decided.

    Returns:
        None if no comparison exists.

    Raises:
        TunesmithError: the store does not answer or refuses a call.
    """
    comparison = read_comparison(paths)
    if not comparison:
        return None
    tracker = tracker or open_store(paths.root)
    with readable_mlflow(tracker.uri):
        run_id = _run_of(tracker, flow_run_id, name)
        tags = {**_tags(comparison, decided or {}), FLOW: flow_run_id}
        tracker.client.log_batch(run_id, tags=[RunTag(tag, value) for tag, value in tags.items()])
        logged = tracker.client.get_run(run_id).data.metrics
        tracker.log_points(run_id, [point for point in _metrics(comparison) if logged.get(point.key) != point.value])
        tracker.client.log_artifacts(run_id, str(paths.comparison), paths.comparison.name)
        _log_cards(paths, comparison, tracker)
        describe(tracker.client, run_id, RESULTS, _lines(comparison, decided))
        tracker.client.set_terminated(run_id, "FINISHED")
    return run_id


def record_drift(
    paths: Paths, flow_run_id: str, name: str, result: dict[str, Any], tracker: Tracker | None = None
) -> str:
    """Log the champion on the present test rows as the run of a flow; return the run's id.

    Args:
        result: of ``tasks.drift.run.run``; the other arguments as in ``record_flow``.

    Raises:
        TunesmithError: the store does not answer or refuses a call.
    """
    tracker, now = tracker or open_store(paths.root), get_current_time_millis()
    values = {
        short(result["metric"]): result["score"],
        "test_rows": result["rows"],
        "new_test_rows": result["new_rows"],
    }
    for quantity, entry in result["quantities"].items():
        values |= {f"drift/{quantity}_before": entry.get("before"), f"drift/{quantity}": entry.get("after")}
    champion = f"{result['experiment']} (version {result['version']})"
    with readable_mlflow(tracker.uri):
        run_id = _run_of(tracker, flow_run_id, name)
        known = {key: round(float(value), DIGITS) for key, value in values.items() if value is not None}
        tracker.client.log_batch(run_id, tags=[RunTag(CHAMPION, champion), RunTag(FLOW, flow_run_id)])
        tracker.log_points(run_id, [Metric(key, value, now, 0) for key, value in known.items()])
        tracker.client.log_dict(run_id, result, paths.drift.name)
        describe(tracker.client, run_id, RESULTS, [result["summary"], "", *(f"- {line}" for line in result["lines"])])
        tracker.client.set_terminated(run_id, "FINISHED")
    return run_id


def _log_cards(paths: Paths, comparison: dict[str, Any], tracker: Tracker) -> None:
    """Log the model card of each compared experiment to the experiment's own run."""
    for entry in comparison["systems"]:
        folder = paths.card(entry["name"])
        run_id = tracker.find(str(entry["key"]), entry["name"]) if folder.is_dir() else None
        if run_id is not None:
            tracker.client.log_artifacts(run_id, str(folder), "card")


def _run_of(tracker: Tracker, flow_run_id: str, name: str) -> str:
    runs = tracker.client.search_runs([tracker.experiment_id], f"tags.`{FLOW}` = '{flow_run_id}'")
    if runs:
        return str(runs[0].info.run_id)
    tags = {FLOW: flow_run_id, PROCESS: canonical_json(this_process())}  # so that the run ends if the process is killed
    run = tracker.client.create_run(tracker.experiment_id, tags=tags, run_name=name)
    return str(run.info.run_id)


def _tags(comparison: dict[str, Any], decided: dict[str, Any]) -> dict[str, str]:
    champion = decided.get("champion") or {}
    values = {
        CANDIDATE: comparison["candidate"],
        GATE: decided.get("verdict"),
        CHAMPION: champion and f"{champion['experiment']} (version {champion['version']})",
    }
    return {name: value for name, value in values.items() if value}


def _metrics(comparison: dict[str, Any]) -> list[Metric]:
    """``METRIC/EXPERIMENT`` of every system, and the candidate's scores under their plain names."""
    now, metric = get_current_time_millis(), comparison["metric"]
    values: dict[str, Any] = {}
    for entry in comparison["systems"]:
        shown = {short(metric): entry["metrics"].get(metric), "difference": (entry["differences"] or {}).get(metric)}
        shown["validation_loss"] = entry["metrics"].get("validation_loss")
        for name, measured in shown.items():
            for part, ending in {"value": "", "low": "_low", "high": "_high"}.items():
                values[f"{name}{ending}/{entry['name']}"] = (measured or {}).get(part)
                if entry["candidate"]:
                    values[f"{name}{ending}"] = (measured or {}).get(part)
    return [Metric(name, round(float(value), DIGITS), now, 0) for name, value in values.items() if value is not None]


def _lines(comparison: dict[str, Any], decided: dict[str, Any] | None) -> list[str]:
    # The headline has the candidate.
    others = [entry for entry in comparison["systems"] if entry.get("tuned") and not entry["candidate"]]
    gate = [f"**Gate:** {decided['summary']}", *(f"- {reason}" for reason in decided["reasons"])] if decided else []
    return [
        *headline(comparison),
        "",
        *(f"- {sentence(entry, comparison)}" for entry in others[:_MOST_SENTENCES]),
        "",
        *(gate or ["**Gate:** no decision on this comparison"]),
        "",
        *table(comparison),
        "",
        report_line(comparison, attached=True),
    ]
