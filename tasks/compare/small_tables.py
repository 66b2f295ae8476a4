"""The small tables below the scores: one per set of experiments, and one of all sources and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.compare.cells import NOTHING, Cell, Column, Comparison, Entry, change_of, label, number, outcome_of, scale
from tasks.compare.set_sentences import set_sentences, shown_value


@dataclass(frozen=True)
class SmallTable:
    """A table, and the sentences under it.

    Attributes:
        columns: the first names the rows, and is shown at any width.
        texts: how many columns, from the first on, hold text; the others hold numbers.
    """

    title: str
    columns: list[Column]
    texts: int
    sentences: list[str]


def small_tables(comparison: Comparison) -> list[SmallTable]:
    """All small tables of a comparison; none for comparisons of earlier versions."""
    sets = [set_table(name, entry) for name, entry in comparison.get("sets", {}).items()]
    return [*sets, *task_tables(comparison)]


def set_table(name: str, entry: Entry) -> SmallTable:
    """The table of one set; ``entry`` is one of ``comparison["sets"]``."""
    members = entry["experiments"]

    def numbers(title: str, importance: int, key: str, factor: float = 1.0, digits: int = 1) -> Column:
        return Column(title, importance, [Cell(number(one[key], factor, digits)) for one in members])

    axis = [Column(entry["axis"], 10, [Cell(shown_value(one["value"])) for one in members])] if entry["axis"] else []
    # The best is bold, as a marked difference is.
    names = [Cell(one["experiment"], sign=int(one["experiment"] == entry["best"])) for one in members]
    columns = [
        Column("experiment", 10, names),
        *axis,
        numbers("loss (nats/byte)", 9, "validation_loss_per_byte", digits=4),
        numbers("loss (nats/token)", 3, "validation_loss", digits=4),
        *(
            Column(label(name), 7 - order, [Cell(_score_in(one, name)) for one in members])
            for order, name in enumerate(members[0].get("scores", ()))
        ),
        Column("trained parameters", 4, [Cell(_count(one["trainable_parameters"])) for one in members]),
    ]
    title = f"{name}: {entry['question']}" if entry["question"] else name
    return SmallTable(title, columns, texts=1, sentences=set_sentences(entry))


def _score_in(one: Entry, metric: str) -> str:
    return number(one["scores"].get(metric), scale(metric))


def _count(parameters: int | None) -> str:
    return NOTHING if parameters is None else f"{parameters:,}"


def task_tables(comparison: Comparison) -> list[SmallTable]:
    """One table with a row per task and system; none if there is one task."""
    systems = [entry for entry in comparison["systems"] if entry.get("per_task")]
    if not systems:
        return []
    tasks = [one["task"] for one in systems[0]["per_task"]]
    rows = [(entry["name"], _of_task(entry, task)) for task in tasks for entry in systems]
    columns = [
        Column("task", 10, [Cell(one["task"]) for _, one in rows]),
        Column("experiment", 10, [Cell(name) for name, _ in rows]),
        Column("metric", 7, [Cell(label(one["metric"])) for _, one in rows]),
        Column("rows", 3, [Cell(str(one["rows"])) for _, one in rows]),
        Column("score", 8, [_score(one) for _, one in rows]),
        Column(
            f"Δ vs {comparison['baseline']['name']}",
            6,
            [change_of(one["difference"], one["metric"]) for _, one in rows],
        ),
        Column("verdict", 5, [outcome_of(one["difference"]) for _, one in rows]),
        Column("loss (nats/byte)", 4, [Cell(number(one["validation_loss_per_byte"], digits=4)) for _, one in rows]),
    ]
    sentences = ["These differences are secondary: they do not change the marks of the primary metric."]
    return [SmallTable("Per source and task", columns, texts=3, sentences=sentences)]


def _of_task(entry: Entry, task: str) -> dict[str, Any]:
    return next(one for one in entry["per_task"] if one["task"] == task)


def _score(one: Entry) -> Cell:
    score, factor = one["score"], scale(one["metric"])
    if score is None:
        return Cell(NOTHING)
    low, high = (number(score[end], factor) for end in ("low", "high"))
    return Cell(number(score["value"], factor), f"[{low}, {high}]" if score["low"] is not None else "")
