"""Format the numbers of a comparison as text, the same for Markdown, terminal and HTML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tasks.metrics.names import BETWEEN_REFERENCES, CORPUS
from tasks.metrics.params import IntervalParams
from tasks.metrics.verdicts import needed

Comparison = dict[str, Any]
Entry = dict[str, Any]

NOTHING = "–"

LABELS = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "exact_match": "exact match",
    "macro_f1": "macro-F1",
    "token_f1": "token F1",
    "entity_f1": "entity F1",
    "loss_per_byte": "loss (nats/byte)",
    "matthews": "Matthews' correlation",
    "pearson": "Pearson's correlation",
    "spearman": "Spearman's correlation",
    "repetition": "repeated 3-grams",
    "distinct_1": "distinct words",
    "distinct_2": "distinct 2-grams",
    "length_ratio": "length / reference",
    "copied_4grams": "copied 4-grams",
    "negation_differs": "negation differs",
    "numbers_differ": "numbers differ",
}

OF_LABELS = ("accuracy", "exact_match", "macro_f1", "matthews", "pearson", "spearman", "token_f1", "entity_f1", "chrf")
"""Metrics that get a column in the table of scores if a task names them."""

OF_TEXTS = {"rouge1_f": 10, "rouge2_f": 4, "rougeL_f": 5, "rougeLsum_f": 1, "bleu": 2}
"""Scores of texts → importance of their column."""

SIGNS = (
    "repetition",
    "distinct_1",
    "distinct_2",
    "length_ratio",
    "copied_4grams",
    "negation_differs",
    "numbers_differ",
)


@dataclass(frozen=True)
class Cell:
    """A value and its interval or another addition. ``sign``: 1 or -1 for a marked difference, else 0."""

    value: str
    interval: str = ""
    sign: int = 0

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".strip()


@dataclass(frozen=True)
class Column:
    """A column of the table of scores.

    Attributes:
        title: title of the column, with the unit unless it is obvious.
        importance: if the table is too wide, columns with the lowest importance are left out first.
        cells: one per system.
    """

    title: str
    importance: int
    cells: list[Cell]

    def bare(self) -> Column:
        """The same column without intervals."""
        return replace(self, cells=[replace(cell, interval="") for cell in self.cells])


def label(metric: str) -> str:
    """The usual name of a metric: ROUGE-1 for ``rouge1_f``, ROUGE-L recall for ``rougeL_recall``."""
    if metric.startswith("rouge"):
        kind, part = metric.removeprefix("rouge").split("_")
        return f"ROUGE-{kind}" if part == "f" else f"ROUGE-{kind} {part}"
    return LABELS.get(metric, metric)


def scale(metric: str) -> float:
    """The factor from stored to shown values: 100 for shares, 1 for ratios and for BLEU and chrF (0 to 100 already)."""
    return 1.0 if metric in ("bleu", "chrf", "length_ratio") else 100.0


def number(value: float | None, factor: float = 1.0, digits: int = 1, signed: bool = False) -> str:
    """Format ``factor * value``; ``NOTHING`` for None."""
    if value is None:
        return NOTHING
    rounded = round(factor * value, digits) + 0.0  # adding zero turns -0.0 into 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}"


def score(entry: Entry, metric: str, factor: float = 1.0, digits: int = 1, interval: bool = True) -> Cell:
    """The cell of ``metric``; with an interval it reads ``41.2 [38.9, 43.5]``."""
    measured = entry["metrics"].get(metric) or {}
    value, low, high = (measured.get(name) for name in ("value", "low", "high"))
    if value is None or not interval or low is None or high is None:
        return Cell(number(value, factor, digits))
    return Cell(number(value, factor, digits), f"[{number(low, factor, digits)}, {number(high, factor, digits)}]")


def change(entry: Entry, metric: str) -> Cell:
    """The cell of the difference between the system and the baseline experiment in ``metric``."""
    return change_of((entry["differences"] or {}).get(metric), metric)


def change_of(difference: Entry | None, metric: str) -> Cell:
    """The cell of ``difference``, with its interval; marked if it is shown after the adjustment."""
    if difference is None:
        return Cell(NOTHING)
    value, low, high = (number(difference[name], scale(metric), signed=True) for name in ("value", "low", "high"))
    # Comparisons of an earlier version were not adjusted: none of their differences is marked.
    sign = (1 if difference["value"] > 0 else -1) if difference.get("adjusted") else 0
    return Cell(value, f"[{low}, {high}]", sign)


def baseline_entry(comparison: Comparison) -> Entry | None:
    """The entry of the baseline experiment; None if it was not compared."""
    name = comparison["baseline"]["name"]
    return next((one for one in comparison["systems"] if one["kind"] == "experiment" and one["name"] == name), None)


def intervals_of(comparison: Comparison) -> IntervalParams:
    """The parameters of the comparison's intervals."""
    return IntervalParams(**{name: comparison[name] for name in ("resamples", "confidence", "seed")})


