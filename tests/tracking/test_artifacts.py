"""Artifacts of a workspace that was moved or copied, or that lost some; and runs whose process was killed."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow.tracking._tracking_service import utils

from tasks.core.files import canonical_json
from tasks.core.paths import Paths
from tasks.tracking.client import Tracker, open_store
from tasks.tracking.ended import end_abandoned
from tasks.tracking.flow_run import record_flow
from tasks.tracking.processes import this_process
from tasks.tracking.sync import sync
from tasks.tracking.tag_names import PROCESS
from tests.tracking.compared import compared, entry, write_comparison
from tests.tracking.ledger_workspace import add_experiment, key_of


def stored(tracker: Tracker, run_id: str) -> list[str]:
    folder = Path(tracker.client.get_run(run_id).info.artifact_uri.removeprefix("file://").replace("%20", " "))
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_artifacts_of_a_moved_workspace_are_read_and_written_where_it_is(
    paths: Paths, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = sync(paths, tracker)[1].run_id
    files = sorted(file.path for file in tracker.client.list_artifacts(run_id))
    assert files
    moved = Paths(paths.root.with_name("moved workspace"))
    paths.root.rename(moved.root)
    with caplog.at_level(logging.WARNING, "tunesmith"):
        tracker = open_store(moved.root)
    assert "the workspace was moved or copied; its artifacts are now read from" in caplog.text
    assert sorted(file.path for file in tracker.client.list_artifacts(run_id)) == files
    tracker.client.log_text(tracker.create("k", "new"), "text", "new.txt")
    assert not paths.root.exists(), "the old folder was made anew"
    caplog.clear()
    open_store(moved.root)
    assert caplog.text == ""


def test_a_copy_without_its_artifacts_writes_nothing_to_the_old_workspace(
    paths: Paths, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [result.run_id for result in sync(paths, tracker)]
    before = {run_id: stored(tracker, run_id) for run_id in runs}
    utils._artifact_repos_cache.clear()  # it is empty in the process that opens the copy
    copied = Paths(paths.root.with_name("copy"))
    shutil.copytree(paths.root, copied.root, ignore=shutil.ignore_patterns("mlartifacts"))
    (paths.root / "mlartifacts").chmod(0o500)
    content = sorted((paths.root / "mlartifacts").rglob("*"))
    with caplog.at_level(logging.WARNING, "tunesmith"):
        tracker = open_store(copied.root)
        results = sync(copied, tracker)
    assert [(result.run_id, result.changed) for result in results] == [(run_id, True) for run_id in runs]
    assert {run_id: stored(tracker, run_id) for run_id in runs} == before
    assert f"copy what you need: cp -Rn '{paths.root}/mlartifacts/.' '{copied.root}/mlartifacts'" in caplog.text
    add_experiment(copied, "lora", [0.7, 0.7, 0.7], key=key_of("lora 2"))
    new = sync(copied, tracker)[1].run_id
    assert new not in runs and stored(tracker, new)
    assert sorted((paths.root / "mlartifacts").rglob("*")) == content


def empty_file(folder: Path) -> None:
    (folder / "model/adapter_model.safetensors").write_text("")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (shutil.rmtree, "again: comparison/comparison.json, comparison/table.md"),
        (lambda folder: shutil.rmtree(folder / "model"), "model/adapter_model.safetensors"),
        (lambda folder: (folder / "metrics.json").unlink(), "again: metrics.json"),
        (empty_file, "again: model/adapter_model.safetensors"),
    ],
)
def test_missing_artifacts_are_stored_again(
    paths: Paths,
    tracker: Tracker,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], Any],
    named: str,
) -> None:
    run_id = sync(paths, tracker)[1].run_id
    before = stored(tracker, run_id)
    damage(Path(tracker.client.get_run(run_id).info.artifact_uri.removeprefix("file://")))
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tunesmith"):
        assert [(result.run_id, result.changed) for result in sync(paths, tracker)][1] == (run_id, True)
    assert f"lora: MLflow run {run_id} lacked artifacts" in caplog.text and named in caplog.text
    assert stored(tracker, run_id) == before
    caplog.clear()
    assert not any(result.changed for result in sync(paths, tracker)) and caplog.text == ""


def test_a_lost_model_that_no_file_restores_is_named_with_its_versions(
    paths: Paths, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    old = sync(paths, tracker)[1].run_id
    tracker.client.create_registered_model("tunesmith")
    tracker.client.create_model_version("tunesmith", f"runs:/{old}/model", old)
    add_experiment(paths, "lora", [0.7, 0.7, 0.7], key=key_of("lora 2"))
    sync(paths, tracker)
    shutil.rmtree(paths.root / "mlartifacts" / old)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tunesmith"):
        sync(paths, tracker)
    assert f"MLflow: 1 run without a model, which no file of the workspace can restore: lora ({old})" in caplog.text
    assert "; registered from them: models:/tunesmith/1. " in caplog.text


KILLED_HERE = {"pid": 2**22 + 1, "started": 0.0, "host": socket.gethostname()}
KILLED_ELSEWHERE = {"pid": 1, "started": 0.0, "host": "another container"}


def running(tracker: Tracker, process: dict[str, Any] | None) -> str:
    run_id = tracker.start("a key of no file", "lora", {})
    tracker.log(run_id, {"train_loss": 2.0}, 1, 1_700_000_000.0)
    if process is None:
        tracker.client.delete_tag(run_id, PROCESS)
    else:
        tracker.client.set_tag(run_id, PROCESS, canonical_json(process))
    return run_id


@pytest.mark.parametrize("process", [KILLED_HERE, KILLED_ELSEWHERE, None])
def test_a_run_whose_process_was_killed_is_ended(
    paths: Paths, tracker: Tracker, process: dict[str, Any] | None
) -> None:
    run_id = running(tracker, process)
    sync(paths, tracker)
    info = tracker.client.get_run(run_id).info
    assert (info.status, info.end_time) == ("KILLED", 1_700_000_000_000)


def test_a_run_of_a_living_process_or_under_its_lock_goes_on(paths: Paths, tracker: Tracker) -> None:
    run_id = running(tracker, this_process())
    assert end_abandoned(tracker, paths) == []
    tracker.client.set_tag(run_id, PROCESS, canonical_json(KILLED_ELSEWHERE))
    paths.train_lock("lora").parent.mkdir(parents=True)
    with FileLock(paths.train_lock("lora")):
        assert end_abandoned(tracker, paths) == []
    assert end_abandoned(tracker, paths) == [run_id]


def test_a_flow_that_was_killed_while_it_recorded_its_run_leaves_none_running(
    paths: Paths, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_comparison(paths, compared(entry("base", 0.2, None), entry("lora", 0.5, "better")))
    monkeypatch.setattr(tracker.client, "set_terminated", lambda *arguments: None)  # it was killed before
    run_id = record_flow(paths, "id 1", "retrain 2026-12-07: all", None, tracker)
    monkeypatch.undo()
    assert end_abandoned(tracker, paths) == [], "this process lives"
    tracker.client.set_tag(run_id, PROCESS, canonical_json(KILLED_ELSEWHERE))
    assert end_abandoned(tracker, paths) == [], "nothing tells whether it lives"
    tracker.client.set_tag(run_id, PROCESS, canonical_json(KILLED_HERE))
    assert end_abandoned(tracker, paths) == [run_id]
    assert tracker.client.get_run(run_id).info.status == "KILLED"


def test_on_a_shared_store_runs_of_other_machines_go_on(tmp_path: Path, paths: Paths, tracker: Tracker) -> None:
    elsewhere = running(tracker, KILLED_ELSEWHERE)
    other = Paths(tmp_path / "other")
    other.state.mkdir(parents=True)
    assert end_abandoned(tracker, other) == []
    tracker.client.set_terminated(elsewhere, "FINISHED")
    here = running(tracker, KILLED_HERE)
    assert end_abandoned(tracker, other) == [here]
