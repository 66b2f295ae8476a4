"""The final metrics of a run, by the names of ``metric_names``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tasks.metrics.names import HIGHER_IS_BETTER
from tasks.tracking.experiment_files import ExperimentFiles
from tasks.tracking.legal_names import legal_name
from tasks.tracking.metric_names import PLAIN, of_fact, of_score, short, shows_interval
from tasks.tracking.task_metrics import task_metrics

TEST, VALIDATION, RETENTION = "test", "validation", "retention"
"""Data sets by which MLflow groups the metrics of a model."""

DIGITS = 4
"""Digits after the point of a score under its plain name, which a column of the runs table shows whole."""

_VALIDATED = ("validation_loss", "validation_loss_per_byte")
_RETAINED = ("loss_per_byte", *(name for name in HIGHER_IS_BETTER if not name.endswith(("_precision", "_recall"))))


class Final(NamedTuple):
    """A final value, and the data set on which a model has it; None if it is not shown on the model's page."""

    value: float
    data: str | None = None


def finals(experiment: ExperimentFiles) -> dict[str, Final]:
    """The metrics of the finished run, under the same names for every experiment; unknown ones are left out.

    Those under plain names are rounded. ``test/``, ``validation/`` and ``metrics.json`` have the exact scores.
    """
    values = dict(_scores(experiment)) | dict(_retained(experiment.scores))
    for name, value in _facts(experiment).items():
        if value is not None:
            values[of_fact(name)] = Final(round(float(value), DIGITS) if name in PLAIN else float(value))
    for name, value in task_metrics(experiment.scores).items():
        if value is not None:
            values[legal_name(name)] = Final(float(value))
    values |= {f"data/{name}": Final(value) for name, value in _counts(experiment).items() if value is not None}
    return values


def earlier(experiment: ExperimentFiles) -> dict[str, float]:
    """The same scores and facts by the names of earlier versions, which gave no name a prefix or a short form."""
    values: dict[str, Any] = {}
    for metric, score in experiment.scores.get("metrics", {}).items():
        values[metric] = score["value"]
        values |= {f"{metric}_{part}": score.get(part) for part in ("low", "high", "unparsed")}
    values |= {f"{metric}_not_scored": rows for metric, rows in experiment.scores.get("not_scored", {}).items()}
    values |= _facts(experiment)
    return {name: float(value) for name, value in values.items() if value is not None}


def _scores(experiment: ExperimentFiles) -> Iterator[tuple[str, Final]]:
    primary = experiment.primary
    for metric, score in experiment.scores.get("metrics", {}).items():
        for name in of_score(metric, primary):
            plain = name == short(metric) or metric in _VALIDATED
            data = (VALIDATION if metric in _VALIDATED else TEST) if plain else None
            parts = {"value": "", "low": "_low", "high": "_high", "unparsed": "_unparsed"}
            if plain and not shows_interval(metric, primary):
                parts = {"value": ""}
            for part, ending in parts.items():
                if score.get(part) is not None:
                    value = float(score[part])
                    yield f"{name}{ending}", Final(round(value, DIGITS) if plain else value, data)


def _retained(scores: Mapping[str, Any]) -> Iterator[tuple[str, Final]]:
    for task, metrics in (scores.get("groups", {}).get("retention") or {}).items():
        for metric in _RETAINED:
            value = (metrics.get(metric) or {}).get("value")
            if value is not None:
                yield legal_name(f"retention/{task.replace('/', '.')} {short(metric)}"), Final(float(value), RETENTION)


def _facts(experiment: ExperimentFiles) -> dict[str, Any]:
    training, manifest = experiment.training, experiment.manifest
    memory = training.get("memory") or {}
    sizes = {
        name: manifest.get(name) for name in ("trainable_parameters", "total_parameters", "weights_bytes", "base_bytes")
    }
    return sizes | {
        "tokens_per_second": training.get("tokens_per_second"),
        "train_seconds": training.get("train_seconds", training.get("seconds")),
        "peak_memory_bytes": training.get("peak_memory_bytes"),
        "planned_memory_bytes": memory.get("planned"),
        "measured_memory_bytes": memory.get("measured"),
        "evaluation_seconds": experiment.evaluation.get("seconds"),
        "evaluation_rows_per_second": experiment.evaluation.get("rows_per_second"),
        "trained_share": _share(sizes["trainable_parameters"], sizes["total_parameters"]),
        "kept_share": _share(sizes["weights_bytes"], sizes["base_bytes"]),
        "best_step": (manifest.get("best") or {}).get("step"),
    }


def _counts(experiment: ExperimentFiles) -> dict[str, Any]:
    """Rows and tokens of the data, without the prefix ``data/``."""
    counts: dict[str, Any] = {"test_rows": experiment.scores.get("rows")}
    for part, contract in (experiment.manifest.get("contract") or {}).items():
        counts |= {f"{part}_{name}": contract.get(name) for name in ("rows", "tokens", "supervised_tokens")}
        counts[f"{part}_dropped_rows"] = sum((contract.get("dropped") or {}).values())
    for metric, rows in experiment.scores.get("not_scored", {}).items():
        counts[f"test_rows_without_{legal_name(metric)}"] = rows
    return counts


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None
