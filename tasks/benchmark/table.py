"""Results as tables for the terminal and for pages: one row per task and metric, one column per experiment."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.table import Table

from tasks.benchmark.chance import NOISE
from tasks.benchmark.differences import Result, average_differences, differences, lost_rows
from tasks.benchmark.results import PARTS
from tasks.metrics.params import IntervalParams, VerdictParams
from tasks.metrics.verdicts import needed
from tasks.text.rows import Row

Differences = dict[str, dict[tuple[str, ...], Row]]
"""Experiment → (suite, task, metric), or (suite, average) → difference to the base."""

FEW = 30
"""Tasks with fewer rows are named in a remark, since their intervals tell little."""

EXAMPLES = 2
"""Rows shown per lost task."""


def compared(results: dict[str, Result], base: str, params: IntervalParams, verdicts: VerdictParams) -> Differences:
    """Differences of the other experiments of ``results`` to ``base``; empty if ``base`` is not among them."""
    apart: Differences = {}
    for name in results if base in results else ():
        if name != base:
            apart[name] = dict(differences(results[base], results[name], params, verdicts).items())
            apart[name] |= average_differences(results[base], results[name], params, verdicts).items()
    return apart


@dataclass(frozen=True)
class Grid:
    """The content of a table.

    Attributes:
        fixed: number of columns, from the left, that do not wrap in a terminal.
        rows: cells of each row.
        averages: cells of each row of averages, which follow.
    """

    title: str
    columns: list[str]
    fixed: int
    rows: list[list[str]]
    averages: list[list[str]] = field(default_factory=list)


def grids(by_experiment: dict[str, Result], base: str, apart: Differences) -> list[Grid]:
    """Tables for each suite of ``by_experiment`` (experiment → result), with ``base`` first."""
    order = sorted(by_experiment, key=lambda name: name != base)
    suites = dict.fromkeys(suite for name in order for suite in by_experiment[name][0]["suites"])
    results = {name: by_experiment[name][0] for name in order}
    made = []
    for suite in suites:
        made += [_task_grid(suite, results, apart), *_risk_grid(suite, results)]
    return [grid for grid in made if grid.rows or grid.averages]


def tables(by_experiment: dict[str, Result], base: str, apart: Differences) -> list[Table]:
    """``grids`` for the terminal."""
    return [_rich(grid) for grid in grids(by_experiment, base, apart)]


def _rich(grid: Grid) -> Table:
    table = Table(title=grid.title)
    for number, head in enumerate(grid.columns):
        table.add_column(head, no_wrap=number < grid.fixed)  # elsewhere it would cut the intervals off
    for cells in grid.rows:
        table.add_row(*cells)
    table.add_section()
    for cells in grid.averages:
        table.add_row(*cells, style="bold")
    return table


def _task_grid(suite: str, shown: dict[str, Row], apart: Differences) -> Grid:
    columns = ["task, metric", "rows", "chance", "majority"]
    for name in shown:
        columns += [name, *([f"{name} − {next(iter(shown))}"] if name in apart else [])]
    tasks = {name: result["suites"].get(suite, {}).get("tasks", {}) for name, result in shown.items()}
    rows = []
    for task in dict.fromkeys(task for mine in tasks.values() for task in mine):
        done = [mine[task] for mine in tasks.values() if mine.get(task, {}).get("status") == "done"]
        for metric, about in done[0]["metrics"].items() if done else ():
            cells = [f"{task}, {metric}", str(done[0]["rows"]), _number(about["chance"]), _number(about["majority"])]
            for name in shown:
                cells.append(_score(tasks[name].get(task, {}), metric))
                if name in apart:
                    both = all(tasks[side].get(task, {}).get("status") == "done" for side in (name, next(iter(shown))))
                    cells.append(_apart(apart[name].get((suite, task, metric)), both))
            rows.append(cells)
    averages = {name: result["suites"].get(suite, {}).get("averages", {}) for name, result in shown.items()}
    groups = dict.fromkeys(group for mine in averages.values() for group in mine)
    return Grid(suite, columns, 4, rows, [_average(suite, group, averages, apart) for group in groups])


def _average(suite: str, group: str, averages: dict[str, dict[str, Row]], apart: Differences) -> list[str]:
    first = next(mine[group] for mine in averages.values() if group in mine)
    cells = [f"{group}: {first['tasks']} of {first['of']} tasks", "", "", f"over {first['over']}"]
    for name, mine in averages.items():
        cells.append(_interval(mine[group]) if group in mine else "–")
        cells += [_average_apart(apart[name].get((suite, group)), first["tasks"])] if name in apart else []
    return cells


def _average_apart(about: Row | None, tasks: int) -> str:
    """The difference of an average, with its number of tasks if the averages beside it cover another number."""
    over = f" (over {about['tasks']} tasks)" if about and about["tasks"] != tasks else ""
    return _apart(about, both=False) + over


def _risk_grid(suite: str, results: dict[str, Row]) -> list[Grid]:
    """The table of scenarios and memorisation; none if the suite has none."""
    parts = {name: _risk_cells(result["suites"].get(suite, {})) for name, result in results.items()}
    if not any(parts.values()):
        return []
    rows = []
    for row in dict.fromkeys(row for cells in parts.values() for row in cells):
        shown = [cells.get(row) for cells in parts.values()]
        counts = dict.fromkeys(one[0] for one in shown if one)
        rows.append([row, ", ".join(counts), *[_cell(one[1]) if one else "–" for one in shown]])
    return [Grid(f"{suite}: bias, toxicity, memorisation", ["scenario, metric", "rows", *results], 2, rows)]


def _risk_cells(suite: Row) -> dict[str, tuple[str, Row]]:
    """Row of the table → number of evaluated rows, and the cell."""
    cells = {}
    for scenario, about in suite.get("scenarios", {}).items():
        for metric, cell in about.get("cells", {}).items():
            beside = f" ({about['too_long']} too long)" if about["too_long"] else ""
            cells[f"{scenario}, {metric}"] = f"{about['rows']}{beside}", cell
    for mixture, about in suite.get("memorisation", {}).items():
        if about["status"] == "done":
            cells[f"spans of {mixture} generated verbatim"] = str(about["rows"]), about["spans"]
    return cells


def _cell(cell: Row) -> str:
    return f"n/a: {cell['na']}" if "na" in cell else _interval(cell)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(about: Row) -> str:
    return f"{about['value']:.3f} [{about['low']:.2f}, {about['high']:.2f}]"


def _score(task: Row, metric: str) -> str:
    if metric not in task.get("metrics", {}):
        return {"failed": "failed", "no data": "no data"}.get(task.get("status", ""), "–")
    about = task["metrics"][metric]
    return _interval(about) + (" ~" if about["verdict"] == NOISE else "")


def _apart(about: Row | None, both: bool) -> str:
    """The difference as text. If ``both`` have a score and there is no difference, their rows were not the same."""
    if about is None:
        return "other rows" if both else "–"
    return f"{about['value']:+.3f} [{about['low']:+.2f}, {about['high']:+.2f}] {about['verdict']}{needed(about)}"


def remarks(by_experiment: dict[str, Result], base: str, apart: Differences) -> list[str]:
    """Lines under the tables: tasks within noise of chance, lost, failed, or without data."""
    lines = [
        "~: within noise of chance; majority: always the most frequent answer of these rows; lost, gained: a loss, or "
        "a gain, is shown; kept: a loss beyond the margin (verdicts.margin) is ruled out; undecided: too few rows"
    ]
    for name, (result, _) in by_experiment.items():
        tasks = [(n, task) for suite in result["suites"].values() for n, task in suite["tasks"].items()]
        done = [(n, task) for n, task in tasks if task["status"] == "done"]
        noise = [n for n, task in done if task["verdict"] == NOISE]
        few = [n for n, task in done if task["rows"] < FEW]
        tail = 1 - next(suite["settings"]["intervals"]["confidence"] for suite in result["suites"].values())
        if done:
            lines.append(
                f"{name}: {len(noise)} of {len(done)} tasks within noise of chance"
                + (f": {', '.join(noise)}" if noise else "")
                + f"; by guessing, {len(done) * tail:.1f} of {len(done)} would look better by luck"
            )
        parts = [part for suite in result["suites"].values() for part in (suite.get(name) for name in PARTS) if part]
        failed = (one for part in parts for one in part.values() if one["status"] == "failed")
        lines += [f"{name}: failed: {one['error']}" for one in failed]
        if few:
            lines.append(
                f"{name}: fewer than {FEW} rows: {', '.join(few)}; so few tell little: the "
                "interval of models that agree on every row has no width"
            )
        if name in apart:
            lines += _lost(name, by_experiment[base], by_experiment[name], apart[name])
    return lines + _missing(by_experiment)


def _lost(name: str, base: Result, tuned: Result, changes: dict[tuple[str, ...], Row]) -> list[str]:
    """Per lost task, the rows whose score fell most, before and after."""
    lost = dict.fromkeys((key[0], key[1]) for key, change in changes.items() if len(key) == 3 and _is_lost(change))
    fell = lost_rows(base, tuned, EXAMPLES) if lost else {}
    lines = []
    for suite, task in lost:
        if not fell[suite, task]:
            lines.append(f"{name}: lost {suite} {task}, but no row has a lower score by itself")
        for before, after in fell[suite, task]:
            question = " ".join(before["question"].split())
            outputs = f"target {before['target']!r}, before {before['prediction']!r}, now {after['prediction']!r}"
            lines.append(f"{name}: lost {suite} {task}, such as row {before['doc_id']}: …{question[-120:]}: {outputs}")
    return lines


def _is_lost(change: Row) -> bool:
    return bool(change["verdict"] == "lost")


def _missing(by_experiment: dict[str, Result]) -> list[str]:
    """Entries without data, once for all experiments; the first of each kind with the source of its data."""
    parts: dict[tuple[str, str], dict[str, Row]] = {}
    for result, _ in by_experiment.values():
        for name, suite in result["suites"].items():
            for part in PARTS:
                parts.setdefault((name, part), {}).update(suite.get(part, {}))
    lines = []
    for (name, part), entries in parts.items():
        missing = [entry for entry, about in entries.items() if about["status"] == "no data"]
        if missing:
            kind = "mixtures" if part == "memorisation" else part
            lines.append(f"{name}: no data for {len(missing)} of {len(entries)} {kind}: {', '.join(missing)}")
            lines.append(f"  such as {entries[missing[0]]['error']}")
    return lines
