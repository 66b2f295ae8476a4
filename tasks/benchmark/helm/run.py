"""Scenarios and memorisation on one model: the loop behind ``tunesmith helm`` and ``benchmark --suite risk``."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.benchmark.helm.joint import Joint
from tasks.benchmark.helm.measure_scenario import measure_scenario
from tasks.benchmark.helm.measured import Entry, Measured, Measurements
from tasks.benchmark.helm.memorisation import measure_memorisation, no_rows
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import Instance, QuestionRenderer, Scenario, data_hash, draw, find_files, missing
from tasks.core import files
from tasks.core.errors import TunesmithError, described
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tasks.template.library import library_of

logger = logging.getLogger("tunesmith")

_TIMED = "efficiency"

_SHOWS = ("table.py", "picture.py", "table.html.jinja")
"""Files of this package that only show results: if they change, nothing is measured again."""


class ModelRun:
    """Measures one model. The model is loaded only if a result is missing.

    Args:
        manifest: manifest of the model.
        load: loads the model.
        data: folder of the scenarios' files.
        params: what is measured, and on how many rows.
        paths: paths of the workspace.
        timed: whether seconds are part of the results. Without them, two runs give equal results.
    """

    def __init__(
        self,
        manifest: dict[str, Any],
        load: Callable[[], Predictor],
        data: Path,
        params: HelmParams,
        paths: Paths,
        timed: bool = True,
    ) -> None:
        self._name = manifest["experiment"]
        self._data, self._params, self._paths, self._timed = data, params, paths, timed
        self._predictor = functools.cache(load)
        used = params.model_dump(exclude={"data", "scenarios", "wide", "rows"})
        self._key = [manifest["key"], used, timed, _code()]

    def measure(
        self,
        scenarios: Mapping[str, Scenario],
        mixtures: Sequence[str],
        earlier: Measurements,
        after_each: Callable[[str, Measurements], None],
    ) -> Measurements:
        """Measure ``scenarios``, and memorisation of the training rows of ``mixtures``.

        A scenario that fails does not stop the others; its entry has the error.

        Args:
            earlier: results of an earlier run. Those stored under the same key are reused.
            after_each: gets the name of each scenario and mixture that is done, and the results so far.

        Raises:
            TunesmithError: the model cannot be loaded.
        """
        done = Measurements()
        for name, scenario in scenarios.items():
            self._scenario(name, scenario, earlier, done)
            after_each(name, done)
        for mixture in mixtures:
            self._memorisation(mixture, earlier, done)
            after_each(mixture, done)
        return done

    def _scenario(self, name: str, scenario: Scenario, earlier: Measurements, done: Measurements) -> None:
        if not find_files(scenario, self._data):
            done.scenarios[name] = no_data(scenario, missing(name, scenario, files.shown(self._data)))
            return
        try:
            drawn = draw(name, scenario, self._data, self._params.rows, self._params.seed)
            renderer = self._renderer(name, scenario, drawn)
        except Exception as error:
            done.scenarios[name] = self._failed(name, scenario, error)
            return
        key = files.digest([*self._key, data_hash(name, scenario, drawn), renderer.template if renderer else None])
        if earlier.scenarios.get(name, {}).get("key") == key:
            logger.info("%s: %s is measured already", self._name, name)
            done.scenarios[name] = earlier.scenarios[name]
            done.rows += [row for row in earlier.rows if row["scenario"] == name]
            return
        predictor = self._predictor()
        start = time.perf_counter()
        try:
            measured, dropped = measure_scenario(scenario, drawn, renderer, predictor, self._params)
        except Exception as error:  # such as too little memory: the others' results must not be lost
            done.scenarios[name] = self._failed(name, scenario, error)
            return
        seconds = time.perf_counter() - start
        rows = len(drawn) - dropped
        done.scenarios[name] = self._entry(scenario, measured) | {"key": key, "rows": rows, "too_long": dropped}
        done.scenarios[name] |= {"seconds": seconds} if self._timed else {}
        done.seconds[name] = seconds
        untimed = {} if self._timed else {"seconds": None}
        done.rows += [{"scenario": name} | row | untimed for row in measured.rows]
        logger.info("%s: %s, %d rows, %.0f s", self._name, name, rows, seconds)

    def _renderer(self, name: str, scenario: Scenario, drawn: Sequence[Instance]) -> QuestionRenderer | None:
        library = library_of(self._paths.root)
        if self._params.exact and scenario.joint is not None:
            return Joint(name, scenario, library, self._data, drawn, self._params.seed)
        return None if scenario.set is None else QuestionRenderer(name, scenario, library)

    def _entry(self, scenario: Scenario, measured: Measured) -> Entry:
        left_out = set(scenario.na) if self._timed else {*scenario.na, _TIMED}
        return {
            "status": "done",
            **_described(scenario),
            "cells": {metric: cell for metric, cell in measured.cells.items() if metric not in left_out},
            "details": {k: v for k, v in measured.details.items() if self._timed or k != _TIMED},
        }

    def _failed(self, name: str, scenario: Scenario, error: Exception) -> Entry:
        reason = f"{name}: {_reason(error)}"
        logger.error("%s: failed: %s", self._name, reason)
        return {"status": "failed", "error": reason, **_described(scenario)}

    def _memorisation(self, mixture: str, earlier: Measurements, done: Measurements) -> None:
        folder = self._paths.mixture(mixture)
        train = folder / "train.parquet"
        if not train.exists():
            entry = no_rows(mixture)
            done.memorisation[mixture] = {"status": "no data", "error": entry["spans"]["na"], **entry}
            return
        key = files.digest([*self._key, files.sha256(train)])
        if earlier.memorisation.get(mixture, {}).get("key") == key:
            done.memorisation[mixture] = earlier.memorisation[mixture]
            return
        predictor = self._predictor()
        start = time.perf_counter()
        try:
            entry = measure_memorisation(predictor, folder, self._params)
        except Exception as error:  # as above
            reason = f"memorisation of {mixture}: {_reason(error)}"
            logger.error("%s: failed: %s", self._name, reason)
            done.memorisation[mixture] = {"status": "failed", "error": reason, "mixture": mixture}
            return
        done.seconds[mixture] = time.perf_counter() - start
        timed = {"seconds": done.seconds[mixture]} if self._timed else {}
        done.memorisation[mixture] = {"status": "done", **entry, "key": key, **timed}


def no_data(scenario: Scenario, reason: str) -> Entry:
    """The entry of a scenario without files."""
    return {"status": "no data", "error": reason, **_described(scenario)}


def _described(scenario: Scenario) -> Entry:
    return {"kind": scenario.kind, "title": scenario.title, "not_applicable": dict(scenario.na)}


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TunesmithError) else described(error)


def _code() -> dict[str, str]:
    """Content hash of each file of this package that a result may depend on."""
    room = Path(__file__).parent
    return {path.name: files.sha256(path) for path in room.rglob("*") if _measures(path)}


def _measures(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and path.name not in _SHOWS
