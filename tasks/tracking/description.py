"""The description of a run (``mlflow.note.content``), in sections that are replaced one by one.

The comparison and the gate each own a section. Text that a person writes around them stays.
"""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

from tasks.compare.cells import NOTHING, Comparison, change, label, outcome, scale, score

RESULTS, GATE_SECTION = "results", "gate"

_MOST_ROWS = 25
"""Rows of the table in a description, so that it stays below MLflow's limit of 8,000 characters."""


def describe(client: MlflowClient, run_id: str, section: str, lines: list[str]) -> None:
    """Replace ``section`` of the run's description by ``lines``; other text in it stays."""
    described = client.get_run(run_id).data.tags.get(MLFLOW_RUN_NOTE, "")
    text = with_section(described, section, lines)
    if text != described:
        client.set_tag(run_id, MLFLOW_RUN_NOTE, text[:MAX_TAG_VAL_LENGTH])


def with_section(text: str, section: str, lines: list[str]) -> str:
    """``text`` with ``lines`` as its section; a new section of results comes first, another one last."""
    start, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    before, marker, rest = text.partition(start)
    after = rest.partition(end)[2]
    if not marker and section == RESULTS:
        before, after = "", text
    parts = [before.strip(), "\n".join([start, *lines, "", end]), after.strip()]
    return "\n\n".join(part for part in parts if part)


def verdict(entry: dict[str, Any], comparison: Comparison) -> str:
    """What the difference of a system to the baseline shows, such as ``better than base``; empty if none was computed.

    Args:
        entry: of ``systems``.
    """
    cell = outcome(entry, comparison["metric"])
    if cell.value == NOTHING:
        return ""
    joined = {"better": "better than", "worse": "worse than", "same": "the same as"}
    word = cell.value.partition(",")[0]
    text = f"{joined[word]} {comparison['baseline']['name']}" if word in joined else cell.value
    return (
        text + (", unadjusted" if cell.value.endswith("unadjusted") else "") + (cell.interval and f" {cell.interval}")
    )


def sentence(entry: dict[str, Any], comparison: Comparison) -> str:
    """One sentence on a system: its verdict, its score and its difference to the baseline."""
    metric = comparison["metric"]
    value = score(entry, metric, scale(metric))
    shown = verdict(entry, comparison)
    scored = f"{label(metric)} {value}"
    if not shown:
        return f"**{entry['name']}**: {scored}."
    return (
        f"**{entry['name']}: {shown}.** {scored}, which differs from {comparison['baseline']['name']} by "
        f"{change(entry, metric)}."
    )


def table(comparison: Comparison) -> list[str]:
    """The systems with the primary metric, the difference to the baseline and the verdict, the best first."""
    metric, base = comparison["metric"], comparison["baseline"]["name"]
    systems = sorted(
        comparison["systems"], key=lambda entry: -float((entry["metrics"].get(metric) or {}).get("value") or 0.0)
    )
    lines = [f"| experiment | {label(metric)} | difference to {base} | verdict |", "| --- | ---: | ---: | --- |"]
    for entry in systems[:_MOST_ROWS]:
        cells = (score(entry, metric, scale(metric)), change(entry, metric), outcome(entry, metric))
        lines.append(f"| {entry['name']} | {' | '.join(map(str, cells))} |")
    if len(systems) > _MOST_ROWS:
        lines.append(f"\n{len(systems) - _MOST_ROWS} more systems are in the report.")
    return lines


def report_line(comparison: Comparison, attached: bool = False) -> str:
    """Where the full comparison is; ``attached``: whether the report is an artifact of the run."""
    artifact = ", and `comparison/report.html` among the artifacts of this run" if attached else ""
    return f"{comparison['rows']} test rows. `tunesmith report` opens the full report{artifact}."


def results(entry: dict[str, Any], comparison: Comparison) -> list[str]:
    """The section of results of an experiment's run."""
    return [sentence(entry, comparison), "", *table(comparison), "", report_line(comparison)]
