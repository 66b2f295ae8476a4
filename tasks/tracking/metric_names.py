"""Names of the metrics of a run: a few plain ones, which the tables of MLflow show, and the others under a prefix.

The chart view of MLflow makes a section of each prefix: ``test/``, ``retention/``, ``validation/``, ``train/``,
``model/``, ``data/`` and ``system/``.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.tracking.legal_names import legal_name

PLAIN = ("validation_loss", "trained_share", "train_seconds")
"""Metrics that keep their plain name, besides the main scores."""

DEFAULT_PRIMARY = "rouge1_f"

_TEXT = ("rouge1_f", "rougeL_f", "bleu")
"""The plain scores of generated text; the primary metric decides whether the task is one of text."""

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "train": ("learning_rate", "grad_norm", "best_step"),
    "validation": ("validation_accuracy", "validation_loss_per_byte"),
    "model": ("trainable_parameters", "total_parameters", "weights_bytes", "base_bytes", "kept_share"),
    "system": (
        *("tokens_per_second", "peak_memory_bytes", "planned_memory_bytes", "measured_memory_bytes"),
        *("evaluation_seconds", "evaluation_rows_per_second"),
    ),
}
_PREFIXED = {name: f"{group}/{name.removeprefix(f'{group}_')}" for group, names in _GROUPS.items() for name in names}


def short(metric: str) -> str:
    """The plain name of a score: ``rouge1`` for ``rouge1_f``."""
    return metric.removesuffix("_f")


def of_curve(name: str) -> str:
    """The name in MLflow of a metric that training logs step by step: ``train/learning_rate`` for ``learning_rate``."""
    return _PREFIXED[name] if name in _PREFIXED else legal_name(name)


def of_fact(name: str) -> str:
    """The name in MLflow of a fact about training, evaluation or the model."""
    return name if name in PLAIN else _PREFIXED[name]


def of_score(metric: str, primary: str) -> list[str]:
    """The names in MLflow of a score of the test report: with its prefix and, if it is a main one, its plain name."""
    if metric in (*PLAIN, *_PREFIXED):
        return [of_fact(metric)]
    return [legal_name(f"test/{metric}"), *([short(metric)] if metric in _main(primary) else [])]


def _main(primary: str) -> tuple[str, ...]:
    return (primary, *_TEXT) if primary.startswith(("rouge", "bleu", "chrf")) else (primary,)


def shows_interval(metric: str, primary: str) -> bool:
    """Whether the plain name of a score comes with ``_low`` and ``_high``."""
    return metric in (primary, DEFAULT_PRIMARY)
