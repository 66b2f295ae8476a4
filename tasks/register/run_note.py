"""Write the decision on a candidate into its MLflow run: as tags, and as a section of the run's description."""

from __future__ import annotations

from mlflow.entities import RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from tasks.register.decisions import Decided
from tasks.register.verdict import WORDS, lines_below
from tasks.tracking.client import Tracker

VERDICT, REASONS, TIME = "tunesmith.gate", "tunesmith.gate_reasons", "tunesmith.gate_time"
DECISIONS = "tunesmith.gate_decisions_on_this_test_set"

_START, _END = "<!-- gate -->", "<!-- end of gate -->"


def note(tracker: Tracker, run_id: str, decided: Decided) -> None:
    """Write ``decided`` into the run; other text in its description stays."""
    described = tracker.client.get_run(run_id).data.tags.get(MLFLOW_RUN_NOTE, "")
    values = {
        VERDICT: decided["verdict"],
        REASONS: "\n".join(decided["reasons"]),
        TIME: decided["decided"],
        DECISIONS: str(decided["decisions_on_this_test_set"]),
        MLFLOW_RUN_NOTE: _with_section(described, decided),
    }
    tracker.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in values.items()])


def _with_section(described: str, decided: Decided) -> str:
    before, _, rest = described.partition(_START)
    after = rest.partition(_END)[2]
    lines = [
        f"**Gate: {WORDS[decided['verdict']]}** ({decided['decided']})",
        "",
        *(f"- {line}" for line in lines_below(decided)),
    ]
    parts = [before.strip(), "\n".join([_START, *lines, "", _END]), after.strip()]
    return "\n\n".join(part for part in parts if part)
