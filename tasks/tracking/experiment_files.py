"""Read from the files of the workspace everything that the MLflow run of an experiment shows.

Nothing here uses MLflow. A file whose ``key`` differs from the manifest's belongs to another model and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.evaluate.inference_settings import params_of
from tasks.evaluate.predictions import INFERENCE
from tasks.tracking.legal_names import legal_name
from tasks.tracking.task_metrics import task_metrics

LARGE = 200 * 2**20
"""Files larger than this (bytes) are full weights. The manifest holds their hash, and a run stores them once."""

_EVALUATED_BY = ("predict", "evaluate")
"""Names of the step that evaluated a model, the present one first; earlier versions called it ``evaluate``."""

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
        groups: artifact folder (``model``, ``""`` for the root, ``comparison``) → files in it, by name.
    """

    training: dict[str, Any]
    evaluation: dict[str, Any]
    scores: dict[str, Any]
    inference: dict[str, Any]
    history: list[dict[str, Any]]
    data: list[Data]
    groups: dict[str, dict[str, Path]]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of everything that the run is built from; equal digests mean equal runs."""
        facts = [self.manifest, self.training, self.evaluation, self.scores, self.history, self.final_metrics()]
        return files.digest([facts, [[d.name, d.digest, d.context] for d in self.data], self.digests])

    def params(self) -> dict[str, Any]:
        """Parameters of training, and those of evaluation under ``evaluation``."""
        return self.manifest["params"] | (params_of(self.inference) if self.inference else {})

    def final_metrics(self) -> dict[str, float]:
        """The metrics of the finished run, under the same names for every experiment; unknown ones are left out."""
        metrics: dict[str, Any] = {}
        sizes = {
            name: self.manifest.get(name)
            for name in ("trainable_parameters", "total_parameters", "weights_bytes", "base_bytes")
        }
        memory = self.training.get("memory") or {}
        for name, score in self.scores.get("metrics", {}).items():
            metrics |= {name: score["value"], f"{name}_low": score.get("low"), f"{name}_high": score.get("high")}
            metrics[f"{name}_unparsed"] = score.get("unparsed")
        metrics |= {f"{name}_not_scored": rows for name, rows in self.scores.get("not_scored", {}).items()}
        metrics |= {
            "tokens_per_second": self.training.get("tokens_per_second"),
            "train_seconds": self.training.get("train_seconds", self.training.get("seconds")),
            "peak_memory_bytes": self.training.get("peak_memory_bytes"),
            "planned_memory_bytes": memory.get("planned"),
            "measured_memory_bytes": memory.get("measured"),
            "evaluation_seconds": self.evaluation.get("seconds"),
            "evaluation_rows_per_second": self.evaluation.get("rows_per_second"),
            **sizes,
            "trained_share": _share(sizes["trainable_parameters"], sizes["total_parameters"]),
            "kept_share": _share(sizes["weights_bytes"], sizes["base_bytes"]),
            "best_step": (self.manifest.get("best") or {}).get("step"),
            **task_metrics(self.scores),
        }
        return {legal_name(name): float(value) for name, value in metrics.items() if value is not None}

    def history_points(self) -> list[tuple[str, float, int, float]]:
        """(name, value, step, unix seconds) of every value that training logged."""
        return [
            (legal_name(name), float(value), int(line["step"]), float(line["time"]))
            for line in self.history
            for name, value in line.items()
            if name not in _HISTORY_KEYS and value is not None
        ]

    def tags(self) -> dict[str, str]:
        """Tags of the run, such as ``tunesmith.method``; unknown ones are left out."""
        values = {
            "method": self.manifest["method"],
            "git_commit": self.training.get("git_commit"),
            "prefect_flow_run_id": self.training.get("prefect_flow_run_id"),
            "base_model": (self.manifest.get("base_model") or {}).get("spec"),
            "fingerprint": (self.manifest.get("fingerprint") or {}).get("value"),
        }
        if self.scores:
            # The settings of the scores: signatures of metrics, and the languages of the sources.
            values |= {"test_sha256": self.scores["test_sha256"], **self.scores.get("settings", {})}
        return {f"tunesmith.{name}": str(value) for name, value in values.items() if value is not None}


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


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
    inference = _fresh(paths.report(name) / INFERENCE, key)
    # Stored with the model: wherever it is loaded, it generates as it was evaluated.
    beside = {INFERENCE: paths.report(name) / INFERENCE} if inference else {}
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
    return [folder / name for name in ("metrics.json", "predictions.parquet", INFERENCE) if (folder / name).exists()]


def _comparison(paths: Paths, name: str) -> dict[str, Path]:
    """The files of the comparison; empty if the experiment is not part of it."""
    summary = paths.comparison / "comparison.json"
    if summary.exists() and name not in {system["name"] for system in files.read_json(summary)["systems"]}:
        return {}
    return _files(paths.comparison)


def _digest(group: dict[str, Path], manifest: dict[str, Any]) -> str:
    """Digest of names and contents. The manifest has the hash of full weights, which would take long to compute."""
    large = {name for name, path in group.items() if path.stat().st_size > LARGE}
    hashes = {name: manifest["weights_sha256"] if name in large else files.sha256(path) for name, path in group.items()}
    return files.digest(hashes)


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