def relative(entry: Entry, comparison: Comparison, metric: str) -> Cell:
    """The cell of the change in percent of the baseline's score, ``+86 %``; none if that score is 0.

    A metric of ``CORPUS`` has none: its score is over all rows, while differences are means over rows.
    """
    baseline = baseline_entry(comparison)
    if baseline is None or entry is baseline or not entry["differences"] or metric in CORPUS:
        return Cell(NOTHING)
    ours, theirs = ((one["metrics"].get(metric) or {}).get("value") for one in (entry, baseline))
    if ours is None or theirs is None or theirs <= 0:
        return Cell(NOTHING)
    return Cell(f"{number(ours / theirs - 1, 100, digits=0, signed=True)} %")


def outcome(entry: Entry, metric: str) -> Cell:
    """The cell of the verdict on the difference in ``metric``."""
    return outcome_of((entry["differences"] or {}).get(metric))


def outcome_of(difference: Entry | None) -> Cell:
    """The cell of the verdict on ``difference``."""
    if difference is None:
        return Cell(NOTHING)
    verdict = difference.get("verdict")
    if verdict == "not enough rows":
        return Cell(verdict, needed(difference).strip())
    if verdict in ("better", "worse") and not difference["adjusted"]:
        return Cell(f"{verdict}, unadjusted")
    return Cell(verdict or NOTHING)


def unfinished(entry: Entry) -> Cell:
    """Percent of the outputs that reached the length limit."""
    finished = (entry["metrics"].get("finished") or {}).get("value")
    return Cell(number(None if finished is None else 1 - finished, 100))


def about(entry: Entry) -> dict[str, Any]:
    """Facts about the model of an entry; empty in comparisons of earlier versions."""
    return entry.get("model") or {}


def trained(entry: Entry) -> Cell:
    """Percent of the parameters that training changed."""
    some, every = (about(entry).get(name) for name in ("trainable_parameters", "total_parameters"))
    return Cell(number(some / every, 100, digits=2) if some and every else NOTHING)


def kept(entry: Entry) -> Cell:
    """Size of the trained weights on disk in MB, without the base."""
    size = about(entry).get("weights_bytes")
    return Cell(number(size / 1e6, digits=1 if size >= 1e6 else 2) if size else NOTHING)


def kept_of_base(entry: Entry) -> Cell:
    """Size of the trained weights in percent of the base's weights; 100 for a full copy in the same precision."""
    size, base = (about(entry).get(name) for name in ("weights_bytes", "base_bytes"))
    return Cell(number(size / base, 100, digits=2) if size and base else NOTHING)


