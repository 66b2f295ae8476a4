"""Results as tables to print: a row a task and metric, a column an experiment."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tasks.benchmark.compare import Result, average_differences, differences, lost_rows
from tasks.benchmark.scores import NOISE
from tasks.evaluate.params import IntervalParams

Row = dict[str, Any]
Differences = dict[str, dict[tuple[str, ...], Row]]
"""Experiment → (suite, task, metric), or (suite, average) → its difference to the base."""

EXAMPLES = 2
"""Rows shown of a task that was lost."""


def tables(found: dict[str, Result], base: str, params: IntervalParams) -> list[Table]:
    """A table for each suite of ``found`` (experiment → its result); other experiments stand beside ``base``."""
    order = [*([base] if base in found else []), *(name for name in found if name != base)]
    apart: Differences = {}
    for name in order[1:] if base in found else ():
        apart[name] = dict(differences(found[base], found[name], params).items())
        apart[name] |= average_differences(found[base], found[name], params).items()
    suites = dict.fromkeys(suite for name in order for suite in found[name][0]["suites"])
    results = {name: found[name][0] for name in order}
    made = []
    for suite in suites:
        made.append(_table(suite, results, apart))
        made += _risk_table(suite, results)
    return made


def _table(suite: str, found: dict[str, Row], apart: Differences) -> Table:
    table = Table(title=suite)
    for head in ("task, metric", "rows", "chance", "majority"):
        table.add_column(head, no_wrap=True)
    for name in found:
        table.add_column(name, no_wrap=True)
        if name in apart:
            table.add_column(f"{name} − {next(iter(found))}", no_wrap=True)
    tasks = {name: result["suites"].get(suite, {}).get("tasks", {}) for name, result in found.items()}
    for task in dict.fromkeys(task for mine in tasks.values() for task in mine):
        done = [mine[task] for mine in tasks.values() if mine.get(task, {}).get("status") == "done"]
        for metric, about in done[0]["metrics"].items() if done else ():
            cells = [f"{task}, {metric}", str(done[0]["rows"]), _number(about["chance"]), _number(about["majority"])]
            for name in found:
                cells.append(_score(tasks[name].get(task, {}), metric))
                cells += [_apart(apart[name].get((suite, task, metric)))] if name in apart else []
            table.add_row(*cells)
    table.add_section()
    averages = {name: result["suites"].get(suite, {}).get("averages", {}) for name, result in found.items()}
    for group in dict.fromkeys(group for mine in averages.values() for group in mine):
        _add_average(table, group, averages, apart)
    return table


def _add_average(table: Table, group: str, averages: dict[str, dict[str, Row]], apart: Differences) -> None:
    first = next(mine[group] for mine in averages.values() if group in mine)
    cells = [f"{group}: {first['tasks']} of {first['of']} tasks", "", "", f"over {first['over']}"]
    for name, mine in averages.items():
        cells.append(_interval(mine[group]) if group in mine else "–")
        cells += [_apart(apart[name].get((str(table.title), group)))] if name in apart else []
    table.add_row(*cells, style="bold")


def _risk_table(suite: str, found: dict[str, Row]) -> list[Table]:
    """Cells of scenarios and memorisation; no table where a suite has none."""
    parts = {name: _risk_cells(result["suites"].get(suite, {})) for name, result in found.items()}
    if not any(parts.values()):
        return []
    table = Table(title=f"{suite}: bias, toxicity, memorisation")
    for head in ("scenario, metric", *found):
        table.add_column(head, no_wrap=True)
    for row in dict.fromkeys(row for cells in parts.values() for row in cells):
        table.add_row(row, *[_cell(cells.get(row)) for cells in parts.values()])
    return [table]


def _risk_cells(suite: Row) -> dict[str, Row]:
    found = {
        f"{scenario}, {metric}": cell
        for scenario, about in suite.get("scenarios", {}).items()
        for metric, cell in about.get("cells", {}).items()
    }
    memories = suite.get("memorisation", {})
    return found | {f"spans of {mixture} said verbatim": one["spans"] for mixture, one in memories.items()}


def _cell(cell: Row | None) -> str:
    if cell is None:
        return "–"
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


def _apart(about: Row | None) -> str:
    if about is None:
        return "other rows"
    return f"{about['value']:+.3f} [{about['low']:+.2f}, {about['high']:+.2f}] {about['verdict']}"


def remarks(found: dict[str, Result], base: str, params: IntervalParams) -> list[str]:
    """What the tables do not say: what is within noise of chance, what was lost, has no data, failed."""
    lines = [
        "~ within noise of chance; majority: of these very rows; kept: no difference that the rows can tell, lost and "
        "gained: one that they can"
    ]
    for name, (result, _) in found.items():
        tasks = [(n, task) for suite in result["suites"].values() for n, task in suite["tasks"].items()]
        done = [(n, task) for n, task in tasks if task["status"] == "done"]
        noise = [n for n, task in done if task["verdict"] == NOISE]
        tail = 1 - next(suite["settings"]["intervals"]["confidence"] for suite in result["suites"].values())
        lines.append(
            f"{name}: {len(noise)} of {len(done)} tasks within noise of chance"
            + (f": {', '.join(noise)}" if noise else "")
            + f"; of {len(done)} by guessing, {len(done) * tail:.1f} would look better by luck"
        )
        beside = [one for suite in result["suites"].values() for one in suite.get("scenarios", {}).values()]
        failed = (one for one in [*(task for _, task in tasks), *beside] if one["status"] == "failed")
        lines += [f"{name}: failed: {one['error']}" for one in failed]
        if base in found and name != base:
            lines += _lost(name, found[base], found[name], params)
    return lines + _missing(found)


def _lost(name: str, base: Result, tuned: Result, params: IntervalParams) -> list[str]:
    """Of each task that was lost the rows that fell most, before and after."""
    changes = differences(base, tuned, params)
    lost = dict.fromkeys((suite, task) for (suite, task, _), change in changes.items() if change["verdict"] == "lost")
    fell = lost_rows(base, tuned, EXAMPLES) if lost else {}
    lines = []
    for suite, task in lost:
        for before, after in fell[suite, task]:
            question = " ".join(before["question"].split())
            said = f"right {before['target']!r}, before {before['prediction']!r}, now {after['prediction']!r}"
            lines.append(f"{name}: lost {suite} {task}, such as row {before['doc_id']}: …{question[-120:]}: {said}")
    return lines


def _missing(found: dict[str, Result]) -> list[str]:
    """Tasks without data, once for all experiments; the first of each suite says where its data can come from."""
    lines = []
    suites = {
        name: suite["tasks"] | suite.get("scenarios", {})
        for result, _ in found.values()
        for name, suite in result["suites"].items()
    }
    for name, tasks in suites.items():
        missing = [task for task, about in tasks.items() if about["status"] == "no data"]
        if missing:
            lines.append(f"{name}: no data for {len(missing)} of {len(tasks)} tasks: {', '.join(missing)}")
            lines.append(f"  such as {tasks[missing[0]]['error']}")
    return lines
