"""The rows of a task: from the data folder, else from the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.benchmark.harness import hub
from tasks.benchmark.harness.files import find_file, looked_for, read_task_json, rows_of, task_json_files
from tasks.benchmark.harness.rows import checked
from tasks.benchmark.harness.shapes import task_json
from tasks.benchmark.harness.suites import SuiteDefinition, TaskDefinition, task_definition
from tasks.benchmark.params import BenchmarkSettings
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.text.rows import Row


class NoDataError(TunesmithError):
    """A task has no rows. The message says where they were searched and where they can come from."""


@dataclass(frozen=True)
class TaskRows:
    """Rows of a task.

    Attributes:
        evaluated: rows that the model is evaluated on.
        examples: rows for examples in the prompt; empty if the task file has its own.
        source: ``files`` (name relative to the data folder → content hash), or ``hub``, ``name`` and ``revision``.
    """

    evaluated: list[Row]
    examples: list[Row]
    source: dict[str, Any]


def find(
    task: TaskDefinition, config: dict[str, Any], shots: int, data: Path | None, settings: BenchmarkSettings
) -> TaskRows:
    """The rows of ``task``; ``config`` is lm-eval's task file, which names the hub's data set.

    Raises:
        NoDataError: there is no file, and the hub does not answer.
        TunesmithError: the file exists but is wrong.
    """
    given = settings.files.get(task.name)
    path = find_file(task, task.split, data, given)
    wanted = task.shots_split if shots else None
    if path is None:
        return _from_hub(task, config, wanted, data, settings)
    source = {"files": {_name(path, data): files.sha256(path)}}
    examples: list[Row] = []
    if wanted is not None:
        beside = find_file(task, wanted, data, given)
        if beside is None:
            raise TunesmithError(
                f"{task.name}: {shots} examples in the prompt need rows of the split {wanted!r}: "
                f"{looked_for(task, wanted, data)}; add the file, or set benchmark.settings.shots.{task.name}: 0"
            )
        examples = checked(rows_of(beside, task), task, str(beside))
        source["files"][_name(beside, data)] = files.sha256(beside)
    is_task_json = task.file is not None
    rows = task_json(read_task_json(path), str(path), settings.seed) if is_task_json else rows_of(path, task)
    return TaskRows(checked(rows, task, str(path)), examples, source)


def _from_hub(
    task: TaskDefinition, config: dict[str, Any], wanted: str | None, data: Path | None, settings: BenchmarkSettings
) -> TaskRows:
    path, name = config["dataset_path"], config.get("dataset_name")
    splits = [task.split, *([wanted] if wanted else [])]
    try:
        loaded, revision = hub.load(path, name, splits, settings.revisions.get(path))
    except hub.UnreachableError as error:
        raise NoDataError(
            f"{task.name}: no data. Looked for: {looked_for(task, task.split, data)}; then {error}. They can come from "
            f"the hub data set {path} ({name or 'default'}, split {task.split}) on a machine with a network, saved as "
            f"JSONL with the columns {', '.join(task.columns)}, or from a file that "
            f"benchmark.settings.files.{task.name} names"
        ) from None
    rows = {
        split: checked(split_rows, task, f"hub {path} {name or ''} {split}") for split, split_rows in loaded.items()
    }
    source = {"hub": path, "name": name, "revision": revision}
    return TaskRows(rows[task.split], rows[wanted] if wanted else [], source)


def _name(path: Path, data: Path | None) -> str:
    """The name of a file in a result, which must not hold a path of this machine."""
    return path.relative_to(data).as_posix() if data is not None and path.is_relative_to(data) else path.name


def with_task_json(suite: SuiteDefinition, data: Path | None, settings: BenchmarkSettings) -> dict[str, TaskDefinition]:
    """The tasks of ``suite``, and those of ``task.json`` files if it allows them.

    Raises:
        TunesmithError: a file is missing or is not a task, or two tasks have one name.
    """
    tasks = dict(suite.tasks)
    if not suite.task_json:
        return tasks
    for name, path in task_json_files(data, {n: f for n, f in settings.files.items() if n not in tasks}):
        if name in tasks:
            raise TunesmithError(f"{path}: tasks must have different names; the suite has {name!r}; rename the folder")
        if not path.is_file():
            raise TunesmithError(f"benchmark.settings.files.{name}: {path}: no such file; correct the path")
        content = read_task_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("examples"), list) or not content["examples"]:
            raise TunesmithError(f"{path}: a BIG-bench task must have the list `examples`; it has none")
        kind = "choice" if content["examples"][0].get("target_scores") else "generate"
        definition = task_definition({"shots": 0, **suite.task_json[kind]}, name, suite.name, "task_json", path)
        tasks[name] = definition.model_copy(update={"file": path})
    return tasks
