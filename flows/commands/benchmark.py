"""The work of ``tunesmith benchmark``: run suites on trained models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.commands.experiments import trained
from tasks.benchmark import results
from tasks.benchmark.differences import Result
from tasks.benchmark.params import SUITES, BenchmarkParams, BenchmarkSettings, read_params
from tasks.benchmark.prepare import prepare
from tasks.benchmark.run import run_model
from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.params import parse
from tasks.core.paths import Paths
from tasks.tuning.load import SharedBase

Say = Callable[[str], None]

DATA = "data/benchmarks"
"""Folder of the suites' files in the workspace, unless ``--data`` names another."""


def benchmark(
    root: Path,
    suites: list[str],
    size: str | None,
    experiments: list[str] | None,
    data: Path | None,
    rows: int | None,
    output: Path | None,
    say: Say,
) -> dict[str, Result]:
    """Run ``suites`` on each of ``experiments`` (by default all with a model). Return experiment → result.

    Results go to ``reports/benchmarks/X``, or below ``output``. Suites of an earlier run of the same model stay there.

    Raises:
        TunesmithError: an unknown suite, size or experiment; nothing is trained; no task has data.
    """
    paths = Paths(root)
    params = read_params(paths)
    if unknown := [name for name in suites if name not in SUITES]:
        raise TunesmithError(f"benchmark: there is no suite {unknown[0]!r}; there are: {', '.join(SUITES)}")
    settings = _settings(params.settings, size, rows)
    names = trained(paths, experiments, "benchmark")
    if output is None:
        _refuse_planned(params, names)
    if data is not None and not data.is_dir():
        raise TunesmithError(f"benchmark: --data: {data}: must be a folder with the suites' files; there is none")
    device.use_threads(settings.threads)
    say("looking for data")
    prepared = prepare(suites, data.resolve() if data is not None else root / DATA, settings)
    for one in prepared:
        if one.missing:
            say(f"{one.suite.name}: no data for {', '.join(one.missing)}")
    by_experiment, shared = {}, SharedBase() if len(names) > 1 else None
    mixtures = sorted(path.parent.name for path in paths.mixtures.glob("*/train.parquet"))
    for name in names:
        say(f"loading {name}")
        folder = output / name if output is not None else paths.benchmark(name)
        earlier = results.read(folder)
        result, samples, instances, _ = run_model(name, prepared, paths, settings, say, shared, mixtures, earlier)
        result, samples, instances = results.merged(earlier, result, samples, instances)
        with files.replacing(folder) as temporary:
            results.write(temporary, result, samples, instances)
        by_experiment[name] = (_only(result, suites), [row for row in samples if row["suite"] in suites])
    return by_experiment


def failed(by_experiment: dict[str, Result]) -> list[str]:
    """EXPERIMENT/TASK of each task, scenario and mixture that failed."""
    return [
        f"{name}/{task}"
        for name, (result, _) in by_experiment.items()
        for suite in result["suites"].values()
        for part in results.PARTS
        for task, about in suite.get(part, {}).items()
        if about["status"] == "failed"
    ]


def _settings(settings: BenchmarkSettings, size: str | None, rows: int | None) -> BenchmarkSettings:
    given: dict[str, Any] = {"size": size, "rows": rows}
    if rows is not None and size == "full":
        raise TunesmithError("benchmark: --rows belongs to size lite; leave out --rows or --size full")
    if rows is not None and size is None:
        given["size"] = "lite"
    overrides = {key: value for key, value in given.items() if value is not None}
    return parse(BenchmarkSettings, settings.model_dump() | overrides, "tunesmith benchmark")


def _refuse_planned(params: BenchmarkParams, names: list[str]) -> None:
    """Refuse to write the files of a stage, since only DVC may change them."""
    planned = [name for name in names if name in params.experiments]
    if planned:
        raise TunesmithError(
            f"benchmark: {planned[0]} is planned under benchmark.experiments, so only the stage "
            f"benchmark@{planned[0]} writes its results; run `tunesmith run`, or write elsewhere with --output FOLDER"
        )


def _only(result: dict[str, Any], suites: list[str]) -> dict[str, Any]:
    return {**result, "suites": {name: suite for name, suite in result["suites"].items() if name in suites}}
