"""Read the reports to compare: those of the present experiments and of the trivial baselines."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.text.rows import Row
from tasks.tuning.untrained import is_trained

Metric = dict[str, float | None]

NOT_EVALUATED = "not evaluated yet"
OTHER_ROWS = "evaluated on other test rows; `tunesmith run` evaluates it again"


@dataclass(frozen=True)
class System:
    """A model or a trivial baseline with its outputs for the test rows.

    Attributes:
        kind: ``baseline`` is a trivial one (lead, nearest), not the experiment that others are compared with.
        method: training method of an experiment (none, full, lora, …); None for a trivial baseline.
        metrics: name → ``{"value", "low", "high"}``; a missing or infinite value is None.
        groups: ``groups`` of ``metrics.json``: kind → group → metric → scores; may be empty.
        model: ``model`` of ``metrics.json``: parameters, sizes, nearest words of a soft prompt; may be empty.
        rows: predictions, one per test row.
        retention: predictions for the retention rows (other tasks); empty if the evaluation set has no such rows.
        retired: predictions for rows of earlier test sets; empty if there are none.
        validation: loss of each validation row (``nll``, ``tokens``, ``bytes``); empty for a trivial baseline, and in
            reports of earlier versions.
        seed: seed of the training; None for a trivial baseline.
        repeats: the experiment that this one repeats with another seed; None if it is no repeat.
        problem: why the system cannot be compared; None if it can.
    """

    name: str
    kind: Literal["experiment", "baseline"]
    method: str | None = None
    key: str | None = None
    test_sha256: str | None = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    groups: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    retention: list[Row] = field(default_factory=list)
    retired: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    seed: int | None = None
    repeats: str | None = None
    problem: str | None = None

    @property
    def tuned(self) -> bool:
        return self.method is not None and is_trained(self.method)

    def value(self, metric: str) -> float | None:
        return self.metrics.get(metric, {}).get("value")


def collect(paths: Paths, baseline: str) -> list[System]:
    """Read the systems in the order of the report: ``baseline``, the other experiments by name, the trivial baselines.

    Only folders of ``build/experiments`` count as experiments, since reports of deleted ones may still exist.

    Raises:
        TunesmithError: there is no experiment, or a file does not have the format that its stage writes.
    """
    names = sorted(folders(paths.resolved), key=lambda name: (name != baseline, natural(name)))
    if not names:
        raise TunesmithError(
            f"{paths.resolved}: a comparison needs at least one experiment; there is none. "
            "Name one in params/experiments.yaml, then run `tunesmith run` (or `dvc repro`)"
        )
    experiments = [
        read_report(System(name, "experiment", method=read_method(paths.experiment(name))), paths.report(name))
        for name in names
    ]
    trivial = [
        read_report(System(name, "baseline"), paths.baseline(name))
        for name in sorted(folders(paths.baselines), key=natural)
    ]
    return mark_other_rows([*experiments, *trivial], baseline)


def folders(path: Path) -> list[str]:
    """Names of the folders in ``path``, without hidden ones (unfinished outputs)."""
    return [p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")] if path.is_dir() else []


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``lora-r8`` before ``lora-r16``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", name) if part]


def read_method(folder: Path) -> str:
    """The training method in ``train.yaml`` of a folder in ``build/experiments``."""
    method = read_yaml(folder / "train.yaml").get("method")
    if not isinstance(method, str):
        raise TunesmithError(
            f"{folder / 'train.yaml'}: method: must name the training method; it is {method!r}. "
            "Run `dvc repro resolve` to write the file anew"
        )
    return method


def read_report(system: System, folder: Path) -> System:
    """Add scores and predictions to ``system``, or ``problem`` if it was not evaluated."""
    metrics, predictions = folder / "metrics.json", folder / "predictions.parquet"
    if not (metrics.exists() and predictions.exists()):
        return replace(system, problem=NOT_EVALUATED)
    try:
        report = files.read_json(metrics)
        return replace(
            system,
            key=report["key"],
            test_sha256=report["test_sha256"],
            metrics={name: _finite(metric) for name, metric in report["metrics"].items()},
            groups=report.get("groups", {}),
            model=report.get("model") or {},
            rows=files.read_rows(predictions),
            retention=_rows_of(folder / "retention.parquet"),
            retired=_rows_of(folder / "retired.parquet"),
            validation=_rows_of(folder / "validation.parquet"),
        )
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TunesmithError(
            f"{metrics}: must be a file that `score` wrote; reading it failed ({type(error).__name__}: {error}); "
            "remove it and run `tunesmith run` (or `dvc repro`) to write it anew"
        ) from None


def _rows_of(path: Path) -> list[Row]:
    return files.read_rows(path) if path.exists() else []


def _finite(metric: dict[str, Any]) -> Metric:
    values = {name: metric.get(name) for name in ("value", "low", "high")}
    return {name: v if v is not None and math.isfinite(v) else None for name, v in values.items()}


def mark_other_rows(systems: list[System], baseline: str) -> list[System]:
    """Set ``problem`` of the systems that were evaluated on other test rows than most experiments.

    If two test sets have equally many experiments, that of ``baseline`` counts, else that of the first experiment.
    """
    evaluated = [s for s in systems if s.kind == "experiment" and s.problem is None]
    if not evaluated:
        return systems
    votes = Counter(s.test_sha256 for s in evaluated)
    # max() returns the first of equals; the systems are in the order of the report.
    chosen = max(evaluated, key=lambda s: (votes[s.test_sha256], s.name == baseline)).test_sha256
    return [replace(s, problem=OTHER_ROWS) if s.problem is None and s.test_sha256 != chosen else s for s in systems]
