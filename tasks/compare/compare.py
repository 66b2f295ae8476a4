"""Compare systems: differences with intervals, the candidate, warnings and sample rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.compare.collect import System
from tasks.compare.pairing import gains
from tasks.compare.params import CompareParams
from tasks.compare.retention_verdicts import retention
from tasks.compare.samples import choose_samples
from tasks.compare.warn import lost, warn
from tasks.core.errors import TunesmithError
from tasks.metrics.statistics import direction, paired_bootstrap, row_averages
from tasks.text.rows import Row

ALWAYS = ("rouge1_f", "rouge2_f", "rougeL_f", "copied_4grams")
"""Metrics whose differences are computed in addition to ``CompareParams.metric``."""

SHOWN_GROUPS = ("wording", "task_seen", "contamination", "wording_spread")
"""Kinds of groups that the comparison shows. Each experiment's ``metrics.json`` has the others too."""


def compare(systems: list[System], params: CompareParams) -> dict[str, Any]:
    """Compare ``systems`` (from ``collect``); the result is the content of ``comparison.json``.

    Its keys: ``baseline`` (name, compared, note), ``candidate`` (name or None), ``systems`` (those compared, in
    order, each with ``metrics``, ``groups``, ``model``, ``differences`` and ``retention``), ``not_compared`` (name,
    kind, method, reason), ``warnings`` (system, kind, message), ``samples``, ``rows``, ``test_sha256`` and the
    parameters.

    Raises:
        TunesmithError: no experiment can be compared.
    """
    compared = [s for s in systems if s.problem is None]
    excluded = [s for s in systems if s.problem is not None]
    experiments = [s for s in compared if s.kind == "experiment"]
    if not experiments:
        reasons = "; ".join(f"{s.name}: {s.problem}" for s in excluded)
        raise TunesmithError(
            f"reports/experiments: a comparison needs an evaluated experiment; {reasons}. "
            "Run `tunesmith run` (or `dvc repro`) to evaluate them"
        )
    baseline = next((s for s in experiments if s.name == params.baseline), None)
    candidate = choose_candidate(experiments)
    described = [describe(s, baseline, candidate, params) for s in compared]
    return {
        "schema": 1,
        **params.model_dump(include={"metric", "resamples", "confidence", "seed"}),
        "test_sha256": experiments[0].test_sha256,
        "rows": len((baseline or experiments[0]).rows),
        "baseline": {
            "name": params.baseline,
            "compared": baseline is not None,
            "note": None if baseline else _without_baseline(systems, params.baseline),
        },
        "candidate": candidate.name if candidate else None,
        "systems": described,
        "not_compared": [{"name": s.name, "kind": s.kind, "method": s.method, "reason": s.problem} for s in excluded],
        "warnings": [*warn(compared, baseline), *lost(described)],
        "samples": choose_samples(compared, baseline, candidate, params.metric, params.samples),
    }


def choose_candidate(experiments: list[System]) -> System | None:
    """The tuned experiment with the lowest validation loss per byte. Test scores do not enter the choice."""
    losses = [(s.value("validation_loss_per_byte"), s) for s in experiments if s.tuned]
    known = [(loss, s) for loss, s in losses if loss is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def describe(
    system: System, baseline: System | None, candidate: System | None, params: CompareParams
) -> dict[str, Any]:
    """Build one entry of ``systems``; ``differences`` is None for the baseline itself, and without a baseline."""
    differences = None
    if baseline is not None and system is not baseline:
        names = sorted({params.metric, *ALWAYS})
        differences = {name: difference(system.rows, baseline.rows, name, params) for name in names}
    return {
        "name": system.name,
        "kind": system.kind,
        "method": system.method,
        "key": system.key,
        "tuned": system.tuned,
        "candidate": system is candidate,
        "metrics": system.metrics,
        "groups": {kind: system.groups[kind] for kind in SHOWN_GROUPS if system.groups.get(kind)},
        "model": system.model,
        "differences": differences,
        "retention": retention(system, baseline, params) if baseline is not None and system.tuned else {},
    }


def difference(ours: list[Row], theirs: list[Row], metric: str, params: CompareParams) -> dict[str, Any] | None:
    """Mean paired difference of ``metric`` (ours minus theirs): value, low, high, rows, real.

    ``real``: there are at least two rows, and the interval excludes zero. None if no pair of rows has the score.
    """
    differences = paired_differences(ours, theirs, metric)
    if not len(differences):
        return None
    value, low, high = paired_bootstrap(differences, params.resamples, params.confidence, params.seed)
    real = len(differences) > 1 and direction(low, high) != 0
    return {"value": value, "low": low, "high": high, "rows": len(differences), "real": real}


def paired_differences(ours: list[Row], theirs: list[Row], metric: str) -> np.ndarray:
    """Differences of ``metric``, one per test row (shape: rows), in the order of ``theirs``.

    Predictions are paired by ``ROW_KEY``; the differences of a row's prompt variants are averaged.
    """
    return row_averages(gains(ours, theirs, metric).items())


def _without_baseline(systems: list[System], name: str) -> str:
    experiment = next((s for s in systems if s.kind == "experiment" and s.name == name), None)
    if experiment:
        return f"Differences were not computed: the baseline experiment {name!r} is {experiment.problem}."
    names = ", ".join(s.name for s in systems if s.kind == "experiment")
    return (
        f"Differences were not computed: no experiment is named {name!r}; there are: {names}. "
        "Name one of them as compare.baseline in params/evaluation.yaml."
    )
