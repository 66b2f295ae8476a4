"""Warnings about scores: copying, repetition, unfinished outputs, trivial baselines that score as well."""

from __future__ import annotations

from typing import Any

from tasks.compare.cells import label, scale
from tasks.compare.collect import System
from tasks.metrics.statistics import ROUNDING
from tasks.text.rows import row_key

MORE_COPIED = 0.10
"""Share of copied 4-grams by which an experiment may exceed the baseline without a warning."""

MORE_REPEATED = 0.10
"""Share of repeated 3-grams by which an experiment may exceed the baseline without a warning."""

UNFINISHED = 0.20
"""Share of outputs that may reach the length limit without a warning."""


def warn(compared: list[System], baseline: System | None, metric: str) -> list[dict[str, str]]:
    """Warnings about the experiments of ``compared``, in order, each with ``system``, ``kind`` and ``message``.

    ``metric`` is the primary one.
    """
    experiments = [s for s in compared if s.kind == "experiment"]
    trivial = [s for s in compared if s.kind == "baseline"]
    warnings = []
    for system in experiments:
        checks = {
            "copying": _copying(system, baseline),
            "repetition": _repeating(system, baseline),
            "beaten by a trivial baseline": _beaten(system, trivial, metric),
            "unfinished": _unfinished(system),
            "empty": _empty(system),
            "no validation loss": _no_validation_loss(system),
            "unpaired": _unpaired(system, baseline),
        }
        warnings += [{"system": system.name, "kind": kind, "message": text} for kind, text in checks.items() if text]
    return [*_not_scored(experiments), *warnings]


def _not_scored(experiments: list[System]) -> list[dict[str, str]]:
    """One warning about the test rows without ROUGE, which are the same for every system."""
    for system in experiments[:1]:
        rows = sum("rouge1_f" in row and row["rouge1_f"] is None for row in system.rows)
        if rows:
            message = (
                f"{rows} of {len(system.rows)} test rows have no ROUGE, since none of their references has a word. "
                "Means and differences leave them out."
            )
            return [{"system": system.name, "kind": "not scored", "message": message}]
    return []


def lost(described: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Warnings about lost retention tasks; ``described`` are the entries ``systems`` of the comparison."""
    return [
        {"system": entry["name"], "kind": "lost", "message": _lost(entry["name"], task, retention)}
        for entry in described
        for task, retention in entry["retention"].items()
        if retention["verdict"] == "lost"
    ]


def _lost(name: str, task: str, retention: dict[str, Any]) -> str:
    value, low, high = (retention["difference"][key] for key in ("value", "low", "high"))
    return (
        f"{name} lost {task}: {retention['metric']} {retention['before']:.3f} before, {retention['after']:.3f} after, "
        f"{value:+.3f} [{low:+.3f}, {high:+.3f}] on {retention['difference']['rows']} rows."
    )


def _copying(system: System, baseline: System | None) -> str | None:
    shares = _beyond(system, baseline, "copied_4grams", MORE_COPIED)
    if shares is None:
        return None
    return (
        f"{system.name} copies: {shares[0]:.1%} of its 4-grams are copied from the source, and {shares[1]:.1%} of "
        f"{shares[2]}'s. Its ROUGE may come from copying."
    )


def _repeating(system: System, baseline: System | None) -> str | None:
    shares = _beyond(system, baseline, "repetition", MORE_REPEATED)
    if shares is None:
        return None
    return (
        f"{system.name} repeats itself: {shares[0]:.1%} of its 3-grams occur earlier in the output, and "
        f"{shares[1]:.1%} of {shares[2]}'s. Read its outputs among the test rows."
    )


def _beyond(system: System, baseline: System | None, metric: str, most: float) -> tuple[float, float, str] | None:
    """(value, the baseline's value, the baseline's name) if the system exceeds the baseline by more than ``most``."""
    if baseline is None or system is baseline:
        return None
    ours, theirs = system.value(metric), baseline.value(metric)
    if ours is None or theirs is None or ours - theirs <= most + ROUNDING:
        return None
    return ours, theirs, baseline.name


def _beaten(system: System, trivial: list[System], metric: str) -> str | None:
    ours = system.value(metric)
    if not system.tuned or ours is None:
        return None
    # A baseline at 0 beats nobody: on rows without a measurable word, all systems have 0.
    better = [(s.name, v) for s in trivial if (v := s.value(metric)) and v >= ours]
    if not better:
        return None
    factor = scale(metric)
    names = " and ".join(f"{name} ({factor * value:.1f})" for name, value in better)
    return (
        f"{system.name} does not beat {names} in {label(metric)} ({factor * ours:.1f}): no model was needed for that "
        "score."
    )


def _unfinished(system: System) -> str | None:
    finished = system.value("finished")
    if finished is None or 1 - finished <= UNFINISHED + ROUNDING:
        return None
    return (
        f"{system.name} does not stop: {1 - finished:.1%} of its outputs hit the length limit. "
        "Raise max_new_tokens, or train longer on rows with an end token."
    )


def _empty(system: System) -> str | None:
    empty = system.value("empty")
    return f"{system.name} generates nothing for {empty:.1%} of the rows." if empty else None


def _no_validation_loss(system: System) -> str | None:
    if not system.tuned or system.value("validation_loss_per_byte") is not None:
        return None
    return f"{system.name} has no finite validation loss, so it cannot be the candidate."


def _unpaired(system: System, baseline: System | None) -> str | None:
    if baseline is None or system is baseline:
        return None
    ours, theirs = ({row_key(row) for row in s.rows} for s in (system, baseline))
    if ours == theirs:
        return None
    return (
        f"{system.name} and {baseline.name} share {len(ours & theirs)} of {len(ours | theirs)} rows; "
        "its differences are over those rows only. Evaluate both again."
    )
