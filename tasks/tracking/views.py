"""Shared views of MLflow's runs table: which columns it shows, how it sorts, and which runs.

MLflow's default columns show neither a score nor a method. Its page reads another choice from a tag of the experiment,
``mlflow.sharedViewState.KEY``, if the address has ``?viewStateShareKey=KEY`` (MLflow 3.17.2, ``EXPERIMENT_PAGE_VIEW``
of its JavaScript; the value is JSON, compressed or not).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment

from tasks.core.files import canonical_json
from tasks.tracking.metric_names import DEFAULT_PRIMARY, short
from tasks.tracking.tag_names import CANDIDATE, CHAMPION, FLOW, GATE, NAME, VERDICT

_NARROW, _WIDE = 100, 170
"""Widths of columns in pixels: numbers and methods; verdicts and models."""

_TAG = "mlflow.sharedViewState."
MODELS, FLOWS = "models", "flows"
"""Keys of the two views: models, the best first; flows, the latest first."""


def models_view(primary: str) -> dict[str, Any]:
    """The view of models: method, primary metric with its interval, verdict, validation loss, share and seconds."""
    name = short(primary)
    columns = [
        "params.`method`",
        *(f"metrics.`{metric}`" for metric in (name, f"{name}_low", f"{name}_high")),
        f"tags.`{VERDICT}`",
        *(f"metrics.`{metric}`" for metric in ("validation_loss", "trained_share", "train_seconds")),
        "attributes.`Models`",
    ]
    # Trials of a sweep have a parent.
    models = f"tags.`{NAME}` != '' and tags.`mlflow.parentRunId` IS NULL"
    return _view(columns, models, f"metrics.`{name}`")


def flows_view(primary: str) -> dict[str, Any]:
    """The view of flows: candidate, gate, champion, and the candidate's primary metric."""
    columns = [*(f"tags.`{tag}`" for tag in (CANDIDATE, GATE, CHAMPION)), f"metrics.`{short(primary)}`"]
    return _view(columns, f"tags.`{FLOW}` != ''", "attributes.start_time")


def _view(columns: list[str], searched: str, order: str) -> dict[str, Any]:
    widths = {column: _NARROW if column.startswith(("metrics", "params")) else _WIDE for column in columns}
    return {
        "searchFilter": searched,
        "orderByKey": order,
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": widths,
        # The chart view begins with the plain metrics, open; the page adds a section for each prefix behind it.
        "compareRunCharts": [],
        "compareRunSections": [
            {"uuid": "tunesmith", "name": "Model metrics", "display": True, "isReordered": False, "isGenerated": True}
        ],
        "isAccordionReordered": True,
    }


_VIEWS: dict[str, Callable[[str], dict[str, Any]]] = {MODELS: models_view, FLOWS: flows_view}


def ensure_views(client: MlflowClient, experiment: Experiment) -> None:
    """Write the views that the experiment lacks, for the default primary metric."""
    for key, view in _VIEWS.items():
        if f"{_TAG}{key}" not in experiment.tags:
            _write(client, experiment.experiment_id, key, view(DEFAULT_PRIMARY))


def write_views(client: MlflowClient, experiment_id: str, primary: str) -> None:
    """Write the views for the metric ``primary``, unless the experiment has them already."""
    tags = client.get_experiment(experiment_id).tags
    for key, view in _VIEWS.items():
        if tags.get(f"{_TAG}{key}") != canonical_json(view(primary)):
            _write(client, experiment_id, key, view(primary))


def _write(client: MlflowClient, experiment_id: str, key: str, view: dict[str, Any]) -> None:
    client.set_experiment_tag(experiment_id, f"{_TAG}{key}", canonical_json(view))


def runs_page(experiment_id: str, view: str = MODELS) -> str:
    """The path and query of the runs table in a shared view, to be added to MLflow's address.

    Without ``workflowType`` the page's menu is that of agents and prompts.
    """
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={view}&workflowType=machine_learning"


def run_page(experiment_id: str, run_id: str) -> str:
    """The path of the page of a run, to be added to MLflow's address."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}"
