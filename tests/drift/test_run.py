"""The champion on present test rows: what is compared, and when it is drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core import files
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.drift.run import run
from tasks.register.params import RegistrationParams
from tasks.register.people import promote_by_hand
from tasks.register.result import Person
from tasks.text.rows import RENDERED, Row
from tasks.tracking.flow_run import record_drift
from tasks.tracking.sync import sync
from tests.workspaces import copy_workspace, edit


@pytest.fixture
def paths(tmp_path: Path, built_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    monkeypatch.setenv("TUNESMITH_CACHE", str(root / ".cache"))
    edit(root, "evaluation", lambda p: p["verdicts"].update(min_groups=6))
    return Paths(root)


def _registration(paths: Paths) -> RegistrationParams:
    return load(RegistrationParams, paths.params / "registration.yaml", "registration")


def _champion(paths: Paths) -> None:
    sync(paths)
    promote_by_hand("lora", Person("Ada", "trial"), _registration(paths), paths)


def _examined(paths: Paths) -> dict[str, Any]:
    result = run(_registration(paths), paths)
    assert result is not None and files.read_json(paths.drift) == result
    return result


def _add_rows(paths: Paths, times: int) -> None:
    """New test rows whose texts are those of the present ones, ``times`` over."""
    file = paths.evaluation_set / "test.parquet"
    rows = files.read_rows(file)

    def longer(row: Row) -> Row:
        text = " ".join([row["text"]] * times)
        prompt = row["prompt"].replace(row["text"], text)
        return row | {"row_id": f"new-{row['row_id']}", "group": f"new-{row['group']}", "text": text, "prompt": prompt}

    files.write_rows(file, [*rows, *map(longer, rows)], RENDERED)


def test_without_a_champion_there_is_no_result(paths: Paths) -> None:
    assert run(_registration(paths), paths) is None and not paths.drift.exists()


def test_without_new_rows_the_inputs_are_compared_and_nothing_else(paths: Paths) -> None:
    _champion(paths)
    result = _examined(paths)
    assert (result["version"], result["experiment"], result["rows"], result["new_rows"]) == (1, "lora", 8, 0)
    assert result["training_rows_read"] == result["training_rows"] > 10
    assert "before" in result["quantities"]["length"] and result["quantities"]["length"]["groups"] == 8
    for name in ("score", "unfinished"):
        assert "no clean test row came in after the champion" in result["quantities"][name]["line"]
    report = files.read_rows(paths.report("lora") / "predictions.parquet")
    assert result["score"] == pytest.approx(sum(row["rouge1_f"] for row in report) / len(report))
    again = _examined(paths)
    assert again | {"time": ""} == result | {"time": ""}, "the same rows give the same result"


def test_longer_inputs_are_drift_and_are_logged(paths: Paths) -> None:
    _champion(paths)
    _add_rows(paths, 3)
    result = _examined(paths)
    assert (result["rows"], result["new_rows"], result["drift"]) == (16, 8, True)
    length, words = result["quantities"]["length"], result["quantities"]["new_words"]
    assert length["verdict"] == "drift" and length["line"].startswith("words per input: drift: ")
    assert words["verdict"] != "drift", "the same words, more often"
    assert result["summary"].startswith("lora (version 1, promoted by hand): drift of words per input")
    assert result["quantities"]["score"]["groups"] == 8
    from tasks.tracking.client import open_store

    tracker = open_store(paths.root)
    logged = tracker.client.get_run(record_drift(paths, "flow-1", "evaluate-champion 2026-12-07", result))
    assert logged.data.metrics["rouge1"] == pytest.approx(result["score"], abs=1e-6)
    assert logged.data.metrics["new_test_rows"] == 8 and "drift/length" in logged.data.metrics
    assert logged.data.tags["tunesmith.champion"] == "lora (version 1)"
    assert logged.info.status == "FINISHED"
