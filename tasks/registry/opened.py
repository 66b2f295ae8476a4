"""Open the registry: one process at a time, with the champion as it is now.

A decision that was interrupted is completed first: in the registry that of any workspace, in the ledger that of this
workspace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tasks.core import files
from tasks.core.paths import Paths
from tasks.gate.params import PRIMARY, RegistrationParams
from tasks.registry.carry_out import finish
from tasks.registry.interrupted import record_interrupted
from tasks.registry.lock import registry_lock
from tasks.registry.registry import Registry
from tasks.registry.result import GateInputs, Result
from tasks.tracking.client import Tracker, open_store, readable_mlflow

DEFAULT_METRIC = "rouge1_f"
"""Metric for comparisons of earlier releases, which name none."""


@contextmanager
def opened(params: RegistrationParams, paths: Paths) -> Iterator[GateInputs]:
    """The inputs of a decision. Nobody else decides on the same registry meanwhile."""
    params = with_metric(params, paths)
    with _locked(params, paths) as (tracker, registry):
        registry.ensure()
        yield _completed(params, paths, tracker, registry)


def complete_interrupted(params: RegistrationParams, paths: Paths) -> Result | None:
    """Finish a decision of any workspace that was interrupted.

    Returns:
        The result of this workspace's decision that was recorded now; None if there is none.
    """
    params = with_metric(params, paths)
    with _locked(params, paths) as (tracker, registry):
        return _completed(params, paths, tracker, registry).completed if registry.exists() else None


def _completed(params: RegistrationParams, paths: Paths, tracker: Tracker, registry: Registry) -> GateInputs:
    finish(registry)
    inputs = GateInputs(params, paths, tracker, registry, registry.champion())
    return replace(inputs, completed=record_interrupted(inputs))


@contextmanager
def _locked(params: RegistrationParams, paths: Paths) -> Iterator[tuple[Tracker, Registry]]:
    paths.state.mkdir(parents=True, exist_ok=True)
    tracker = open_store(paths.root)
    with registry_lock(paths, tracker.uri, params.model_name), readable_mlflow(tracker.uri):
        yield tracker, Registry(tracker, params.model_name, params.alias)


def with_metric(params: RegistrationParams, paths: Paths) -> RegistrationParams:
    """Replace ``primary`` by the score of rows that it stands for."""
    if params.metric != PRIMARY:
        return params
    path = paths.comparison / "comparison.json"
    comparison = files.read_json(path) if path.exists() else {}
    return params.model_copy(update={"metric": comparison.get("metric") or DEFAULT_METRIC})
