"""One request to each service: what answers, and what an error names."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import psutil
import pytest

from flows.commands.services import dvc_remote, load_beside_us, prefect_server
from flows.ui import free_port
from tasks.core.errors import TunesmithError
from tests.flows.recording import recording_server
from tests.workspaces import commit, dvc, lay_out


def test_a_prefect_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert prefect_server().startswith("none runs for this workspace")
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port(4950)}/api")
    with pytest.raises(TunesmithError, match=r"PREFECT_API_URL: the Prefect server at http://\S+/api must"):
        prefect_server()


def test_dvcs_remote_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "workspace"
    lay_out(root)
    commit(root)
    assert dvc_remote(root).startswith("none; other clones can get neither data nor results")
    dvc(root, "remote", "add", "--default", "near", str(tmp_path / "remote"))
    assert dvc_remote(root) == f"near answers at {tmp_path / 'remote'}"
    with recording_server(HTTPStatus.FORBIDDEN) as (url, requests):
        dvc(root, "remote", "add", "--default", "far", "s3://bucket/path")
        dvc(root, "remote", "modify", "far", "endpointurl", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(TunesmithError, match="DVC's remote far at s3://bucket/path must answer; it does not"):
            dvc_remote(root)
    assert requests


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(2.0, "idle: other processes use 0.0 of 2"), (75.0, "other processes use 1.5 of 2")],
)
def test_busy_neighbours_are_named(monkeypatch: pytest.MonkeyPatch, percent: float, expected: str) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds: percent)
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    assert load_beside_us().startswith(expected)
