"""Build lm-eval's tasks from its task files, the corrections in ``suites/own`` and the rows read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval.tasks
from datasets import Dataset, DatasetDict
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml  # 0.4.13 has no public name for it

from tasks.benchmark.harness.sample import choose
from tasks.benchmark.harness.suites import OWN, TaskDefinition
from tasks.benchmark.harness.task_rows import TaskRows
from tasks.core.errors import TunesmithError

PACKAGED = Path(lm_eval.tasks.__file__).parent

# lm-eval warns about every default. Tunesmith itself counts and reports cut prompts.
logging.getLogger("lm_eval").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Built:
    """A task that can run.

    Attributes:
        definition: as in the suite's file.
        task: lm-eval's task.
        rows: indices of the rows to evaluate, ascending; None for all.
        of: number of rows that the task has.
        shots: examples in the prompt.
        source: origin of the rows.
    """

    definition: TaskDefinition
    task: Any
    rows: list[int] | None
    of: int
    shots: int
    source: dict[str, Any]

    @property
    def count(self) -> int:
        return self.of if self.rows is None else len(self.rows)


def task_config(task: TaskDefinition) -> dict[str, Any]:
    """The content of lm-eval's task file, in which ``own`` replaces keys.

    Raises:
        TunesmithError: this lm-eval has no such file.
    """
    config: dict[str, Any] = {}
    if task.config is not None:
        path = PACKAGED / task.config
        if not path.is_file():
            raise TunesmithError(
                f"{task.suite}.yaml: tasks.{task.name}.config: lm-eval has no task file {task.config}; correct the "
                "suite, or install the lm-eval that pyproject.toml names"
            )
        config |= load_yaml(path)
    if task.own is not None:
        config |= load_yaml(OWN / task.own)
    return {key: value for key, value in config.items() if key not in ("tag", "group")} | {"task": task.name}


def build(
    task: TaskDefinition, config: dict[str, Any], source: TaskRows, shots: int, rows: int | None, seed: int
) -> Built:
    """The task with its rows. ``rows``: number of rows to evaluate; None for all.

    Raises:
        TunesmithError: there are fewer examples than requested.
    """
    process = config.get("process_docs") or (lambda dataset: dataset)
    splits = {task.split: process(Dataset.from_list(source.evaluated))}
    fixed = (config.get("fewshot_config") or {}).get("samples")
    if source.examples:
        splits[str(task.shots_split)] = process(Dataset.from_list(source.examples))
    available = len(fixed) if isinstance(fixed, list) else len(source.examples)
    if shots > available:
        raise TunesmithError(
            f"{task.name}: {shots} examples in the prompt are requested; there are {available}; set "
            f"benchmark.settings.shots.{task.name} to at most that"
        )
    data = DatasetDict(splits)
    about = _about_rows(task, bool(source.examples)) | _held(data) | {"num_fewshot": shots}
    built = ConfigurableTask(config=config | about)
    evaluated = splits[task.split]
    chosen = choose(evaluated.to_list(), built.doc_to_target, task.together, rows, seed)
    return Built(task, built, chosen, len(evaluated), shots, source.source)


def _held(data: DatasetDict) -> dict[str, Any]:
    """Settings that give lm-eval the processed rows instead of a data set to fetch."""
    return {"custom_dataset": lambda **_: data, "dataset_kwargs": None, "process_docs": None}


def _about_rows(task: TaskDefinition, examples: bool) -> dict[str, Any]:
    """Name only the splits that exist; otherwise lm-eval would draw examples from the evaluated rows."""
    test = task.split in ("test", "default")
    return {
        "test_split": task.split if test else None,
        "validation_split": None if test else task.split,
        "training_split": None,
        "fewshot_split": task.shots_split if examples else None,
    }
