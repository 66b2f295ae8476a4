"""Suites as data: their tasks, the folders of their rows, and how scores are averaged."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasks.benchmark.params import SUITES
from tasks.core.errors import TunesmithError
from tasks.core.params import Params, merge, parse, read_yaml

FOLDER = Path(__file__).parent / "suites"
OWN = FOLDER / "own"

MEASURES = ("mean", "f1", "f1_of_three", "matthews", "pearson", "spearman", "all_of_a_question")
"""Ways to aggregate the values of rows to one score (``tasks/benchmark/aggregates.py``)."""


class TaskDefinition(Params):
    """One task of a suite.

    Attributes:
        config: lm-eval's task file that it is based on, below ``lm_eval/tasks``.
        own: file of ``suites/own`` that overrides it or replaces it.
        shots: published number of examples in the prompt.
        shots_split: split of the examples; None if the task file has them.
        split: split that is evaluated.
        folders: folders of its files in the data folder.
        where: column → value, for files that hold the rows of several tasks.
        columns: columns that every row must have, after its conversion by ``shape``.
        integers: names in ``columns`` whose values are integers.
        label: column with the correct answer; None if lm-eval's file determines it.
        labels: text of a label → its number.
        range: least and greatest value of a label that is a measurement.
        shape: conversion of rows to the hub's format.
        together: columns (dotted); rows that agree in them are drawn together.
        grouped_by: columns (dotted); rows that agree in them, such as questions about one passage, are not independent,
            so that intervals draw them as one group. Without it each row is a group.
        answers: number of possible answers, if the question does not list them.
        metrics: lm-eval's metric → aggregate; the task's score is the mean of its metrics.
        unit: tasks of one unit count as one in the average; by default each task is a unit.
        group: group of the suite that the task belongs to.
        file: file of a BIG-bench task, which also defines it.
    """

    name: str
    suite: str
    config: str | None
    own: str | None = None
    shots: int = Field(ge=0)
    shots_split: str | None
    split: str
    folders: list[str]
    where: dict[str, str] = Field(default_factory=dict)
    columns: list[str] = Field(min_length=1)
    integers: list[str] = Field(default_factory=list)
    label: str | None = None
    labels: dict[str, int] | None = None
    range: tuple[float, float] | None = Field(default=None, strict=False)
    shape: Literal["mmlu", "multirc", "record", "wsc", "truthfulqa"] | None = None
    together: list[str] = Field(default_factory=list)
    grouped_by: list[str] = Field(default_factory=list)
    answers: int | None = Field(default=None, ge=2)
    metrics: dict[str, Literal["mean", "f1", "f1_of_three", "matthews", "pearson", "spearman", "all_of_a_question"]] = (
        Field(min_length=1)
    )
    unit: str
    group: str | None = None
    file: Path | None = None


class SuiteDefinition(Params):
    """A suite.

    Attributes:
        average: over ``tasks`` (units), or over all ``rows``.
        overall: whether there is one average over all groups (or, without groups, over all tasks).
        scenarios: scenarios of ``tasks.benchmark.helm`` that are measured too.
        memorisation: whether memorisation is measured too.
    """

    name: str
    average: Literal["tasks", "rows"]
    overall: bool = True
    tasks: dict[str, TaskDefinition]
    task_json: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scenarios: list[str] = Field(default_factory=list)
    memorisation: bool = False


@cache
def load_suite(name: str) -> SuiteDefinition:
    """The suite ``name``.

    Raises:
        TunesmithError: there is no such suite, or its file is wrong.
    """
    if name not in SUITES:
        raise TunesmithError(f"benchmark: there is no suite {name!r}; there are: {', '.join(SUITES)}")
    return read_suite(FOLDER / f"{name}.yaml")


def read_suite(path: Path) -> SuiteDefinition:
    """A suite from its file.

    Raises:
        TunesmithError: a key, metric or value is unknown.
    """
    data = read_yaml(path)
    defaults, given = data.pop("defaults", {}), data.pop("tasks", {})
    groups = {task: group for group, tasks in data.pop("groups", {}).items() for task in tasks}
    tasks = {}
    for task in dict.fromkeys([*groups, *given]):
        merged = merge(defaults, given.get(task) or {})
        merged |= {key: (given.get(task) or {})[key] for key in ("labels", "metrics") if key in (given.get(task) or {})}
        tasks[task] = task_definition(merged, task, path.stem, groups.get(task), path).model_dump()
    return parse(SuiteDefinition, {**data, "name": path.stem, "tasks": tasks}, path)


def task_definition(data: dict[str, Any], name: str, suite: str, group: str | None, path: Path) -> TaskDefinition:
    """Make a task from its mapping, in which ``{task}`` means the task's name."""
    filled = _filled({"unit": name, **data}, name)
    return parse(TaskDefinition, {**filled, "name": name, "suite": suite, "group": group}, path, f"tasks.{name}")


def _filled(value: Any, task: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, task) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, task) for inner in value]
    return value.replace("{task}", task) if isinstance(value, str) else value


def find_shots(definition: TaskDefinition, shots: dict[str, int]) -> int:
    """Examples in the prompt: those of ``shots`` for the task or its suite, else the published number."""
    return shots.get(definition.name, shots.get(definition.suite, definition.shots))


def refuse_unknown_names(suites: list[SuiteDefinition], shots: dict[str, int], files: dict[str, Any]) -> None:
    """Refuse names in ``shots`` and ``files`` that are neither a task of any suite nor a suite.

    Raises:
        TunesmithError: a name is unknown. In ``files``, an unknown name may have a JSON file: it defines a BIG-bench
            task.
    """
    known = {task for suite in suites for task in suite.tasks} | {suite.name for suite in suites}
    for section, names in {
        "shots": list(shots),
        "files": [n for n, f in files.items() if not _is_task_json(f)],
    }.items():
        unknown = [name for name in names if name not in known]
        if unknown:
            close = sorted(known, key=lambda name: (not name.startswith(unknown[0][:3]), name))[:8]
            raise TunesmithError(
                f"params/evaluation.yaml: benchmark.settings.{section}.{unknown[0]}: there is no such task or suite; "
                f"there are: {', '.join(close)}, …"
            )


def _is_task_json(file: Any) -> bool:
    return isinstance(file, str) and file.endswith(".json")
