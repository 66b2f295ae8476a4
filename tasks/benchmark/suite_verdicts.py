"""Gained, kept, lost or undecided on the benchmarks that are planned for both models; the gate uses this."""

from __future__ import annotations

from tasks.benchmark import results
from tasks.benchmark.differences import Result, average_differences, differences, on_same_rows
from tasks.benchmark.params import read_params
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.metrics.params import load_verdicts
from tasks.text.rows import Row


def benchmark_verdicts(paths: Paths, base: tuple[str, str], tuned: tuple[str, str]) -> dict[str, Row]:
    """``SUITE AVERAGE`` → ``verdict``, ``rows_needed``, for suites planned for both (experiment, key of its model).

    A suite is judged by its average over all tasks, else by the averages of its groups, else by each metric of its
    tasks. Single tasks rarely have enough rows for a verdict. A task that only the base model ran on these rows has the
    verdict ``not done`` or ``other rows``. Scenarios and memorisation are not judged.

    Raises:
        TunesmithError: a planned benchmark has not been run on the model as it is, or has no task of a suite.
    """
    params = read_params(paths)
    if base[0] not in params.experiments or tuned[0] not in params.experiments:
        return {}
    before, after = (_result(name, key, paths) for name, key in (base, tuned))
    judging = params.settings.intervals, load_verdicts(paths.params / "evaluation.yaml")
    averages = average_differences(before, after, *judging)
    tasks = differences(before, after, *judging)
    theirs, shared = _done(before), on_same_rows(before, after)
    verdicts: dict[str, Row] = {}
    for suite in params.experiments[tuned[0]].suites:
        if suite not in params.experiments[base[0]].suites:
            continue
        mine = {group: _only(about) for (of, group), about in averages.items() if of == suite}
        mine = {"overall": mine["overall"]} if "overall" in mine else mine
        mine = mine or {f"{task} {metric}": _only(one) for (of, task, metric), one in tasks.items() if of == suite}
        mine |= {
            task: {"verdict": _why(after, suite, task)}
            for of, task in theirs
            if of == suite and (of, task) not in shared
        }
        if not mine and not before[0]["suites"][suite].get("scenarios"):
            raise TunesmithError(
                f"{paths.benchmark(base[0])}: suite {suite}: the gate needs a task that was measured; none was; see "
                "results.json there for what is missing or failed, or take the suite out of benchmark.experiments"
            )
        verdicts |= {f"{suite} {name}": about for name, about in mine.items()}
    return verdicts


def _only(about: Row) -> Row:
    return {key: about[key] for key in ("verdict", "rows_needed") if key in about}


def _done(result: Result) -> list[tuple[str, str]]:
    suites = result[0]["suites"].items()
    return [(suite, task) for suite, about in suites for task, one in about["tasks"].items() if one["status"] == "done"]


def _why(result: Result, suite: str, task: str) -> str:
    about = result[0]["suites"].get(suite, {}).get("tasks", {}).get(task, {})
    return "other rows" if about.get("status") == "done" else "not done"


def _result(name: str, key: str, paths: Paths) -> Result:
    read = results.read(paths.benchmark(name))
    if read is None or read[0]["key"] != key:
        raise TunesmithError(
            f"{paths.benchmark(name)}: the planned benchmark must be of the model as it is; "
            f"{'there is none' if read is None else 'it is of an earlier one'}; run `tunesmith run`"
        )
    return read[0], read[1]
