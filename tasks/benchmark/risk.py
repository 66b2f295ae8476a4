"""Scenarios and memorisation, which a suite measures in addition to lm-eval's tasks, as ``tunesmith helm`` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import Scenario, find_files, load_scenarios, missing
from tasks.benchmark.params import BenchmarkSettings
from tasks.core import files


def scenarios_with_data(names: Sequence[str], data: Path | None) -> tuple[dict[str, Scenario], dict[str, str]]:
    """The scenarios of ``names`` with files in ``data``; and for each of the others, where its files were searched."""
    known = load_scenarios(names) if names else {}
    folder = data if data is not None else Path("data")
    usable = {name: one for name, one in known.items() if data is not None and find_files(one, data)}
    return usable, {name: missing(name, one, files.shown(folder)) for name, one in known.items() if name not in usable}


def helm_params(settings: BenchmarkSettings) -> HelmParams:
    """Turn benchmark settings into settings of scenarios: all rows in size ``full``, else ``rows`` per scenario."""
    params = HelmParams(
        seed=settings.seed, precision=settings.precision, intervals=settings.intervals, threads=settings.threads
    )
    return params.model_copy(update={"rows": settings.rows if settings.size == "lite" else sys.maxsize})
