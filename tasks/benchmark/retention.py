"""Kept, lost or gained on benchmarks that are planned for both models: what the gate before the registry asks."""

from __future__ import annotations

from tasks.benchmark import results
from tasks.benchmark.compare import average_differences, differences
from tasks.benchmark.params import BenchmarkParams
from tasks.errors import TunesmithError
from tasks.params import parse, read_yaml
from tasks.paths import Paths


def benchmark_verdicts(paths: Paths, base: tuple[str, str], tuned: tuple[str, str]) -> dict[str, str]:
    """``SUITE average`` → verdict, of the suites planned for both of (experiment, its model's key).

    A suite is judged by its average over all tasks, else by those of its groups, else by each task's metrics: of the
    57 tasks of MMLU one or two would be lost by chance.

    Raises:
        TunesmithError: a planned benchmark has not been run on the model as it is, or both on other rows.
    """
    file = paths.params / "evaluation.yaml"
    params = parse(BenchmarkParams, read_yaml(file).get("benchmark") or {}, file, "benchmark")
    if base[0] not in params.experiments or tuned[0] not in params.experiments:
        return {}
    before, after = (_result(name, key, paths) for name, key in (base, tuned))
    intervals = params.settings.intervals
    averages = average_differences(before, after, intervals)
    tasks = differences(before, after, intervals)
    found: dict[str, str] = {}
    for suite in params.experiments[tuned[0]].suites:
        if suite not in params.experiments[base[0]].suites:
            continue
        mine = {group: about["verdict"] for (of, group), about in averages.items() if of == suite}
        mine = {"overall": mine["overall"]} if "overall" in mine else mine
        mine = mine or {f"{task} {metric}": one["verdict"] for (of, task, metric), one in tasks.items() if of == suite}
        if not mine:
            raise TunesmithError(
                f"reports/benchmarks: {base[0]} and {tuned[0]} share no rows of {suite}; plan both with the same data"
            )
        found |= {f"{suite} {name}": verdict for name, verdict in mine.items()}
    return found


def _result(name: str, key: str, paths: Paths) -> tuple[results.Row, list[results.Row]]:
    read = results.read(paths.benchmark(name))
    if read is None or read[0]["key"] != key:
        raise TunesmithError(
            f"{paths.benchmark(name)}: the planned benchmark must be of the model as it is; "
            f"{'there is none' if read is None else 'it is of an earlier one'}; run `tunesmith run`"
        )
    return read[0], read[1]
