"""``tunesmith preferences import``: judges' CSV files → ``reports/preferences/A-vs-B/results.json``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.evaluate.params import EvaluateParams
from tasks.preferences.answers import read_answers
from tasks.preferences.key import ExportKey
from tasks.preferences.summarise import summarise


@dataclass(frozen=True)
class Imported:
    """The results, the path where they were written, and ``notes`` about them."""

    results: dict[str, Any]
    path: Path
    notes: list[str]


def import_answers(paths: Paths, sheets: Iterable[Path], key_file: Path | None = None) -> Imported:
    """Read, check and count the answers; intervals are those of ``evaluate.intervals`` in ``params/evaluation.yaml``.

    Raises:
        TunesmithError: as ``read_answers``; nothing is written then.
    """
    key, answers = read_answers(paths, sheets, key_file)
    params = load(EvaluateParams, paths.params / "evaluation.yaml", "evaluate").intervals
    results = summarise(key, answers, params)
    path = paths.preference(key.a, key.b) / "results.json"
    notes = [*_changed(paths, key), *_replaced(path, results)]
    with files.replacing(path) as temporary:
        files.write_json(temporary, results)
    return Imported(results, path, notes)


def _changed(paths: Paths, key: ExportKey) -> list[str]:
    """Notes on predictions that changed since the export."""
    notes = []
    for name, sha256 in key.predictions.items():
        path = paths.report(name) / "predictions.parquet"
        if not path.exists():
            notes.append(f"{path} is gone; the answers are about the predictions at the time of the export")
        elif files.sha256(path) != sha256:
            notes.append(f"{path} has changed since the export; the answers are about the predictions of that time")
    return notes


def _replaced(path: Path, results: dict[str, Any]) -> list[str]:
    if not path.exists():
        return []
    before = files.read_json(path)
    if before.get("export") == results["export"] and set(before["judges"]) <= set(results["judges"]):
        return []
    judges = ", ".join(before["judges"])
    return [f"replaced the result of export {before['export']} by {judges}; import all files of an export together"]
