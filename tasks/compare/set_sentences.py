"""What a set of experiments shows, in sentences: the same in terminal, page, Prefect and MLflow."""

from __future__ import annotations

from typing import Any

from tasks.compare.cells import Entry, number

REMEDY = "`tunesmith run` scores them again"


def set_sentences(entry: Entry) -> list[str]:
    """The best of a set, its plateau, and the experiments that are missing; ``entry`` is one of ``comparison["sets"]``.

    The question of the set is no part of them.
    """
    plateau = entry["plateau"]
    equal = plateau is not None and plateau["verdict"] == "equal"
    sentences = [] if equal or entry["best"] is None else [_best(entry)]
    if plateau is not None:
        sentences += _plateau(entry, plateau)
    if entry["missing"]:
        sentences.append(f"Not compared: {', '.join(entry['missing'])}.")
    return sentences


def shown_value(value: Any) -> str:
    """A value of an axis as text; empty for an experiment of a set without an axis."""
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _best(entry: Entry) -> str:
    loss = next(one["validation_loss_per_byte"] for one in entry["experiments"] if one["experiment"] == entry["best"])
    return f"{_named(entry['best'], entry)} has the lowest validation loss: {number(loss, digits=4)} nats per byte."


def _plateau(entry: Entry, plateau: Entry) -> list[str]:
    axis, verdict = entry["axis"], plateau["verdict"]
    others = [name for name in plateau["experiments"] if name != entry["best"]]
    by_rows = f"the paired losses of {_rows(plateau)} at {100 * plateau['confidence']:g}% confidence"
    sentences = []
    if verdict == "told apart":
        sentences.append(f"{_each_other(len(plateau['judged']) - 1)} shown to have a higher loss, by {by_rows}.")
    elif verdict == "cannot be told apart":
        names = _joined([_named(name, entry) for name in others])
        sentences.append(f"It cannot be told apart from {names} by {by_rows}.")
        if plateau["smallest"] is not None:
            sentences.append(f"Among these experiments, {_named(plateau['smallest'], entry)} has the smallest {axis}.")
    elif verdict == "equal":
        sentences.append(
            f"{_joined(plateau['judged'])} have the same loss in each of {_rows(plateau)}: {axis} does not change it. "
            "Compare their test scores."
        )
    elif verdict == "not enough rows":
        sentences.append(
            f"There are not enough rows to tell the experiments apart: the {_rows(plateau)} form {plateau['groups']} "
            f"independent groups, and a verdict needs {plateau['min_groups']}."
        )
    elif verdict == "other rows":
        sentences.append(
            f"The experiments are not told apart: they have no losses of the same validation rows; {REMEDY}."
        )
    return sentences + [f"{name} has no finite validation loss and is left out." for name in plateau["left_out"]]


def _each_other(count: int) -> str:
    return "The other experiment is" if count == 1 else f"Each of the other {count} experiments is"


def _rows(plateau: Entry) -> str:
    rows, groups = plateau["rows"], plateau["groups"]
    return f"{rows} validation rows" + (
        f" in {groups} groups" if groups != rows and plateau["verdict"] != "not enough rows" else ""
    )


def _named(name: str, entry: Entry) -> str:
    """``lora_r4 (lora.rank 4)``; the name alone in a set without an axis."""
    value = next(shown_value(one["value"]) for one in entry["experiments"] if one["experiment"] == name)
    return f"{name} ({entry['axis']} {value})" if entry["axis"] is not None and value else name


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
