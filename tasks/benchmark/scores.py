"""Scores of tasks with intervals, beside chance and the most frequent answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.benchmark import chance
from tasks.benchmark.aggregates import interval, units
from tasks.benchmark.harness.build import Built
from tasks.benchmark.harness.run_task import Measured, group_of
from tasks.benchmark.params import BenchmarkSettings
from tasks.core.errors import TunesmithError

GUESSERS = 1000


def task_metrics(built: Built, measured: Measured, settings: BenchmarkSettings) -> dict[str, dict[str, Any]]:
    """Metric → ``value`` (lm-eval's own), ``low``, ``high``, ``n``, ``chance``, ``majority`` (None: rows share no
    answers, or one answer for all rows has no score), ``p_chance`` (share of guessers that do at least as well, Davison
    & Hinkley 1997, section 4.2) and ``verdict``: above chance where that share is under ``1 - confidence``.

    Raises:
        TunesmithError: a score is not a number, or lm-eval uses another aggregation than the suite's file.
    """
    guessed = chance.guesses(built, measured.samples)
    return {
        metric: _metric(built, metric, measure, measured, guessed, settings)
        for metric, measure in built.definition.metrics.items()
    }


def _metric(
    built: Built, metric: str, measure: str, measured: Measured, guessed: chance.Guesses, settings: BenchmarkSettings
) -> dict[str, Any]:
    task = built.definition.name
    items = [sample[metric] for sample in measured.samples]
    value = measured.scores[metric]
    if not np.isfinite(value):
        raise TunesmithError(f"{task}: {metric} must be a number; it is {value}; look at the rows in samples.parquet")
    groups = [group_of(built.definition, sample["doc"]) for sample in measured.samples]
    own, low, high = interval(items, measure, settings.intervals, groups)
    if abs(own - value) > 1e-9:
        raise TunesmithError(
            f"{task}: the suite's file must name the aggregation of {metric} that lm-eval uses; lm-eval gives {value}, "
            f"{measure!r} of the rows gives {own}; correct the suite"
        )
    drawn = chance.by_chance(guessed, metric, measure, GUESSERS, settings.seed)
    p_chance = (1 + int((drawn >= value - 1e-12).sum())) / (1 + len(drawn))
    return {
        "value": value,
        "low": low,
        "high": high,
        "n": len(units(items, measure).items),
        "measure": measure,
        "chance": chance.expected(guessed, metric, measure, drawn),
        "majority": chance.frequent_score(guessed, metric, measure),
        "p_chance": p_chance,
        "verdict": chance.ABOVE if p_chance < 1 - settings.intervals.confidence else chance.NOISE,
    }


def verdict(metrics: dict[str, dict[str, Any]]) -> str:
    """Verdict of a task: above chance if each metric is. Always guessing one class can raise accuracy alone."""
    return chance.ABOVE if all(entry["verdict"] == chance.ABOVE for entry in metrics.values()) else chance.NOISE
