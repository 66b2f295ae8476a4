"""Risks that lm-eval has no tasks for: bias, toxicity and memorisation, as ``tasks.benchmark.helm`` measures them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from tasks.benchmark.helm.measure import measure_scenario
from tasks.benchmark.helm.measured import INSTANCES
from tasks.benchmark.helm.memorisation import measure_memorisation, no_rows
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import Scenario, Wording, draw, find_files, load_scenarios, missing
from tasks.benchmark.params import BenchmarkSettings
from tasks.core import files
from tasks.core.errors import TunesmithError, described
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tasks.template.library import library_of
from tasks.text.rows import Row

RISKS = pa.schema([("scenario", pa.string()), *(field for field in INSTANCES if field.name != "seconds")])
"""Columns of ``risks.parquet``: of ``tasks.benchmark.helm``, without what differs between two runs."""


def scenarios_with_data(names: Sequence[str], data: Path | None) -> tuple[dict[str, Scenario], dict[str, str]]:
    """The scenarios ``names`` whose files are in ``data``; of the others what was looked for."""
    known = load_scenarios(names) if names else {}
    folder = data if data is not None else Path("data")
    usable = {name: one for name, one in known.items() if data is not None and find_files(one, data)}
    return usable, {name: missing(name, one, files.shown(folder)) for name, one in known.items() if name not in usable}


def helm_params(settings: BenchmarkSettings) -> HelmParams:
    """The settings of benchmarks, for scenarios; how many rows, ``measure_risk`` says."""
    return HelmParams(
        seed=settings.seed, precision=settings.precision, intervals=settings.intervals, threads=settings.threads
    )


def measure_risk(
    name: str, scenario: Scenario, data: Path, predictor: Predictor, settings: BenchmarkSettings, root: Path
) -> tuple[Row, list[Row]]:
    """What the result says of a scenario (``title``, ``rows``, ``too_long``, ``cells``, ``details``; or ``error``), and
    rows of ``RISKS``."""
    params = helm_params(settings)
    try:
        rows = settings.rows if settings.size == "lite" else sys.maxsize
        drawn = draw(name, scenario, data, rows, params.seed)
        wording = None if scenario.set is None else Wording(name, scenario, library_of(root))
        measured, dropped = measure_scenario(scenario, drawn, wording, predictor, params)
    except TunesmithError as error:
        return {"status": "failed", "error": f"{name}: {error}"}, []
    except Exception as error:  # such as memory: the others' results must not be lost
        return {"status": "failed", "error": f"{name}: {described(error)}"}, []
    timed = "efficiency"
    entry = {
        "status": "done",
        "title": scenario.title,
        "rows": len(drawn) - dropped,
        "too_long": dropped,
        "cells": {metric: cell for metric, cell in measured.cells.items() if metric != timed},
        "details": {metric: about for metric, about in measured.details.items() if metric != timed},
    }
    return entry, [{"scenario": name} | {k: v for k, v in row.items() if k != "seconds"} for row in measured.rows]


def measure_memory(
    predictor: Predictor, settings: BenchmarkSettings, paths: Paths, mixtures: Sequence[str]
) -> dict[str, Row]:
    """Mixture → what the model says to beginnings of its training rows (``status``, ``spans``, ...; or ``error``): of
    its own, of ``mixtures`` where it was trained on none."""
    manifest = predictor.manifest
    own = mixtures if manifest["method"] == "none" else [manifest["params"]["mixture"]]
    return {mixture: _memory(predictor, paths.mixture(mixture), settings) for mixture in own}


def _memory(predictor: Predictor, folder: Path, settings: BenchmarkSettings) -> Row:
    if not (folder / "train.parquet").exists():
        entry = no_rows(folder.name)
        return {"status": "no data", "error": entry["spans"]["na"], **entry}
    try:
        return {"status": "done"} | measure_memorisation(predictor, folder, helm_params(settings))
    except Exception as error:  # as above
        return {"status": "failed", "error": f"memorisation of {folder.name}: {described(error)}"}
