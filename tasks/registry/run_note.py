"""Write the decision on a candidate into its MLflow run: as tags, and as a section of the run's description."""

from __future__ import annotations

import logging

from mlflow.entities import LifecycleStage, RunTag

from tasks.registry.decisions import Decided
from tasks.registry.verdict import WORDS, lines_below
from tasks.tracking.client import Tracker
from tasks.tracking.description import GATE_SECTION, describe
from tasks.tracking.logged_model import find_run
from tasks.tracking.tag_names import GATE

REASONS, TIME = "tunesmith.gate_reasons", "tunesmith.gate_time"
DECISIONS = "tunesmith.gate_decisions_on_this_test_set"

logger = logging.getLogger("tunesmith")


def note(tracker: Tracker, run_id: str, decided: Decided) -> None:
    """Write ``decided`` into the run; other text in its description stays. A deleted run cannot be written."""
    run = find_run(tracker.client, run_id)
    if run is None or run.info.lifecycle_stage == LifecycleStage.DELETED:
        logger.warning("the decision is not written into MLflow's run %s, since that run is deleted", run_id)
        return
    values = {
        GATE: decided["verdict"],
        REASONS: "\n".join(decided["reasons"]),
        TIME: decided["decided"],
        DECISIONS: str(decided["decisions_on_this_test_set"]),
    }
    tracker.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in values.items()])
    lines = [
        f"**Gate: {WORDS[decided['verdict']]}** ({decided['decided']})",
        "",
        *(f"- {line}" for line in lines_below(decided)),
    ]
    describe(tracker.client, run_id, GATE_SECTION, lines)
