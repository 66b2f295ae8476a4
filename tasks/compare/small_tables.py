"""The small tables below the scores: one per set of experiments, and one of all sources and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tasks.compare.cells import NOTHING, Cell, Comparison, Entry, change_of, label, number, outcome_of, scale
from tasks.compare.set_sentences import set_sentences, shown_value


@dataclass(frozen=True)
class SmallTable:
    """A table, and the sentences under it.

    Attributes:
        head: titles of the columns; the first ``texts`` columns hold text, the others numbers.
        rows: cells, one list per row.
    """

    title: str
    head: list[str]
    texts: int
    rows: list[list[Cell]]
    sentences: list[str]


def small_tables(comparison: Comparison) -> list[SmallTable]:
    """All small tables of a comparison; none for comparisons of earlier versions."""
    sets = [_set_table(name, entry) for name, entry in comparison.get("sets", {}).items()]
    return [*sets, *_task_tables(comparison)]


def _set_table(name: str, entry: Entry) -> SmallTable:
    axis = [entry["axis"]] if entry["axis"] is not None else []
    losses = ["loss (nats/byte)", "loss (nats/token)"]
    return SmallTable(
        title=f"{name}: {entry['question']}" if entry["question"] else name,
        head=[*axis, "experiment", *losses, "BLEU", "ROUGE-1", "ROUGE-L", "trained parameters"],
        texts=len(axis) + 1,
        rows=[
            [
                *([Cell(shown_value(one["value"]))] if axis else []),
                Cell(one["experiment"], sign=int(one["experiment"] == entry["best"])),
                Cell(number(one["validation_loss_per_byte"], digits=4)),
                Cell(number(one["validation_loss"], digits=4)),
                *(Cell(number(one[metric], scale(metric))) for metric in ("bleu", "rouge1_f", "rougeL_f")),
                Cell(_count(one["trainable_parameters"])),
            ]
            for one in entry["experiments"]
        ],
        sentences=set_sentences(entry),
    )


def _count(parameters: int | None) -> str:
    return NOTHING if parameters is None else f"{parameters:,}"


def _task_tables(comparison: Comparison) -> list[SmallTable]:
    """One table with a row per task and system; none if there is one task."""
    systems = [entry for entry in comparison["systems"] if entry.get("per_task")]
    if not systems:
        return []
    tasks = [one["task"] for one in systems[0]["per_task"]]
    by_task = [(task, entry, _of_task(entry, task)) for task in tasks for entry in systems]
    baseline = comparison["baseline"]["name"]
    return [
        SmallTable(
            title="Per source and task",
            head=["task", "experiment", "metric", "rows", "score", f"Δ vs {baseline}", "verdict", "loss (nats/byte)"],
            texts=3,
            rows=[
                [
                    *(Cell(task), Cell(entry["name"]), Cell(label(one["metric"])), Cell(str(one["rows"]))),
                    _score(one),
                    change_of(one["difference"], one["metric"]),
                    outcome_of(one["difference"]),
                    Cell(number(one["validation_loss_per_byte"], digits=4)),
                ]
                for task, entry, one in by_task
            ],
            sentences=["These differences are secondary: they do not change the marks of the primary metric."],
        )
    ]


def _of_task(entry: Entry, task: str) -> dict[str, Any]:
    return next(one for one in entry["per_task"] if one["task"] == task)


def _score(one: Entry) -> Cell:
    score, factor = one["score"], scale(one["metric"])
    if score is None:
        return Cell(NOTHING)
    low, high = (number(score[end], factor) for end in ("low", "high"))
    return Cell(number(score["value"], factor), f"[{low}, {high}]" if score["low"] is not None else "")


def rich_tables(comparison: Comparison) -> Group:
    """The small tables for the terminal."""
    return Group(*(_rich(table) for table in small_tables(comparison)))


def _rich(small: SmallTable) -> Table:
    caption = Text("\n".join(small.sentences), style="not italic")
    table = Table(title=Text(small.title), title_justify="left", caption=caption, caption_justify="left")
    for number_of_column, title in enumerate(small.head):
        table.add_column(Text(title), justify="left" if number_of_column < small.texts else "right", vertical="bottom")
    for row in small.rows:
        table.add_row(*(Text(str(cell), style={1: "bold green", -1: "bold red", 0: ""}[cell.sign]) for cell in row))
    return table
