"""Names of the tags by which code finds runs, and of those that MLflow's tables show."""

from __future__ import annotations

KEY, NAME, PROCESS = "tunesmith.key", "tunesmith.experiment", "tunesmith.process"
SYNCED = "tunesmith.synced"
"""Tag of a run that ``sync`` completed: the digest of the files that it shows."""
WEIGHTS = "tunesmith.weights_sha256"
INFERENCE = "tunesmith.inference_sha256"
"""Hash of the settings with which the run's model generates; runs of earlier versions have it as a parameter."""
FLOW = "tunesmith.flow_run_id"
"""Tag of the run of a flow: the id of the flow run."""
VERDICT = "tunesmith.verdict"
"""What the difference to the baseline shows, such as ``better than base``."""
BY_HAND = "tunesmith.promoted_by_hand"
"""Tag of a version that a person made the champion without the gate: who, when and why."""
REJECTED = "tunesmith.rejected"
"""Tag of a version that a person rejected: who, when and why."""
GATE, CANDIDATE, CHAMPION = "tunesmith.gate", "tunesmith.candidate", "tunesmith.champion"
