"""``tunesmith helm``: models and local files → ``reports/helm/X/`` (``results.json``, a Parquet file a scenario)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.benchmark.helm.intervals import na
from tasks.benchmark.helm.measure import generation_params, measure_scenario
from tasks.benchmark.helm.measured import INSTANCES
from tasks.benchmark.helm.memorisation import measure_memorisation, no_rows
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import METRICS, Scenario, Wording, data_hash, draw, find_files, missing
from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tasks.template.library import library_of
from tasks.tuning.load import SharedBase

logger = logging.getLogger("tunesmith")

_SHOWS = ("table.py", "picture.py", "table.html.jinja")
"""Files of this room that only show what was measured."""

Results = dict[str, Any]


def measure(
    experiments: Sequence[str], scenarios: Mapping[str, Scenario], data: Path, params: HelmParams, paths: Paths
) -> list[Results]:
    """Measure every experiment on every scenario; what is there with the same key is not measured again.

    A scenario that fails is told in its cells and does not lose the others' results.

    Raises:
        TunesmithError: an experiment has no model, or no scenario finds its files.
    """
    manifests = {name: _manifest(name, paths) for name in experiments}
    if not any(find_files(scenario, data) for scenario in scenarios.values()):
        raise TunesmithError("\n".join(missing(name, scenario, data) for name, scenario in scenarios.items()))
    device.use_threads(params.threads)
    mixtures = {name: manifest["params"]["mixture"] for name, manifest in manifests.items()}
    results, shared = [], SharedBase() if len(experiments) > 1 else None
    for name, manifest in manifests.items():
        # What a tuned model was trained on is also tried on one that was not.
        mine = sorted(set(mixtures.values())) if manifest["method"] == "none" else [mixtures[name]]
        results.append(_Run(name, manifest, data, params, paths, shared).measure(scenarios, mine))
    return results


def _manifest(name: str, paths: Paths) -> dict[str, Any]:
    path = paths.model(name) / "manifest.json"
    if not path.exists():
        raise TunesmithError(
            f"helm: experiment {name!r} has no model ({path}); run `tunesmith run` (or `dvc repro`) first"
        )
    manifest: dict[str, Any] = files.read_json(path)
    return manifest


class _Run:
    """One experiment; its model is loaded when something must be measured."""

    def __init__(
        self,
        name: str,
        manifest: dict[str, Any],
        data: Path,
        params: HelmParams,
        paths: Paths,
        shared: SharedBase | None,
    ) -> None:
        self.name, self.manifest, self.data, self.params, self.paths = name, manifest, data, params, paths
        self._shared = shared
        self.folder = paths.helm / name
        self._predictor: Predictor | None = None
        code = {p.name: files.sha256(p) for p in Path(__file__).parent.rglob("*") if _measures(p)}
        measured_with = params.model_dump(exclude={"data", "scenarios", "wide", "rows"})
        self._key = [manifest["key"], measured_with, code]

    @property
    def predictor(self) -> Predictor:
        if self._predictor is None:
            folder, generation = self.paths.model(self.name), generation_params(self.params)
            self._predictor = Predictor.load(folder, generation, self.paths.root, self._shared)
        return self._predictor

    def measure(self, scenarios: Mapping[str, Scenario], mixtures: Sequence[str]) -> Results:
        results = self._known()
        for name, scenario in scenarios.items():
            self._scenario(name, scenario, results)
            self._write(results)
        for mixture in mixtures:
            self._memorisation(mixture, results)
            self._write(results)
        kept = {name: results["scenarios"][name] for name in scenarios}
        return results | {"scenarios": kept, "memorisation": {m: results["memorisation"][m] for m in mixtures}}

    def _known(self) -> Results:
        path = self.folder / "results.json"
        known: Results = files.read_json(path) if path.exists() else {}
        return {
            "schema": 1,
            "experiment": self.name,
            "key": self.manifest["key"],
            "method": self.manifest["method"],
            "params": self.params.model_dump(exclude={"data", "scenarios"}),
            "scenarios": known.get("scenarios", {}),
            "memorisation": known.get("memorisation", {}),
        }

    def _write(self, results: Results) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with files.replacing(self.folder / "results.json") as path:
            files.write_json(path, results)

    def _scenario(self, name: str, scenario: Scenario, results: Results) -> None:
        if not find_files(scenario, self.data):
            reason = missing(name, scenario, self.data)
            results["scenarios"][name] = _entry(scenario, None, {m: na(reason) for m in METRICS}, {}, missing=reason)
            return
        try:
            instances = draw(name, scenario, self.data, self.params.rows, self.params.seed)
            wording = None if scenario.set is None else Wording(name, scenario, library_of(self.paths.root))
            template = wording.template if wording else None
            key = files.digest([*self._key, data_hash(name, scenario, instances), template])
            if results["scenarios"].get(name, {}).get("key") == key and (self.folder / f"{name}.parquet").exists():
                logger.info("%s: %s is measured already", self.name, name)
                return
            start = time.perf_counter()
            measured, dropped = measure_scenario(scenario, instances, wording, self.predictor, self.params)
            seconds = time.perf_counter() - start
        except TunesmithError as error:
            logger.error("%s: %s: %s", self.name, name, error)
            failed = {m: na(f"failed: {error}") for m in METRICS}
            results["scenarios"][name] = _entry(scenario, None, failed, {}, error=str(error))
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with files.replacing(self.folder / f"{name}.parquet") as path:
            files.write_rows(path, measured.rows, INSTANCES)
        cells = {m: na(scenario.na[m]) if m in scenario.na else measured.cells[m] for m in METRICS}
        results["scenarios"][name] = _entry(
            scenario, key, cells, measured.details, rows=len(instances) - dropped, too_long=dropped, seconds=seconds
        )
        logger.info("%s: %s, %d rows, %.0f s", self.name, name, len(instances) - dropped, seconds)

    def _memorisation(self, mixture: str, results: Results) -> None:
        folder = self.paths.mixture(mixture)
        train = folder / "train.parquet"
        key = files.digest([*self._key, files.sha256(train) if train.exists() else None])
        if results["memorisation"].get(mixture, {}).get("key") == key:
            return
        start = time.perf_counter()
        memorised = measure_memorisation(self.predictor, folder, self.params) if train.exists() else no_rows(mixture)
        results["memorisation"][mixture] = memorised | {"key": key, "seconds": time.perf_counter() - start}


def _measures(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc" and path.name not in _SHOWS


def _entry(
    scenario: Scenario, key: str | None, cells: dict[str, Any], details: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {"key": key, "kind": scenario.kind, "title": scenario.title, "cells": cells, "details": details, **more}
