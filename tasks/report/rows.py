"""Every test row with the outputs of all systems, in the order in which the candidate lost against the baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from tasks.compare.cells import label, number, scale
from tasks.compare.collect import System
from tasks.report.facts import Facts
from tasks.report.sections import Shown
from tasks.report.words import marked
from tasks.text.rows import Row, RowKey, row_key

Predictions = dict[str, dict[RowKey, Row]]
"""System → its predictions by row."""

PREVIEW = 90
"""Characters of a row's text in its closed state."""


@dataclass(frozen=True)
class Output:
    """The output of a system for a row.

    Attributes:
        score: in the primary metric, as it is shown; None if the row has none.
        text: with the words marked that the most similar reference lacks.
        sign: ``empty``, ``unfinished``, or nothing.
    """

    system: str
    score: float | None
    text: Markup
    sign: str

    @property
    def shown_score(self) -> str:
        return number(self.score)


@dataclass(frozen=True)
class TestRow:
    """A test row.

    Attributes:
        number: position in the test set, from 1.
        about: task, template and row_id.
        gain: of the candidate over the baseline; None if one of them has no score.
        scores: of all systems in order, as JavaScript reads them: numbers divided by commas, empty if missing.
    """

    number: int
    about: str
    text: str
    references: list[str]
    outputs: list[Output]
    gain: float | None
    scores: str

    @property
    def preview(self) -> str:
        text = " ".join(self.text.split())
        return text if len(text) <= PREVIEW else f"{text[:PREVIEW]}…"

    @property
    def shown_gain(self) -> str:
        return number(self.gain, signed=True)


def rows(facts: Facts) -> Shown | None:
    """All test rows, the largest loss of the candidate first; None without a predicted row."""
    systems, comparison = facts.systems, facts.comparison
    if not systems or not systems[0].rows:
        return None
    contrast = _contrast(facts)
    predictions = {system.name: {row_key(row): row for row in system.rows} for system in systems}
    shown = [_test_row(*one, predictions, comparison["metric"], contrast) for one in _numbered(systems)]
    ordered = sorted(shown, key=lambda row: (row.gain is None, row.gain or 0.0, row.number)) if contrast else shown
    return {
        "rows": ordered,
        "systems": [system.name for system in systems],
        "metric": label(comparison["metric"]),
        "contrast": contrast,
    }


def _contrast(facts: Facts) -> tuple[str, str] | None:
    """The candidate and the baseline; without them, the first two systems; None for a single system."""
    names = [system.name for system in facts.systems]
    chosen = [name for name in (facts.comparison["candidate"], facts.comparison["baseline"]["name"]) if name in names]
    chosen += [name for name in reversed(names) if name not in chosen]
    return (chosen[0], chosen[1]) if len(chosen) > 1 else None


def _numbered(systems: list[System]) -> list[tuple[int, Row]]:
    """The rows of all systems by their key, in the order of the first system."""
    order: dict[RowKey, Row] = {}
    for system in systems:
        for row in system.rows:
            order.setdefault(row_key(row), row)
    return list(enumerate(order.values(), start=1))


def _test_row(
    position: int, row: Row, predictions: Predictions, metric: str, contrast: tuple[str, str] | None
) -> TestRow:
    references, key = list(row["references"]), row_key(row)
    outputs = [_output(name, by_key[key], references, metric) for name, by_key in predictions.items() if key in by_key]
    by_name = {output.system: output.score for output in outputs}
    scores = [by_name.get(name) for name in predictions]
    about = f"{row['task']} · {row['template_id']} · {row['row_id']}"
    return TestRow(
        position,
        about,
        row.get("text") or row["prompt"],
        references,
        outputs,
        _gain(by_name, contrast),
        ",".join("" if score is None else f"{score:.4g}" for score in scores),
    )


def _output(system: str, prediction: Row, references: list[str], metric: str) -> Output:
    value = prediction.get(metric)
    score = scale(metric) * value if value is not None and math.isfinite(value) else None
    text = prediction["completion"]
    sign = "empty" if not text.strip() else "unfinished" if prediction.get("finished") is False else ""
    return Output(system, score, marked(text, references), sign)


def _gain(by_name: dict[str, float | None], contrast: tuple[str, str] | None) -> float | None:
    if contrast is None:
        return None
    ours, theirs = (by_name.get(name) for name in contrast)
    return None if ours is None or theirs is None else ours - theirs
