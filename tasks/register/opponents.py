"""The opponents of a candidate: the baseline, the champion, the trivial baselines and every untuned experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from tasks.compare.collect import folders
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.gate.evaluated import REMEDY, Evaluated, read, read_scores
from tasks.gate.gate import Opponent
from tasks.gate.params import RegistrationParams
from tasks.gate.scores import Scores
from tasks.register.version_scores import version_scores
from tasks.registry.result import how_by_hand
from tasks.tracking.client import Tracker
from tasks.tracking.tag_names import KEY, NAME
from tasks.tuning.untrained import is_trained

TRIVIAL = {"lead": "first sentences", "nearest": "most similar training row"}
"""Name of a system of ``tasks/evaluate/baselines.py`` → its short description."""


@dataclass(frozen=True)
class Opponents:
    """Opponents of a candidate.

    Attributes:
        by_key: ``baseline``, ``champion``, ``trivial.NAME`` and ``untuned.NAME`` → opponent.
        identities: the same keys → key of the opponent's model; None for trivial baselines.
        remarks: one line per untuned experiment that is not an opponent, with the reason.
    """

    by_key: dict[str, Opponent]
    identities: dict[str, str | None]
    remarks: list[str]


def opponents(
    candidate: Evaluated, champion: ModelVersion | None, params: RegistrationParams, paths: Paths, tracker: Tracker
) -> Opponents:
    """Read every opponent's scores; evaluate the champion if it has none on the candidate's rows.

    An untuned experiment that was evaluated on other rows is not an opponent; a remark names it.

    Raises:
        TunesmithError: any other opponent is missing, stale, or scored on other rows.
    """
    base = read(params.baseline, params.metric, paths)
    _refuse_other_rows(f"reports/experiments/{base.name}", base.test, candidate)
    by_key = {"baseline": Opponent(f"{base.name} (baseline)", base.scores)}
    identities: dict[str, str | None] = {"baseline": base.key}
    if champion is not None:
        how = how_by_hand(champion)
        mark = f", {how}" if how else ""
        name = f"{champion.tags.get(NAME)} ({params.alias}, version {champion.version}{mark})"
        by_key["champion"] = Opponent(name, version_scores(champion, candidate, params.metric, paths, tracker))
        identities["champion"] = champion.tags.get(KEY)
    for name, words in TRIVIAL.items():
        by_key[f"trivial.{name}"] = Opponent(f"{name} ({words})", _trivial(name, candidate, params, paths))
        identities[f"trivial.{name}"] = None  # the data alone determine their completions
    remarks = []
    for name in untuned(paths):
        if name in (base.name, candidate.name):
            continue
        experiment = read(name, params.metric, paths)
        if experiment.test != candidate.test:
            remarks.append(f"{name} (untuned) is not an opponent: it was evaluated on other test rows")
            continue
        by_key[f"untuned.{name}"] = Opponent(f"{name} (untuned)", experiment.scores)
        identities[f"untuned.{name}"] = experiment.key
    return Opponents(by_key, identities, remarks)


def untuned(paths: Paths) -> list[str]:
    """Names of the experiments in ``build/experiments`` that train nothing, sorted."""
    methods = {name: _method(paths.experiment(name), paths) for name in sorted(folders(paths.resolved))}
    return [name for name, method in methods.items() if method is not None and not is_trained(method)]


def _method(folder: Path, paths: Paths) -> str | None:
    resolved, manifest = folder / "train.yaml", paths.model(folder.name) / "manifest.json"
    if resolved.exists():
        return read_yaml(resolved).get("method")
    return files.read_json(manifest)["method"] if manifest.exists() else None


def _trivial(name: str, candidate: Evaluated, params: RegistrationParams, paths: Paths) -> Scores:
    path = paths.baseline(name) / "metrics.json"
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; {REMEDY}")
    _refuse_other_rows(f"reports/baselines/{name}", files.read_json(path)["test_sha256"], candidate)
    return read_scores(paths.baseline(name) / "predictions.parquet", params.metric)


def _refuse_other_rows(where: str, test: str, candidate: Evaluated) -> None:
    if test != candidate.test:
        raise TunesmithError(
            f"{where}: must be evaluated on the same test rows as {candidate.name}; test_sha256 is {test[:12]} and "
            f"{candidate.test[:12]}; {REMEDY}"
        )
