"""Read the rows of suites before a model is loaded: tasks that can run, tasks without data, broken tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tasks.benchmark.harness.build import Built, build, task_config
from tasks.benchmark.harness.suites import SuiteDefinition, TaskDefinition, find_shots, load_suite, refuse_unknown_names
from tasks.benchmark.harness.task_rows import NoDataError, find, with_task_json
from tasks.benchmark.helm.scenarios import Scenario
from tasks.benchmark.params import SUITES, BenchmarkSettings
from tasks.benchmark.risk import scenarios_with_data
from tasks.core.errors import TunesmithError, described


@dataclass
class Prepared:
    """Tasks of one suite, by name.

    Attributes:
        built: tasks that can run.
        missing: tasks and scenarios without data → where it was searched.
        broken: other tasks → error.
        definitions: all tasks.
        scenarios: scenarios of ``tasks.benchmark.helm`` that have files.
        data: folder that they are read from.
    """

    suite: SuiteDefinition
    definitions: dict[str, TaskDefinition]
    built: dict[str, Built] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    data: Path | None = None


def prepare(suites: list[str], data: Path | None, settings: BenchmarkSettings) -> list[Prepared]:
    """Find and check the rows of every task of ``suites``. An error in one task does not stop the others.

    Raises:
        TunesmithError: a suite, or a task that the settings name, does not exist; or no task has any data.
    """
    chosen = [load_suite(name) for name in dict.fromkeys(suites)]
    refuse_unknown_names([load_suite(name) for name in SUITES], settings.shots, settings.files)
    prepared = [_prepare(suite, data, settings) for suite in chosen]
    if not any(one.built or one.scenarios for one in prepared):
        lines = [line for one in prepared for line in (*one.broken.values(), *one.missing.values())]
        shown = lines if len(lines) <= 12 else [*lines[:12], f"… and {len(lines) - 12} more tasks without data"]
        raise TunesmithError("\n".join(shown) + "\nbenchmark: no task has data that can be used, so nothing was run")
    return prepared


def _prepare(suite: SuiteDefinition, data: Path | None, settings: BenchmarkSettings) -> Prepared:
    scenarios, missing = scenarios_with_data(suite.scenarios, data)
    prepared = Prepared(suite, with_task_json(suite, data, settings), missing=missing, scenarios=scenarios, data=data)
    rows = settings.rows if settings.size == "lite" else None
    for name, task in prepared.definitions.items():
        try:
            config, shots = task_config(task), find_shots(task, settings.shots)
            task_rows = find(task, config, shots, data, settings)
            prepared.built[name] = build(task, config, task_rows, shots, rows, settings.seed)
        except NoDataError as error:
            prepared.missing[name] = str(error)
        except TunesmithError as error:
            prepared.broken[name] = str(error)
        except Exception as error:  # errors of lm-eval and datasets: the other tasks go on
            prepared.broken[name] = f"{name}: {described(error)}"
    return prepared