def columns(comparison: Comparison) -> list[Column]:
    """The columns of the table of scores, without the names of the systems.

    The primary metric comes first. If all rows ask for labels, scores of texts are left out.
    """
    systems, primary = comparison["systems"], comparison["metric"]

    def column(title: str, importance: int, name: str, digits: int = 1, interval: bool = True) -> Column:
        factor = 1.0 if name.startswith("validation") else scale(name)
        return Column(title, importance, [score(entry, name, factor, digits, interval) for entry in systems])

    shown = [
        Column("method", 6, [Cell(entry["method"] or "trivial") for entry in systems]),
        column("validation loss (nats/byte)", 8, "validation_loss_per_byte", digits=4, interval=False),
        column(label(primary), 10, primary),
    ]
    if not comparison.get("only_labels"):
        shown += [column(label(name), importance, name) for name, importance in OF_TEXTS.items() if name != primary]
        shown.append(column("copied 4-grams %", 3, "copied_4grams", interval=False))
    shown.append(Column("unfinished %", 3, [unfinished(entry) for entry in systems]))
    if any(about(entry).get("trainable_parameters") for entry in systems):
        shown.append(Column("trained %", 2, [trained(entry) for entry in systems]))
        shown.append(Column("size MB", 1, [kept(entry) for entry in systems]))
        shown.append(Column("size % of base", 1, [kept_of_base(entry) for entry in systems]))
    for name in OF_LABELS:
        if name != primary and any(name in entry["metrics"] for entry in systems):
            shown.append(column(label(name), 4 if comparison.get("only_labels") else 9, name))
    return shown


def difference_columns(comparison: Comparison) -> list[Column]:
    """The differences in the primary metric, also in percent of the baseline's score, and the verdicts on them."""
    systems, metric = comparison["systems"], comparison["metric"]
    title = f"Δ {label(metric)} vs {comparison['baseline']['name']}"
    shown = [Column(title, 9, [change(entry, metric) for entry in systems])]
    relatives = [relative(entry, comparison, metric) for entry in systems]
    if any(cell.value != NOTHING for cell in relatives):
        shown.append(Column(f"change of {comparison['baseline']['name']}'s", 5, relatives))
    verdicts = [outcome(entry, metric) for entry in systems]
    if any(cell.value != NOTHING for cell in verdicts):
        shown.append(Column("verdict", 7, verdicts))
    return shown


def sign_columns(comparison: Comparison) -> list[Column]:
    """The columns with signs of bad texts that score well; empty for reports of earlier versions."""
    systems = comparison["systems"]
    if not any("repetition" in entry["metrics"] for entry in systems):
        return []
    shown = []
    for name in SIGNS:
        ratio = name == "length_ratio"
        cells = [score(entry, name, scale(name), 2 if ratio else 1) for entry in systems]
        shown.append(Column(label(name) if ratio else f"{label(name)} %", 1, cells))
    shown.append(Column("unfinished %", 1, [unfinished(entry) for entry in systems]))
    shown.append(Column("empty %", 1, [score(entry, "empty", 100, interval=False) for entry in systems]))
    return shown


def sign_floors(comparison: Comparison) -> list[Cell]:
    """How often two references of one row differ, for each column of ``sign_columns``; empty if no row has two."""
    metrics: dict[str, Any] = {}
    for entry in comparison["systems"]:
        metrics = entry["metrics"] | metrics  # the rows of all systems have the same references
    names = [BETWEEN_REFERENCES.get(sign, "") for sign in (*SIGNS, "unfinished", "empty")]
    if not any(name in metrics for name in names):
        return []
    return [score({"metrics": metrics}, name, 100) if name else Cell("") for name in names]


def remarks(comparison: Comparison) -> list[str]:
    """The lines under a table: a missing baseline, systems that were not compared, warnings."""
    note = comparison["baseline"]["note"]
    return [
        *([note] if note else []),
        *(f"Not compared: {entry['name']}: {entry['reason']}." for entry in comparison["not_compared"]),
        *(f"Warning: {warning['message']}" for warning in comparison["warnings"]),
    ]
