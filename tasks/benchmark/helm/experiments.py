"""Measure several experiments for ``tunesmith helm``; write each result to ``reports/helm/X/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.benchmark import results
from tasks.benchmark.helm.measure_scenario import generation_params
from tasks.benchmark.helm.measured import Measurements
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.run import ModelRun
from tasks.benchmark.helm.scenarios import Scenario, find_files, missing
from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tasks.tuning.load import SharedBase
from tasks.tuning.untrained import is_trained

SUITE = "helm"
"""Name of the only suite in these results."""


def measure(
    experiments: Sequence[str], scenarios: Mapping[str, Scenario], data: Path, params: HelmParams, paths: Paths
) -> list[dict[str, Any]]:
    """Measure every experiment on every scenario. Results stored under the same key are reused.

    An untuned model is prompted with the training rows of all mixtures of ``experiments``, a tuned one with its own.

    Returns:
        Per experiment: ``experiment``, ``settings``, ``scenarios`` and ``memorisation``, as in ``results.json``. It has
            only the scenarios of this call; the file also keeps those of earlier ones.

    Raises:
        TunesmithError: an experiment has no model, or no scenario has files.
    """
    manifests = {name: _manifest(name, paths) for name in experiments}
    if not any(find_files(scenario, data) for scenario in scenarios.values()):
        raise TunesmithError("\n".join(missing(name, scenario, data) for name, scenario in scenarios.items()))
    device.use_threads(params.threads)
    mixtures = {name: manifest["params"]["mixture"] for name, manifest in manifests.items()}
    shared = SharedBase() if len(experiments) > 1 else None
    shown = []
    for name, manifest in manifests.items():
        own = [mixtures[name]] if is_trained(manifest["method"]) else sorted(set(mixtures.values()))
        shown.append(_measure(name, manifest, scenarios, own, data, params, paths, shared))
    return shown


def _measure(
    name: str,
    manifest: dict[str, Any],
    scenarios: Mapping[str, Scenario],
    mixtures: Sequence[str],
    data: Path,
    params: HelmParams,
    paths: Paths,
    shared: SharedBase | None,
) -> dict[str, Any]:
    folder = paths.helm / name
    earlier = results.measurements(results.read(folder), manifest["key"], SUITE)
    settings = params.model_dump(exclude={"data", "scenarios"})

    def write(last: str, done: Measurements) -> None:
        every = earlier.updated(done)
        suite = {"settings": settings, "scenarios": every.scenarios, "memorisation": every.memorisation}
        result = results.result(manifest, {SUITE: suite | {"tasks": {}, "averages": {}}})
        with files.replacing(folder) as temporary:
            results.write(temporary, result, [], every.rows)

    def load() -> Predictor:
        return Predictor.load(paths.model(name), generation_params(params), paths.root, shared)

    done = ModelRun(manifest, load, data, params, paths).measure(scenarios, mixtures, earlier, write)
    return {
        "experiment": name,
        "settings": settings,
        "scenarios": done.scenarios,
        "memorisation": done.memorisation,
    }


def _manifest(name: str, paths: Paths) -> dict[str, Any]:
    path = paths.model(name) / "manifest.json"
    if not path.exists():
        raise TunesmithError(
            f"helm: experiment {name!r} has no model ({path}); run `tunesmith run` (or `dvc repro`) first"
        )
    manifest: dict[str, Any] = files.read_json(path)
    return manifest
