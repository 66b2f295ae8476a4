"""Read from the files of the workspace everything that the MLflow run of an experiment shows.

Nothing here calls MLflow. A file whose ``key`` differs from the manifest's belongs to another model and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

from tasks.core import files
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.evaluate.inference_settings import identity, params_of
from tasks.evaluate.predictions import CANARY
from tasks.evaluate.predictions import INFERENCE as INFERENCE_FILE
from tasks.tracking.metric_names import DEFAULT_PRIMARY
from tasks.tracking.run_params import main_params
from tasks.tracking.tag_names import INFERENCE

REPORT = "report.html"

LARGE = 200 * 2**20
"""Files larger than this (bytes) are full weights. The manifest holds their hash, and a run stores them once."""

VERSION = 2
"""Raised when a version of this code shows the same files in another way: ``sync`` then completes every run again."""

_EVALUATED_BY = ("predict", "evaluate")
"""Names of the step that evaluated a model, the present one first; earlier versions called it ``evaluate``."""

_DIGITS = 12
"""Digits of a digest that a tag shows; it is compared with that of the same run alone."""

_HISTORY_KEYS = {"step", "epoch", "time"}


@dataclass(frozen=True)
class Data:
    """A data set of a run: its path, its md5 from DVC, and its use (``training``, ``validation``, ``testing``)."""

    name: str
    digest: str
    context: str


@dataclass(frozen=True)
class Trained:
    """An experiment with ``models/X/manifest.json``."""

    name: str
    manifest: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @property
    def weights(self) -> str:
        """sha256 of the trained weights; empty for method ``none``."""
        return self.manifest.get("weights_sha256") or ""


@dataclass(frozen=True)
class ExperimentFiles(Trained):
    """The files of one experiment. A mapping is empty if its file is missing or belongs to another model.

    Attributes:
        training: ``runs/X/train/run.json``.
        evaluation: ``runs/X/predict/run.json``. An earlier version wrote ``runs/X/evaluate/run.json``.
        scores: ``reports/experiments/X/metrics.json``.
        inference: ``reports/experiments/X/inference.json``.
        history: lines of ``runs/X/train/history.jsonl``.
        comparison: ``reports/comparison/comparison.json``.
        groups: artifact folder (``model``, ``""`` for the root, ``comparison``) → files in it, by name.
    """

    training: dict[str, Any]
    evaluation: dict[str, Any]
    scores: dict[str, Any]
    inference: dict[str, Any]
    history: list[dict[str, Any]]
    comparison: dict[str, Any]
    data: list[Data]
    groups: dict[str, dict[str, Path]]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def primary(self) -> str:
        """The primary metric of the comparison, a score of ``metrics.json``."""
        return str(self.comparison.get("metric") or DEFAULT_PRIMARY)

    @property
    def data_digest(self) -> str:
        """Digest of the evaluation set, which has the test, validation and retention rows, in at most 36 characters.

        It is DVC's md5, or the start of ``test_sha256`` if ``dvc.lock`` lacks the set.
        """
        known = (data.digest for data in self.data if data.context == "testing")
        return next(known, str(self.scores["test_sha256"])[:36])

    @property
    def digest(self) -> str:
        """Digest of everything that the run is built from; equal digests mean equal runs."""
        facts = [VERSION, self.primary, self.manifest, self.training, self.evaluation, self.scores, self.history]
        data = [[one.name, one.digest, one.context] for one in self.data]
        return files.digest([facts, data, self.digests])[:_DIGITS]

    def params(self) -> dict[str, Any]:
        """The parameters of training that matter most, and the number of examples per prompt (``shots``)."""
        return main_params(self.manifest["params"]) | ({"shots": self.inference["shots"]} if self.inference else {})

    def all_params(self) -> dict[str, Any]:
        """All parameters of training, and those of evaluation under names that start with ``evaluation.``."""
        return self.manifest["params"] | (params_of(self.inference) if self.inference else {})

    def entry(self) -> dict[str, Any]:
        """The experiment's entry among the ``systems`` of the comparison; empty if it is not part of it."""
        systems = self.comparison.get("systems", [])
        return next((one for one in systems if one["name"] == self.name and one.get("key") in (None, self.key)), {})

    def history_points(self) -> list[tuple[str, float, int, float]]:
        """(name, value, step, unix seconds) of every value that training logged."""
        return [
            (name, float(value), int(line["step"]), float(line["time"]))
            for line in self.history
            for name, value in line.items()
            if name not in _HISTORY_KEYS and value is not None
        ]

    def tags(self) -> dict[str, str]:
        """Tags of the run, such as ``tunesmith.method``; unknown ones are left out."""
        values = {
            "tunesmith.method": self.manifest["method"],
            "tunesmith.base_model": (self.manifest.get("base_model") or {}).get("spec"),
            MLFLOW_GIT_COMMIT: self.training.get("git_commit"),
            INFERENCE: identity(self.inference) if self.inference else None,
        }
        return {name: str(value) for name, value in values.items() if value is not None}

    def origin(self) -> dict[str, Any]:
        """The hashes and ids by which the run is traced to its inputs, for the artifact ``origin.json``."""
        return {
            "key": self.key,
            "weights_sha256": self.weights or None,
            "base_model": self.manifest.get("base_model"),
            "fingerprint": (self.manifest.get("fingerprint") or {}).get("value"),
            "inputs": self.manifest.get("inputs"),
            "data": {data.name: data.digest for data in self.data},
            "test_sha256": self.scores.get("test_sha256"),
            "inference_sha256": identity(self.inference) if self.inference else None,
            "metric_settings": self.scores.get("settings"),
            "git_commit": self.training.get("git_commit"),
            "prefect_flow_run_id": self.training.get("prefect_flow_run_id"),
        }

    def with_files(self, added: dict[str, Path]) -> ExperimentFiles:
        """The experiment with more files in the root of its artifacts."""
        root = self.groups[""] | added
        digest = _digest(root, self.manifest)
        return replace(self, groups=self.groups | {"": root}, digests=self.digests | {"": digest})


