"""Paths of the files and folders of a workspace. A step takes its paths from this module only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Paths:
    """Paths of one workspace, relative to ``root`` (the folder of ``dvc.yaml``)."""

    root: Path

    @classmethod
    def here(cls) -> Paths:
        """The workspace of the current folder; DVC runs every stage in its root."""
        return cls(Path.cwd())

    @property
    def params(self) -> Path:
        return self.root / "params"

    @property
    def sources(self) -> Path:
        return self.root / "data/sources"

    @property
    def splits(self) -> Path:
        return self.root / "data/splits"

    @property
    def scorings(self) -> Path:
        return self.root / "data/scoring"

    @property
    def mixtures(self) -> Path:
        return self.root / "data/mixtures"

    @property
    def evaluation_set(self) -> Path:
        return self.root / "data/evaluation"

    @property
    def resolved(self) -> Path:
        return self.root / "build/experiments"

    @property
    def reports(self) -> Path:
        return self.root / "reports/experiments"

    @property
    def baselines(self) -> Path:
        return self.root / "reports/baselines"

    @property
    def comparison(self) -> Path:
        return self.root / "reports/comparison"

    def gate(self, comparison: str) -> Path:
        """The gate's verdict on the comparison with this digest; no stage writes or reads it."""
        return self.root / f"reports/gate/{comparison[:16]}.json"

    @property
    def ledger(self) -> Path:
        """One JSON line per decision about the champion; git versions it."""
        return self.root / "decisions.jsonl"

    @property
    def cards(self) -> Path:
        """One folder per trained model with its model card; no stage writes or reads them."""
        return self.root / "reports/cards"

    def card(self, experiment: str) -> Path:
        return self.cards / experiment

    @property
    def preferences(self) -> Path:
        """Judgements of people on pairs of experiments; no stage writes or reads them."""
        return self.root / "reports/preferences"

    @property
    def drift(self) -> Path:
        """The latest result of ``tasks.drift``; no stage writes or reads it."""
        return self.root / "reports/drift/drift.json"

    @property
    def helm(self) -> Path:
        """One folder per experiment, and the table of all; no stage writes or reads them."""
        return self.root / "reports/helm"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def state(self) -> Path:
        """Locks, leases and the Prefect database: nothing here is an input or an output."""
        return self.root / ".tunesmith"

    def train_lock(self, experiment: str) -> Path:
        """Lock of the operating system that a training holds while it runs."""
        return self.state / "locks" / f"train-{experiment}"

    def source(self, name: str) -> Path:
        return self.sources / name

    def raw(self, source: str) -> Path:
        return self.root / f"data/raw/{source}.parquet"

    def rendered(self, source: str) -> Path:
        return self.root / f"data/rendered/{source}.parquet"

    def scoring(self, source: str) -> Path:
        """The metrics of the source's templates, apart from its rows."""
        return self.scorings / f"{source}.json"

    def split(self, source: str) -> Path:
        return self.splits / source

    def mixture(self, name: str) -> Path:
        return self.mixtures / name

    @property
    def bases(self) -> Path:
        return self.root / "build/bases"

    def base(self, name: str) -> Path:
        """Fingerprint of a local model of ``base_models``."""
        return self.bases / f"{name}.json"

    def experiment(self, name: str) -> Path:
        """Folder of the resolved parameters: ``train.yaml``, ``predict.yaml`` and ``score.yaml``."""
        return self.resolved / name

    def model(self, experiment: str) -> Path:
        return self.root / "models" / experiment

    def run(self, experiment: str, step: str) -> Path:
        """Volatile facts of the step ``train``, ``predict`` or ``benchmark``; no stage depends on them."""
        return self.root / "runs" / experiment / step

    def predictions(self, experiment: str) -> Path:
        """What ``predict@X`` generates and ``score@X`` scores."""
        return self.root / "reports/predictions" / experiment

    def report(self, experiment: str) -> Path:
        return self.reports / experiment

    def baseline(self, name: str) -> Path:
        return self.baselines / name

    def trial(self, name: str) -> Path:
        """Losses of a trial of a sweep, written by the stage ``trial@NAME``."""
        return self.root / "reports/trials" / name

    def benchmark(self, experiment: str) -> Path:
        """Results of benchmark suites: of the stage ``benchmark@X`` or of ``tunesmith benchmark``."""
        return self.root / "reports/benchmarks" / experiment

    def preference(self, a: str, b: str) -> Path:
        return self.preferences / f"{a}-vs-{b}"


def user_cache() -> Path:
    """Folder of converted base models, shared by workspaces; the variable ``TUNESMITH_CACHE`` changes it."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tunesmith"
    return Path(os.environ.get("TUNESMITH_CACHE", default))


TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri(root: Path) -> str:
    """The address of MLflow's store: ``MLFLOW_TRACKING_URI``, else the SQLite file of the workspace ``root``."""
    return os.environ.get(TRACKING_VARIABLE) or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def folder_of_uri(uri: str | None) -> Path | None:
    """The folder on this machine that ``uri`` names, such as the address of a run's artifacts; None for another store.

    MLflow's ``download_artifacts`` would copy it.
    """
    parts = urlsplit(uri or "")
    return Path(unquote(parts.path)) if uri and parts.scheme in ("", "file") else None
