"""``tunesmith testset rotate``: from new rows in a file to a new test set, and what is refused before."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from flows.commands.data import add
from flows.commands.testset import rotate
from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, read_rows
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tests.flows.commands.tickets import ROWS, SET, table
from tests.workspaces import dvc, edit, make_workspace

SOURCE: dict[str, Any] = {
    "ingest": {"required": ["ticket"]},
    "template": {"set": "own/tickets"},
    "split": {"by": "hash", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}, "min_test_groups": 10},
}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A workspace whose evaluated source ``tickets`` has 60 rows, which are split."""
    folder = tmp_path_factory.mktemp("testset")
    root = make_workspace(folder / "workspace", tiny_llama)
    (root / "tasks/template/library/own").mkdir(exist_ok=True)
    (root / "tasks/template/library/own/tickets.yaml").write_text(SET)
    add(root, [table(folder / "tickets.csv", ROWS[:60])], "tickets")
    edit(root, "sources", lambda p: p["sources"].update(tickets=SOURCE))
    edit(root, "evaluation", lambda p: p["evaluation_set"].update(sources=["tickets"]))
    dvc(root, "repro", "split@tickets")
    return root


@pytest.fixture
def root(split: Path, tmp_path: Path) -> Path:
    shutil.copytree(split, tmp_path / "workspace", symlinks=True)
    return tmp_path / "workspace"


def rows_of(root: Path, part: str) -> set[str]:
    return {row["row_id"] for row in read_rows(root / f"data/splits/tickets/{part}.parquet")}


def is_locked(root: Path) -> bool:
    lock = FileLock(Paths(root).state / "locks/workspace")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def refusal(root: Path, *sources: str) -> str:
    file = root / "params/sources.yaml"
    before = file.read_bytes()
    error = error_of_rotate(root, *sources)
    assert file.read_bytes() == before
    return error


def error_of_rotate(root: Path, *sources: str) -> str:
    with pytest.raises(TunesmithError) as caught:
        rotate(root, list(sources))
    return str(caught.value)


def test_rotate_makes_a_new_test_set_of_new_rows(root: Path, tmp_path: Path) -> None:
    error = refusal(root)
    assert "at least 10 groups of rows that no experiment has seen (min_test_groups); tickets has 0" in error
    assert "`tunesmith data add FILE --name tickets --append`" in error
    parts = ("train", "validation", "test")
    before = {part: rows_of(root, part) for part in parts}
    add(root, [table(tmp_path / "more.csv", ROWS[60:])], "tickets", "append")
    steps: list[str] = []

    def say(step: str) -> None:
        assert is_locked(root), f"another command could change the workspace: {step}"
        steps.append(step)

    lines = rotate(root, None, say)
    assert steps[0] == "bringing the rows of tickets up to date" and steps[-1] == "trying the new test set"
    assert not is_locked(root)
    assert lines[0] == "tickets: test set 1 → 2 (params/sources.yaml: sources.tickets.split.test_set)"
    assert read_yaml(root / "params/sources.yaml")["sources"]["tickets"]["split"]["test_set"] == 2
    assert {part: rows_of(root, part) for part in parts} == before, "the next run splits"
    assert "is 2 already, and data/splits/tickets has test set 1; `tunesmith run`" in refusal(root, "tickets")
    dvc(root, "repro", "evaluation_set")
    after = {part: rows_of(root, part) for part in (*parts, "retired")}
    report = read_json(root / "data/splits/tickets/splits.json")
    assert f"{report['rows']['test']} rows of {report['rows']['test']} groups into test" in lines[1]
    assert after["retired"] == before["test"] and f"{len(before['test'])} rows of earlier test sets" in lines[1]
    assert not after["test"] & set().union(*before.values()) and len(after["test"]) >= len(before["test"])
    assert before["train"] <= after["train"] and before["validation"] <= after["validation"]
    second = read_rows(root / "data/evaluation/retired.parquet")
    assert {row["row_id"] for row in second} == before["test"]


def test_rotate_waits_for_another_command_before_it_reads_parameters(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    by_time = {"by": "time", "test_from": "2024-06-01"}
    with ThreadPoolExecutor(1) as threads:
        with workspace_lock(root, "another command"):
            waiting = threads.submit(error_of_rotate, root)
            while "another command" not in caplog.text:
                assert not waiting.done(), waiting.result()
                time.sleep(0.05)
            edit(root, "sources", lambda p: p["sources"]["tickets"].update(split=by_time))
        assert "this is `by: time`" in waiting.result(timeout=60)


def test_a_source_split_by_files_or_time_gets_the_remedy_of_its_kind(root: Path) -> None:
    error = refusal(root, "demo")
    assert error.startswith(
        "params/sources.yaml: sources.demo.split.by: rows are drawn for a new test set only `by: hash`"
    )
    assert "the stage generate@demo writes the files train and test only, so this source cannot have a new" in error
    by_file = {"by": "file", "files": {"test": ["tickets"]}}
    edit(root, "sources", lambda p: p["sources"]["tickets"].update(split=by_file))
    assert "move tickets to `retired`; then run `tunesmith data add FILE --name tickets --append`" in refusal(root)
    edit(root, "sources", lambda p: p["sources"]["tickets"].update(split=SOURCE["split"]))
    by_time = {"by": "time", "test_from": "2024-06-01"}
    edit(root, "sources", lambda p: p["sources"]["demo"].update(split=by_time))
    error = refusal(root, "demo", "tickets")
    assert "Set a later `test_from` than 2024-06-01 and run `tunesmith run --new-split demo`" in error
    fractions = {"train": 0.8, "validation": 0.2, "test": 0.0}
    edit(root, "sources", lambda p: p["sources"]["demo"].update(split={"fractions": fractions}))
    assert "sources.demo.split.fractions: a test set needs a share of the rows" in refusal(root, "demo")
    edit(root, "evaluation", lambda p: p["evaluation_set"].pop("sources"))
    assert "evaluation_set.sources in params/evaluation.yaml names none; run `tunesmith testset rotate" in refusal(root)
    assert "no source 'x' in params/sources.yaml; there are: demo, tickets" in refusal(root, "x")


def test_a_split_that_would_be_made_anew_or_does_not_exist_is_refused(root: Path) -> None:
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].update(seed=3))
    assert "split.seed was 0, now it is 3" in refusal(root)
    edit(root, "sources", lambda p: p["sources"].update(other=p["sources"]["tickets"]))
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].update(seed=0))
    shutil.copytree(root / "data/sources/tickets", root / "data/sources/other")
    assert "other has none; run `tunesmith run`" in refusal(root, "other")