def names(paths: Paths) -> list[str]:
    """Names of the present experiments that have a model."""
    folders = sorted(paths.resolved.iterdir()) if paths.resolved.is_dir() else []
    return [folder.name for folder in folders if (paths.model(folder.name) / "manifest.json").exists()]


def read_lock(paths: Paths) -> dict[str, Any]:
    """The stages of ``dvc.lock``; empty before the first ``dvc repro``."""
    path = paths.root / "dvc.lock"
    stages: dict[str, Any] = read_yaml(path).get("stages", {}) if path.exists() else {}
    return stages


def read(paths: Paths, name: str, lock: Mapping[str, Any]) -> ExperimentFiles:
    """Read the files of the experiment ``name``; ``lock`` from ``read_lock``."""
    manifest = files.read_json(paths.model(name) / "manifest.json")
    key = manifest["key"]
    training = _fresh(paths.run(name, "train") / "run.json", key)
    scores = _fresh(paths.report(name) / "metrics.json", key)
    inference = _fresh(paths.report(name) / INFERENCE_FILE, key)
    # Stored with the model: wherever it is loaded, it generates as it was evaluated.
    beside = {one: paths.report(name) / one for one in (INFERENCE_FILE, CANARY)} if inference else {}
    beside = {one: path for one, path in beside.items() if path.exists()}  # earlier versions wrote no canary
    history = paths.run(name, "train") / "history.jsonl"
    groups = {
        "model": _files(paths.model(name)) | beside,
        "": {p.name: p for p in _reports(paths.report(name))} if scores else {},
        "comparison": _comparison(paths, name),
    }
    return ExperimentFiles(
        name=name,
        manifest=manifest,
        training=training,
        evaluation=_evaluation(paths, name, key),
        scores=scores,
        inference=inference,
        history=files.read_jsonl(history) if training and history.exists() else [],
        comparison=read_comparison(paths),
        data=_data(paths, name, manifest, bool(scores), lock),
        groups=groups,
        digests={group: _digest(paths_by_name, manifest) for group, paths_by_name in groups.items()},
    )


def _fresh(path: Path, key: str) -> dict[str, Any]:
    content: dict[str, Any] = files.read_json(path) if path.exists() else {}
    return content if content.get("key") == key else {}


def _evaluation(paths: Paths, name: str, key: str) -> dict[str, Any]:
    runs = (_fresh(paths.run(name, step) / "run.json", key) for step in _EVALUATED_BY)
    return next((run for run in runs if run), {})


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def _reports(folder: Path) -> list[Path]:
    return [
        folder / name for name in ("metrics.json", "predictions.parquet", INFERENCE_FILE) if (folder / name).exists()
    ]


def read_comparison(paths: Paths) -> dict[str, Any]:
    """The content of ``reports/comparison/comparison.json``; empty without it."""
    path = paths.comparison / "comparison.json"
    comparison: dict[str, Any] = files.read_json(path) if path.exists() else {}
    return comparison


def _comparison(paths: Paths, name: str) -> dict[str, Path]:
    """The files of the comparison; empty if the experiment is not part of it."""
    systems = read_comparison(paths).get("systems", [])
    if systems and name not in {system["name"] for system in systems}:
        return {}
    # The report is written after the gate's decision, and belongs to the run of the flow.
    return {name: path for name, path in _files(paths.comparison).items() if name != REPORT}


def _digest(group: dict[str, Path], manifest: dict[str, Any]) -> str:
    """Digest of names and contents. The manifest has the hash of full weights, which would take long to compute."""
    large = {name for name, path in group.items() if path.stat().st_size > LARGE}
    hashes = {name: manifest["weights_sha256"] if name in large else files.sha256(path) for name, path in group.items()}
    return files.digest(hashes)[:_DIGITS]


def _data(paths: Paths, name: str, manifest: dict[str, Any], scored: bool, lock: Mapping[str, Any]) -> list[Data]:
    """The data sets with their md5 from ``dvc.lock``: that which the stage read, else that of the present output."""
    folder = paths.mixtures.relative_to(paths.root).as_posix()
    mixtures = [path for path in manifest.get("inputs", {}) if path.startswith(f"{folder}/")]
    evaluation = [paths.evaluation_set.relative_to(paths.root).as_posix()] if scored else []
    contexts = {path: "validation" if Path(path).stem == "validation" else "training" for path in mixtures}
    trained_by, evaluated_by = [f"train@{name}"], [f"{step}@{name}" for step in _EVALUATED_BY]
    used = [(path, trained_by, context) for path, context in contexts.items()]
    used += [(path, evaluated_by, "testing") for path in evaluation]
    digests = ((path, _md5(path, stages, lock), context) for path, stages, context in used)
    return [Data(path, md5, context) for path, md5, context in digests if md5]


def _md5(path: str, stages: list[str], lock: Mapping[str, Any]) -> str | None:
    read = [dep for stage in stages for dep in lock.get(stage, {}).get("deps", [])]
    written = [out for entry in lock.values() for out in entry.get("outs", [])]
    return next((entry["md5"] for entry in [*read, *written] if entry["path"] == path and "md5" in entry), None)
