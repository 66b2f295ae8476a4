"""The champion on present test rows: what is compared, and when it is drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core import files
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.drift.run import _divided, run
from tasks.evaluate.metrics import PREDICTIONS
from tasks.gate.params import RegistrationParams
from tasks.register.people import promote_by_hand
from tasks.registry.result import Person
from tasks.text.rows import RENDERED, Row
from tasks.tracking.flow_run import record_drift
from tasks.tracking.sync import sync
from tests.workspaces import copy_workspace, edit


@pytest.fixture
def paths(tmp_path: Path, built_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    for name in ("mlflow.db", "mlartifacts"):  # MLflow keeps the artifacts of a run id in memory: each test has its own
        files.remove(root / name)
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
    assert result is not None
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
    assert run(_registration(paths), paths) is None


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


def test_the_rows_at_registration_stay_known_after_a_later_evaluation(paths: Paths) -> None:
    """``sync`` replaces the report of the run when the model is evaluated on other rows."""
    _champion(paths)
    _add_rows(paths, 1)
    report = paths.report("lora") / "predictions.parquet"
    rows = files.read_rows(report)
    files.write_rows(report, [*rows, *(row | {"row_id": f"new-{row['row_id']}"} for row in rows)], PREDICTIONS)
    metrics = files.read_json(paths.report("lora") / "metrics.json")
    files.write_json(paths.report("lora") / "metrics.json", metrics | {"rows": 16})
    sync(paths)
    assert _examined(paths)["new_rows"] == 8


def test_a_champion_of_an_earlier_release_is_compared_by_its_inputs_alone(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tracking.state._write_rows", lambda report, folder: None)
    _champion(paths)
    result = _examined(paths)
    assert result["new_rows"] is None and "before" in result["quantities"]["length"]
    assert "an earlier release registered the champion" in result["quantities"]["score"]["line"]


def test_each_source_is_compared_by_itself(paths: Paths) -> None:
    """Another share of the sources is no drift."""
    _champion(paths)
    file = paths.evaluation_set / "test.parquet"
    rows = files.read_rows(file)
    others = [row | {"source": "other", "row_id": f"other-{row['row_id']}"} for row in rows]
    files.write_rows(file, [*rows, *others], RENDERED)
    (paths.scorings / "other.json").write_text((paths.scorings / "demo.json").read_text())
    quantities = _examined(paths)["quantities"]
    assert "before" in quantities["demo/length"] and "before" not in quantities["other/length"]
    assert quantities["other/length"]["line"].startswith("words per input (other): not compared, since none of the")


def test_stored_scores_of_rows_that_are_gone_count_only_with_the_same_settings() -> None:
    def row(row_id: str) -> Row:
        return {"source": "chats", "row_id": row_id, "template_id": "t", "group": row_id, "finished": True}

    same = _divided([row("b"), row("c")], ([row("a"), row("b")], True))
    assert same.old is not None and [one["row_id"] for one in same.old] == ["b", "a"]
    assert [one["row_id"] for one in same.new] == ["c"]
    other = _divided([row("b"), row("c")], ([row("a"), row("b")], False))
    assert other.old is not None and [one["row_id"] for one in other.old] == ["b"]
