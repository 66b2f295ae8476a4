"""Clones of one repository: commits, entries of dvc.lock, and what a workspace restores."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from uuid import uuid4

import pytest
from dvc.repo import Repo, lock_repo

from flows.clones.build import build
from flows.clones.commit import commit_of, refuse_changes, refuse_other_commit, restore_lock
from flows.clones.lock_entries import entries_of, put_entries
from flows.clones.remote import push_results, refuse_no_remote
from flows.crashed import note_flow
from flows.failures import why
from flows.subprocesses import allow
from tasks.core.errors import TunesmithError
from tasks.core.faults import TransientError
from tasks.core.params import read_yaml
from tests.flows.recording import recording_server
from tests.workspaces import commit, copy_workspace, dvc, edit, lay_out


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lay_out(tmp_path / "workspace")
    commit(tmp_path / "workspace")
    return tmp_path / "workspace"


def test_a_clone_at_the_same_commit_is_taken_and_another_is_refused(root: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", root, clone], check=True)
    refuse_other_commit(clone, commit_of(root))
    edit(root, "experiments", lambda p: p["experiments"].pop("full"))
    commit(root)
    with pytest.raises(TunesmithError, match=f"must be at the commit of the flow, {commit_of(root)[:12]}; it is at"):
        refuse_other_commit(clone, commit_of(root))


@pytest.mark.parametrize("file", ["params/experiments.yaml", "tasks/new.py", "dvc.yaml"])
def test_changes_that_do_not_travel_are_refused(root: Path, file: str) -> None:
    with (root / file).open("a") as stream:
        stream.write("# changed\n")
    with pytest.raises(TunesmithError, match=f"not committed: {file}; commit and push them"):
        refuse_changes(root)


def test_what_travels_by_its_hash_may_change(root: Path) -> None:
    for file in ("dvc.lock", "params/bases.yaml", "data/sources/new.dvc", "decisions.jsonl"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("changed: true\n")
    refuse_changes(root)


def test_a_folder_outside_git_and_a_missing_remote_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="must be a clone of a git repository with a commit"):
        commit_of(tmp_path)
    with pytest.raises(TunesmithError, match="DVC needs a default remote; none is configured; `dvc remote add"):
        refuse_no_remote(root)
    dvc(root, "remote", "add", "--default", "near", str(tmp_path / "remote"))
    refuse_no_remote(root)


@pytest.mark.usefixtures("prefect_server")
def test_a_worker_in_the_workspace_that_waits_for_it_is_refused(root: Path, inside: Callable[[Path], None]) -> None:
    """Both would wait for the other's lock."""
    inside(root)
    waits = uuid4()
    note_flow(root, str(waits))
    state = build(["train@lora"], commit_of(root), {}, needed_by=waits, return_state=True)
    assert state.is_failed() and "needs a clone of its own; this is the workspace of the flow run" in state.message


@pytest.mark.parametrize("keys", [True, False])
def test_a_store_that_fails_is_transient_and_missing_keys_are_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, keys: bool
) -> None:
    allow()
    monkeypatch.setattr("flows.retries.PAUSES_S", ())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a") if keys else monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    (root / "own.txt").write_text("text")
    dvc(root, "add", "--quiet", "own.txt")
    with recording_server(HTTPStatus.INTERNAL_SERVER_ERROR) as (url, _):
        remote = f"[core]\n    remote = far\n['remote \"far\"']\n    url = s3://dvc/store\n    endpointurl = {url}\n"
        (root / ".dvc/config.local").write_text(remote)
        with pytest.raises(TunesmithError, match=r"push --run-cache own\.txt` failed: ERROR: ") as error:
            push_results(root, ["own.txt"], lambda line: None)
    assert isinstance(error.value, TransientError) is keys


def test_entries_of_the_lock_travel_and_leave_the_commit_clean(root: Path, tmp_path: Path) -> None:
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  mix@a: {cmd: one}\n  split@a: {cmd: two}\n")
    commit(root)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", root, clone], check=True)
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  mix@a: {cmd: new}\n  split@a: {cmd: two}\n")
    put_entries(clone, entries_of(root, ["mix@a"]))
    assert read_yaml(clone / "dvc.lock")["stages"] == {"mix@a": {"cmd": "new"}, "split@a": {"cmd": "two"}}
    restore_lock(clone)
    assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, check=True).stdout == b""
    with pytest.raises(TunesmithError, match=r"dvc\.lock: must have an entry of train@a; it has none"):
        entries_of(root, ["train@a"])


def test_entries_are_read_when_no_dvc_writes_them(root: Path) -> None:
    """DVC first empties the file: a flow then failed with "must have an entry of evaluation_set; it has none"."""
    with ThreadPoolExecutor() as pool:
        with Repo(str(root)) as repo, lock_repo(repo):
            (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  split@a: {cmd: two}\n")
            reading = pool.submit(entries_of, root, ["mix@a"])
            with pytest.raises(TimeoutError):
                reading.result(1)
            (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  mix@a: {cmd: one}\n  split@a: {cmd: two}\n")
        assert reading.result(60) == {"mix@a": {"cmd": "one"}}


def test_a_stage_that_must_be_restored_does_not_run(
    built_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    edit(root, "experiments", lambda p: p["experiments"]["lora"].update(training={"learning_rate": 0.123}))
    dvc(root, "repro", "--single-item", "resolve")
    monkeypatch.setenv("TUNESMITH_RESTORE_ONLY", "1")
    done = dvc(root, "repro", "--single-item", "train@lora", check=False)
    assert done.returncode != 0
    message = why("train@lora", done.stdout.splitlines())
    assert "another clone built it, but DVC's run cache has no result with these inputs" in message
