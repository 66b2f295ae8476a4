"""Everything that the report shows, read from the files of a workspace. Missing files leave their section out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.benchmark import results
from tasks.benchmark.differences import Result
from tasks.benchmark.helm.params import HelmParams
from tasks.compare.cells import Comparison
from tasks.compare.collect import System, collect
from tasks.core import files
from tasks.core.params import load, read_yaml
from tasks.core.paths import Paths
from tasks.registry.decisions import change_after
from tasks.registry.verdict import result_on_present
from tasks.tracking.experiment_files import read_lock
from tasks.tracking.run_params import flatten


@dataclass(frozen=True)
class Source:
    """A data set: the md5 of its files in ``dvc.lock`` (empty if unknown) and ``splits.json``."""

    name: str
    version: str
    split: dict[str, Any]


@dataclass(frozen=True)
class Mixture:
    """``report.json`` and ``contamination.json`` of a mixture; empty if missing."""

    name: str
    report: dict[str, Any]
    contamination: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """Files of one experiment; a mapping is empty if its file is missing or belongs to another model.

    Attributes:
        manifest: ``models/X/manifest.json``.
        training, prediction: ``run.json`` of ``runs/X/train`` and ``runs/X/predict``.
        history: lines of ``runs/X/train/history.jsonl``.
    """

    manifest: dict[str, Any]
    training: dict[str, Any]
    prediction: dict[str, Any]
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class Facts:
    """What the report shows.

    Attributes:
        comparison: ``comparison.json``.
        systems: the compared systems with their predictions, in the order of the comparison.
        decision: the gate's result on this comparison; None without one.
        since: the latest decision after ``decision`` that changed the champion; None without one.
        trained: experiment → its files.
        params: experiment → its resolved parameters of training, flattened to dotted keys.
        benchmarks, helm: experiment → results of benchmark suites, of HELM.
        wide: intervals of HELM's table that are wider get a mark (``helm.wide``).
    """

    comparison: Comparison
    systems: list[System]
    decision: dict[str, Any] | None = None
    since: dict[str, Any] | None = None
    trained: dict[str, Trained] = field(default_factory=dict)
    params: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    mixtures: list[Mixture] = field(default_factory=list)
    benchmarks: dict[str, Result] = field(default_factory=dict)
    helm: dict[str, Result] = field(default_factory=dict)
    wide: float = HelmParams.model_fields["wide"].default


def read_facts(paths: Paths) -> Facts:
    """Read the present comparison and all that stands beside it.

    Raises:
        TunesmithError: nothing has been compared yet, or a file does not have the format that its stage writes.
    """
    comparison = read_comparison(paths)
    names = [entry["name"] for entry in comparison["systems"]]
    known = {system.name: system for system in collect(paths, comparison["baseline"]["name"])}
    experiments = [entry["name"] for entry in comparison["systems"] if entry["kind"] == "experiment"]
    trained = {name: _trained(paths, name) for name in experiments}
    versions = source_versions(read_lock(paths))
    splits = sorted(paths.splits.glob("*/splits.json"))
    decision = result_on_present(paths)
    mixtures = sorted({path.parent.name for path in paths.mixtures.glob("*/report.json")})
    return Facts(
        comparison,
        [known[name] for name in names if name in known],
        decision,
        change_after(paths, decision) if decision else None,
        trained,
        {name: params for name in experiments if (params := _params(paths.experiment(name) / "train.yaml"))},
        [Source(name := path.parent.name, versions.get(name, ""), _json(path)) for path in splits],
        [_mixture(paths.mixture(name)) for name in mixtures],
        _results([(name, paths.benchmark(name)) for name in experiments], trained),
        _results([(name, paths.helm / name) for name in experiments], trained),
        **_wide(paths),
    )


def read_comparison(paths: Paths) -> Comparison:
    """``comparison.json``.

    Raises:
        TunesmithError: nothing has been compared yet.
    """
    path = paths.comparison / "comparison.json"
    files.refuse_missing(path)
    comparison: Comparison = files.read_json(path)
    return comparison


def _trained(paths: Paths, name: str) -> Trained:
    manifest = _json(paths.model(name) / "manifest.json")
    key = manifest.get("key")
    history = paths.run(name, "train") / "history.jsonl"
    return Trained(
        manifest,
        _of_key(_json(paths.run(name, "train") / "run.json"), key),
        _of_key(_json(paths.run(name, "predict") / "run.json"), key),
        files.read_jsonl(history) if history.exists() else [],
    )


def source_versions(stages: Mapping[str, Any]) -> dict[str, str]:
    """Source → md5 of its files.

    Args:
        stages: of ``dvc.lock``.
    """
    return {
        name: str(dep.get("md5", "")).removesuffix(".dir")
        for address, stage in stages.items()
        if (name := address.removeprefix("ingest@")) != address
        for dep in stage.get("deps", [])
        if dep["path"] == f"data/sources/{name}"
    }


def _wide(paths: Paths) -> dict[str, float]:
    file = paths.params / "evaluation.yaml"
    return {"wide": load(HelmParams, file, "helm").wide} if file.exists() else {}


def _params(path: Path) -> dict[str, str]:
    return flatten(read_yaml(path)) if path.exists() else {}


def _mixture(folder: Path) -> Mixture:
    return Mixture(folder.name, _json(folder / "report.json"), _json(folder / "contamination.json"))


def _results(folders: list[tuple[str, Path]], trained: dict[str, Trained]) -> dict[str, Result]:
    stored = {name: results.read(folder) for name, folder in folders}
    return {
        name: (one[0], one[1])
        for name, one in stored.items()
        if one is not None and one[0].get("key") == trained[name].manifest.get("key")
    }


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = files.read_json(path) if path.exists() else {}
    return content


def _of_key(content: dict[str, Any], key: str | None) -> dict[str, Any]:
    return content if content.get("key") == key else {}
