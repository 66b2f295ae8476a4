"""Benchmark suites and HELM's scenarios, as they were measured on the present models."""

from __future__ import annotations

from tasks.benchmark.helm.table import TITLES, below, overview
from tasks.benchmark.table import compared, grids, remarks
from tasks.compare.cells import intervals_of
from tasks.metrics.params import VerdictParams
from tasks.report.facts import Facts
from tasks.report.sections import Shown


def benchmarks(facts: Facts) -> Shown | None:
    """One table per suite; None if no suite was run on a present model."""
    if not facts.benchmarks:
        return None
    comparison = facts.comparison
    base = comparison["baseline"]["name"]
    apart = compared(facts.benchmarks, base, intervals_of(comparison), VerdictParams(**comparison["verdicts"]))
    return {"grids": grids(facts.benchmarks, base, apart), "remarks": remarks(facts.benchmarks, base, apart)}


def helm(facts: Facts) -> Shown | None:
    """HELM's table of scenarios and metrics; None if HELM was not run on a present model."""
    results = [result for result, _ in facts.helm.values() if "helm" in result["suites"]]
    if not results:
        return None
    measured = [{**result, **result["suites"]["helm"]} for result in results]
    shared = set.intersection(*(set(one["scenarios"]) for one in measured))
    of_all = [{**one, "scenarios": {n: s for n, s in one["scenarios"].items() if n in shared}} for one in measured]
    shown = overview(of_all, facts.wide)
    return {"lines": shown.lines, "titles": list(TITLES.values()), "below": below(shown)}
