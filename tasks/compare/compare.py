"""Compare systems: differences with intervals, the candidate and warnings."""

from __future__ import annotations

from typing import Any

from tasks.compare.adjusted import differences, judged
from tasks.compare.best import best
from tasks.compare.collect import System
from tasks.compare.difference_names import overall_only
from tasks.compare.labels import labels
from tasks.compare.opponents import opponents_of
from tasks.compare.params import CompareParams
from tasks.compare.per_task import per_task, task_differences, task_metrics
from tasks.compare.primary import are_labels, with_primary_metric
from tasks.compare.retention_verdicts import retention
from tasks.compare.second_opinion import second_opinion
from tasks.compare.seeds import over_seeds
from tasks.compare.sets import Sets, compare_sets
from tasks.compare.warn import lost, warn
from tasks.core.errors import TunesmithError
from tasks.metrics.params import VerdictParams
from tasks.text.rows import group_key

SHOWN_GROUPS = ("wording", "task_seen", "contamination", "wording_spread")
"""Kinds of groups that the comparison shows. Each experiment's ``metrics.json`` has the others too."""


def compare(
    systems: list[System], params: CompareParams, verdicts: VerdictParams, sets: Sets | None = None
) -> dict[str, Any]:
    """Compare ``systems`` (from ``collect``); the result is the content of ``comparison.json``.

    Its keys: ``baseline`` (name, compared, note), ``candidate`` (name or None), ``best`` (of ``best``), ``systems``
    (those compared, in order, each with ``metrics``, ``groups``, ``model``, ``differences``, ``opponents``,
    ``per_task``, ``retention`` and ``second_opinion``), ``labels`` (of ``labels``), ``seeds`` (of ``over_seeds``),
    ``sets`` (of ``compare_sets``), ``not_compared`` (name, kind, method, reason), ``warnings`` (system, kind,
    message), ``rows`` and ``groups`` (their numbers), ``adjusted_for`` (number of differences), ``test_sha256`` and
    the parameters; ``metric`` is the primary one, and ``only_labels`` is of ``are_labels``.

    Raises:
        TunesmithError: no experiment can be compared.
    """
    compared = [s for s in systems if s.problem is None]
    excluded = [s for s in systems if s.problem is not None]
    experiments = _experiments(compared, excluded)
    baseline = next((s for s in experiments if s.name == params.baseline), None)
    candidate = choose_candidate(experiments)
    params = with_primary_metric(params, experiments)
    of_tasks = task_metrics(compared, params.primary)
    overall = [differences(s, baseline, compared, params) for s in compared]
    in_tasks = [task_differences(s, baseline, of_tasks, params) for s in compared]
    apart = judged(
        [None if one is None else {**one, **more} for one, more in zip(overall, in_tasks, strict=True)],
        params,
        verdicts,
    )
    described = [
        describe(s, baseline, candidate, params, verdicts)
        | {"differences": overall_only(entries), "opponents": opponents_of(entries)}
        | {"per_task": per_task(s, of_tasks, entries)}
        for s, entries in zip(compared, apart, strict=True)
    ]
    rows = (baseline or experiments[0]).rows
    return {
        "schema": 1,
        **params.model_dump(include={"metric", "resamples", "confidence", "seed"}),
        "test_sha256": experiments[0].test_sha256,
        "only_labels": are_labels(rows, params.primary),
        "rows": len(rows),
        "groups": len({group_key(row) for row in rows}),
        "verdicts": verdicts.model_dump(),
        "adjusted_for": sum(one is not None for entries in apart for one in (entries or {}).values()),
        "baseline": {
            "name": params.baseline,
            "compared": baseline is not None,
            "note": None if baseline else _without_baseline(systems, params.baseline),
        },
        "candidate": candidate.name if candidate else None,
        "best": best(compared, params.primary, params, verdicts),
        "systems": described,
        "labels": labels(compared),
        "seeds": over_seeds(experiments, baseline, params),
        "sets": compare_sets(sets or {}, compared, params, verdicts),
        "not_compared": [{"name": s.name, "kind": s.kind, "method": s.method, "reason": s.problem} for s in excluded],
        "warnings": [*warn(compared, baseline, params.primary), *lost(described)],
    }


def _experiments(compared: list[System], excluded: list[System]) -> list[System]:
    experiments = [s for s in compared if s.kind == "experiment"]
    if not experiments:
        reasons = "; ".join(f"{s.name}: {s.problem}" for s in excluded)
        raise TunesmithError(
            f"reports/experiments: a comparison needs an evaluated experiment; {reasons}. "
            "Run `tunesmith run` (or `dvc repro`) to evaluate them"
        )
    return experiments


def choose_candidate(experiments: list[System]) -> System | None:
    """The tuned experiment with the lowest validation loss per byte. Test scores do not enter the choice."""
    losses = [(s.value("validation_loss_per_byte"), s) for s in experiments if s.tuned]
    known = [(loss, s) for loss, s in losses if loss is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def describe(
    system: System, baseline: System | None, candidate: System | None, params: CompareParams, verdicts: VerdictParams
) -> dict[str, Any]:
    """Build one entry of ``systems``, without its ``differences``."""
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
        "retention": retention(system, baseline, params, verdicts) if baseline is not None and system.tuned else {},
        "second_opinion": None if baseline is None or system is baseline else second_opinion(system, baseline, params),
    }


def _without_baseline(systems: list[System], name: str) -> str:
    experiment = next((s for s in systems if s.kind == "experiment" and s.name == name), None)
    if experiment:
        return f"Differences were not computed: the baseline experiment {name!r} is {experiment.problem}."
    names = ", ".join(s.name for s in systems if s.kind == "experiment")
    return (
        f"Differences were not computed: no experiment is named {name!r}; there are: {names}. "
        "Name one of them as compare.baseline in params/evaluation.yaml."
    )
