"""``benchmark@X``: a model and benchmark files → ``reports/benchmarks/X/`` and ``runs/X/benchmark/``."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tasks.benchmark import results
from tasks.benchmark.averages import averages
from tasks.benchmark.cost import Speed, TaskCost, speed, task_cost
from tasks.benchmark.harness.model import load as load_model
from tasks.benchmark.harness.run_task import measure, sample_rows
from tasks.benchmark.helm.measured import Measurements
from tasks.benchmark.helm.run import ModelRun, no_data
from tasks.benchmark.helm.scenarios import load_scenarios
from tasks.benchmark.params import BenchmarkParams, BenchmarkSettings
from tasks.benchmark.prepare import Prepared, prepare
from tasks.benchmark.risk import helm_params
from tasks.benchmark.scores import task_metrics, verdict
from tasks.core import device, files
from tasks.core.errors import TunesmithError, described
from tasks.core.facts import facts
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.progress import progress
from tasks.core.stage import Stage
from tasks.inference.predict import Predictor
from tasks.text.rows import Row
from tasks.tuning.load import SharedBase
from tasks.tuning.untrained import is_trained

logger = logging.getLogger("tunesmith")

Say = Callable[[str], None]


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Run what ``benchmark.experiments`` of ``params/evaluation.yaml`` plans for the experiment ``name``."""
    file = paths.params / "evaluation.yaml"
    params = load(BenchmarkParams, file, "benchmark")
    if name not in params.experiments:
        known = ", ".join(params.experiments) or "none"
        raise TunesmithError(f"{file}: benchmark.experiments: {name!r} is not planned; planned: {known}; add it")
    plan = params.experiments[name]
    device.use_threads(params.settings.threads)
    started = time.time()
    with stage.outputs(paths.benchmark(name), paths.run(name, "benchmark")) as (report, run_folder):
        prepared = prepare(list(plan.suites), paths.root / plan.data, params.settings)
        result, samples, instances, spent = run_model(name, prepared, paths, params.settings, logger.info)
        results.write(report, result, samples, instances)
        run_folder.mkdir()
        volatile = {"experiment": name, "key": result["key"], "seconds_of_tasks": spent}
        about = facts(paths.root, started, time.time(), params.settings.threads)
        files.write_json(run_folder / "run.json", about | volatile)


def run_model(
    name: str,
    prepared: list[Prepared],
    paths: Paths,
    settings: BenchmarkSettings,
    say: Say,
    shared: SharedBase | None = None,
    mixtures: Sequence[str] = (),
    earlier: results.Stored | None = None,
) -> tuple[Row, list[Row], list[Row], dict[str, float]]:
    """Run the prepared suites on one model.

    Args:
        mixtures: for an untuned model, the mixtures whose rows prompt the memorisation test.
        earlier: stored result of the model. Scenarios and memorisation stored under the same key are reused.

    Returns:
        ``results.json`` as a mapping, rows of ``SAMPLES``, rows of ``INSTANCES``, and task → seconds.

    Raises:
        TunesmithError: there is no model, or no task could be run. A task that fails does not stop the others: its
            entry has the error.
    """
    lm, predictor = load_model(paths.model(name), paths.root, settings, shared)
    manifest = predictor.manifest
    costs = _say_cost(lm, prepared, settings, name, say)
    suites: dict[str, Row] = {}
    samples: list[Row] = []
    instances: list[Row] = []
    spent: dict[str, float] = {}
    total = sum(len(one.built) + len(one.scenarios) for one in prepared)
    with progress(f"benchmark {name}", total, "tasks") as meter:
        for one in prepared:
            tasks, rows, seconds = _run_suite(lm, one, costs, settings, meter.advance)
            done = {n: (one.definitions[n], rows[n]) for n in rows}
            suites[one.suite.name] = {
                # Per suite, since the result may keep suites of an earlier run.
                "lm_eval": importlib.metadata.version("lm-eval"),
                "settings": settings.model_dump(exclude={"files"}),
                "tasks": tasks,
                "averages": averages(one.suite, done, settings.intervals),
            }
            samples += [row for task_rows in rows.values() for row in task_rows]
            spent |= seconds
            if one.suite.scenarios:
                done_before = results.measurements(earlier, manifest["key"], one.suite.name)
                measured = _run_scenarios(predictor, one, settings, paths, mixtures, done_before, meter.advance)
                suites[one.suite.name] |= {"scenarios": measured.scenarios}
                if one.suite.memorisation:
                    suites[one.suite.name] |= {"memorisation": measured.memorisation}
                instances += measured.rows
                spent |= measured.seconds
    if not samples and not instances:
        entries = [
            entry for suite in suites.values() for part in results.PARTS for entry in suite.get(part, {}).values()
        ]
        errors = [entry["error"] for entry in entries if entry.get("error")]
        raise TunesmithError("\n".join([*errors, f"benchmark {name}: no task could be run"]))
    return results.result(manifest, suites), samples, instances, spent


