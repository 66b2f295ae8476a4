"""Walk from a registered version back to its training rows, and list which stores still hold each step."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.lineage.stored import opened_store
from tasks.model.signatures import SIGNATURE
from tasks.registry.result import describe
from tasks.serving.package import MODEL
from tasks.text.training_rows import NAME as TRAINING_ROWS
from tasks.text.training_rows import read_training_rows
from tasks.tracking.client import Tracker
from tasks.tracking.state import GIT, LOCK, PATCH, has_commit, read_state
from tasks.tracking.tag_names import GATE, NAME, REJECTED

_DECISION = {"verdict": GATE, "decided": "tunesmith.gate_decided", "rules": "tunesmith.gate_rules"}


def explain(version: ModelVersion, paths: Paths, tracker: Tracker) -> dict[str, Any]:
    """The lineage of a registered version.

    Returns:
        - ``version``: as ``tasks.registry.result.describe``, with ``name``, ``aliases`` and ``description``;
        - ``decision``: ``verdict``, ``decided`` (when and by whom), ``rules`` (lines), and ``rejected`` (``who``,
          ``when`` and ``why`` of a person who rejected or replaced the version; None without one);
        - ``model``: what the manifest says of method, base model, weights, fingerprint, key, and library versions;
        - ``weights``: stores that have the weights; ``signed``: whether the version has a signature; ``retrained``:
          whether the model of the experiment in the workspace has other weights than the version;
        - ``git``: ``commit``, ``uncommitted``, ``untracked`` and ``available``; None if it is not known;
        - ``parameters``: the resolved parameters of the training;
        - ``data``: one entry per data set on the way from the sources: ``stage``, ``path``, ``md5``, ``where``;
        - ``templates``: name → text;
        - ``contract``: number of training rows, and rows dropped, by reason;
        - ``contamination``: source → its test ``rows``, and those that are ``dirty``; empty if it is not known;
        - ``training_rows``: number of rows, by ``generation`` (0 for the model's own) and source;
          ``distinct_rows``: number of distinct rows; a row that several generations saw counts once.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_id = str(version.run_id)
        model = _model_files(tracker, run_id, folder)
        if not (model / "manifest.json").exists():
            raise TunesmithError(
                f"models:/{version.name}/{version.version}: its MLflow run {run_id} must have {MODEL}/manifest.json; "
                "it is lost, and with it the lineage; copy the run's folder from a backup into mlartifacts"
            )
        manifest = files.read_json(model / "manifest.json")
        state = read_state(tracker.client, run_id, folder)
        lock = read_yaml(state / LOCK) if state and (state / LOCK).exists() else {}
        rows = read_training_rows(model)
        counts = Counter(zip(rows.column("generation").to_pylist(), rows.column("source").to_pylist(), strict=True))
        return {
            "version": _version(version),
            "decision": {name: version.tags.get(tag) for name, tag in _DECISION.items()}
            | {"rejected": json.loads(version.tags[REJECTED]) if REJECTED in version.tags else None},
            "model": _about(manifest),
            "signed": SIGNATURE in {Path(one.path).name for one in tracker.client.list_artifacts(run_id, MODEL)},
            "weights": _weights(version, manifest, paths, tracker),
            "retrained": _present_weights(version, paths) not in (None, manifest["weights_sha256"]),
            "git": _git(state, paths),
            "parameters": manifest["params"],
            "data": _data(str(version.tags.get(NAME)), lock.get("stages", {}), paths),
            "templates": manifest.get("templates") or {},
            "contract": _contract(manifest),
            "contamination": _contamination(manifest, paths),
            "training_rows": [
                {"generation": generation, "source": source, "rows": count}
                for (generation, source), count in sorted(counts.items())
            ],
            "distinct_rows": rows.group_by(["source", "row_id"]).aggregate([]).num_rows,
        }


def _model_files(tracker: Tracker, run_id: str, folder: Path) -> Path:
    """A folder with the small files of the model: its manifest and the list of its training rows."""
    model = folder / "small"
    model.mkdir()
    stored = {artifact.path for artifact in tracker.client.list_artifacts(run_id, MODEL)}
    for name in ("manifest.json", TRAINING_ROWS):
        if f"{MODEL}/{name}" in stored:
            stored_file = tracker.client.download_artifacts(run_id, f"{MODEL}/{name}", str(folder))
            shutil.move(stored_file, model / name)
    return model


def _version(version: ModelVersion) -> dict[str, Any]:
    own = {"name": version.name, "aliases": list(version.aliases), "description": version.description}
    return own | (describe(version) or {})


def _about(manifest: dict[str, Any]) -> dict[str, Any]:
    names = ("experiment", "method", "key", "weights_sha256", "base_model", "versions", "computed")
    fingerprint = (manifest.get("fingerprint") or {}).get("value")
    return {name: manifest.get(name) for name in names} | {"fingerprint": fingerprint}


def _weights(version: ModelVersion, manifest: dict[str, Any], paths: Paths, tracker: Tracker) -> list[str]:
    stores = []
    if _present_weights(version, paths) == manifest["weights_sha256"]:
        stores.append("workspace")
    stored = [artifact.path for artifact in tracker.client.list_artifacts(str(version.run_id), MODEL)]
    if any(path.endswith(".safetensors") for path in stored):
        stores.append("MLflow")
    return stores


def _present_weights(version: ModelVersion, paths: Paths) -> str | None:
    """Hash of the weights that the workspace's model of the version's experiment has; None without one."""
    path = paths.model(str(version.tags.get(NAME))) / "manifest.json"
    return str(files.read_json(path)["weights_sha256"]) if path.exists() else None


def _git(state: Path | None, paths: Paths) -> dict[str, Any] | None:
    if state is None:
        return None
    git: dict[str, Any] = files.read_json(state / GIT)
    patch = (state / PATCH).exists()
    return git | {"patch": patch, "available": has_commit(paths.root, git["commit"] or "")}


def _data(experiment: str, stages: dict[str, Any], paths: Paths) -> list[dict[str, Any]]:
    """The data sets on the way to ``train@EXPERIMENT`` and to its evaluation, the sources first."""
    made = {out["path"]: address for address, stage in stages.items() for out in stage.get("outs", [])}
    entries: dict[str, dict[str, Any]] = {}

    def visit(address: str) -> None:
        for dependency in stages.get(address, {}).get("deps", []):
            path = dependency["path"]
            if not path.startswith("data/"):
                continue
            # A stage may depend on a folder that several stages fill, or on a file in what one stage writes.
            makers = [
                (out, stage)
                for out, stage in made.items()
                if out == path or out.startswith(f"{path}/") or path.startswith(f"{out}/")
            ]
            for out, stage in makers:
                if out not in entries:
                    entries[out] = {}
                    visit(stage)
                    md5 = next(one.get("md5") for one in stages[stage]["outs"] if one["path"] == out)
                    entries[out] = {"stage": stage, "path": out, "md5": md5}
            if not makers and path not in entries:
                entries[path] = {"stage": None, "path": path, "md5": dependency.get("md5")}

    for step in ("train", "predict"):
        visit(f"{step}@{experiment}")
    known = [entry for entry in entries.values() if entry.get("md5")]
    if not known:
        return []
    order = list(stages)
    known.sort(key=lambda entry: order.index(entry["stage"]) if entry["stage"] else -1)
    with opened_store(paths) as store:
        return [entry | {"where": store.where(entry["path"], entry["md5"])} for entry in known]


def _contract(manifest: dict[str, Any]) -> dict[str, Any]:
    train = (manifest.get("contract") or {}).get("train") or {}
    return {"rows": train.get("rows"), "dropped": train.get("dropped") or {}}


def _contamination(manifest: dict[str, Any], paths: Paths) -> dict[str, Any]:
    """The summary of the mixture's present contamination report, if the mixture is the one that was trained on."""
    mixture = manifest["params"].get("mixture")
    folder = paths.mixture(str(mixture))
    trained = manifest["inputs"].get(f"data/mixtures/{mixture}/train.parquet")
    train, report = folder / "train.parquet", folder / "contamination.json"
    if trained is None or not (train.exists() and report.exists()) or files.sha256(train) != trained:
        return {}
    sets: dict[str, dict[str, Any]] = files.read_json(report)["sets"]
    return {name: {"rows": one["rows"], "dirty": one["counts"]["dirty"]} for name, one in sets.items()}
