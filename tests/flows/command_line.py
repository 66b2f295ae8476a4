"""The command line in tests: what it printed, and what the ledger of a workspace holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

Cli = Callable[..., tuple[int, str]]

BUILT = (
    *("models", "runs", "reports", "build", "raw", "rendered", "splits", "mixtures", "evaluation", "demo"),
    *("mlflow.db*", "mlartifacts", ".tunesmith", "checkpoints"),
)
"""Names of all that stages and Tunesmith write in a workspace."""


def one_error(result: tuple[int, str]) -> str:
    code, printed = result
    assert code == 1 and "Traceback" not in printed
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, printed
    return lines[0]


def ledger(root: Path) -> dict[str, object]:
    """Run of an experiment, by name → parameters, metric histories (without MLflow's own ids) and artifact paths."""
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    experiments = "tags.`tunesmith.experiment` != ''"  # runs of flows are in no file, so they are not restored
    runs = client.search_runs([client.get_experiment_by_name("tunesmith").experiment_id], experiments)

    def history(run: Run) -> dict[str, object]:
        points = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        return {name: sorted((p.step, p.timestamp, p.value) for p in entries) for name, entries in points.items()}

    def artifacts(run: Run, folder: str = "") -> list[str]:
        entries = client.list_artifacts(run.info.run_id, folder)
        return [p for e in entries for p in (artifacts(run, e.path) if e.is_dir else [e.path])]

    return {run.info.run_name: (run.data.params, history(run), sorted(artifacts(run)), run.info.status) for run in runs}