def _run_scenarios(
    predictor: Predictor,
    prepared: Prepared,
    settings: BenchmarkSettings,
    paths: Paths,
    mixtures: Sequence[str],
    earlier: Measurements,
    advance: Callable[..., None],
) -> Measurements:
    """Scenarios of a suite, and memorisation of training rows: the model's own, or of ``mixtures`` if it is untuned."""
    manifest, suite = predictor.manifest, prepared.suite
    own = [manifest["params"]["mixture"]] if is_trained(manifest["method"]) else mixtures
    params, data = helm_params(settings), prepared.data or Path("data")

    def after_each(name: str, done: Measurements) -> None:
        if name in prepared.scenarios:
            advance(note=name)

    run = ModelRun(manifest, lambda: predictor, data, params, paths, timed=False)
    measured = run.measure(prepared.scenarios, own if suite.memorisation else (), earlier, after_each)
    known = load_scenarios(suite.scenarios)
    missing = {
        name: no_data(known[name], prepared.missing[name]) for name in suite.scenarios if name in prepared.missing
    }
    return Measurements(missing | measured.scenarios, measured.memorisation, measured.rows, measured.seconds)


def _run_suite(
    lm: Any, prepared: Prepared, costs: dict[str, TaskCost], settings: BenchmarkSettings, advance: Callable[..., None]
) -> tuple[dict[str, Row], dict[str, list[Row]], dict[str, float]]:
    """(task → entry, task → its rows, task → seconds)."""
    tasks: dict[str, Row] = {}
    rows: dict[str, list[Row]] = {}
    seconds: dict[str, float] = {}
    for name in prepared.definitions:
        if name in prepared.missing:
            tasks[name] = {"status": "no data", "error": prepared.missing[name]}
        elif name in prepared.broken:
            tasks[name] = {"status": "failed", "error": prepared.broken[name]}
        else:
            start = time.perf_counter()
            tasks[name], rows[name] = _run_task(lm, prepared, name, costs.get(name), settings)
            seconds[name] = time.perf_counter() - start
            advance(note=name)
        if tasks[name]["status"] == "failed":
            rows.pop(name, None)
            logger.warning("failed: %s", tasks[name]["error"])
    return tasks, rows, seconds


def _run_task(
    lm: Any, prepared: Prepared, name: str, cost: TaskCost | None, settings: BenchmarkSettings
) -> tuple[Row, list[Row]]:
    built = prepared.built[name]
    try:
        measured = measure(lm, built, settings)
        rows = sample_rows(built, measured)
        metrics = task_metrics(built, measured, settings)
    except TunesmithError as error:
        return {"status": "failed", "error": str(error)}, []
    except Exception as error:  # lm-eval's errors, out of memory: the results of the other tasks must not be lost
        return {"status": "failed", "error": f"{name}: {described(error)}"}, []
    entry = {
        "status": "done",
        "group": built.definition.group,
        "metrics": metrics,
        "verdict": verdict(metrics),
        "rows": built.count,
        "of": built.of,
        "shots": built.shots,
        "prompts_cut": cost.cut if cost else None,
        "tokens": cost.tokens if cost else None,
        "source": built.source,
        "task_version": str(built.task.VERSION),
    }
    return entry, rows


def _say_cost(
    lm: Any, prepared: list[Prepared], settings: BenchmarkSettings, name: str, say: Say
) -> dict[str, TaskCost]:
    """Print the cost of the run. Return the cost of each task whose tokens can be counted."""
    costs: dict[str, TaskCost] = {}
    counted = []
    for one in prepared:
        for task, built in one.built.items():
            try:
                costs[task] = task_cost(lm, built, settings)
                counted.append(built)
            except Exception:  # such as a column of a wrong type: the task itself reports it
                continue
    how_fast = _speed(lm, counted)
    rows, tokens, new = (
        sum(getattr(cost, part) for cost in costs.values()) for part in ("rows", "tokens", "new_tokens")
    )
    about = sum(how_fast.seconds(cost) for cost in costs.values()) if how_fast else None
    generated = f", at most {new:,} new tokens" if new else ""
    time_needed = f"about {_minutes(about)}" if about is not None else "the time could not be estimated"
    if costs:
        say(f"{name}: {len(costs)} tasks, {rows:,} rows, {tokens:,} tokens{generated}: {time_needed}")
    if beside := [scenario for one in prepared for scenario in one.scenarios]:
        each = f"{settings.rows} rows each" if settings.size == "lite" else "all rows"
        say(f"{name}: also {', '.join(beside)} ({each}) and memorisation, which are not in this estimate")
    cut = {task: cost.cut for task, cost in costs.items() if cost.cut}
    if cut:
        listed = ", ".join(f"{task} {count}" for task, count in cut.items())
        say(f"{name}: prompts longer than the context of {lm.max_length} tokens are cut at the start: {listed}")
    return costs


def _speed(lm: Any, counted: list[Any]) -> Speed | None:
    try:
        return speed(lm, counted)
    except Exception:  # the same batch fails in its task, which reports why
        return None


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
