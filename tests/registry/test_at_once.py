"""Two flows that finish together: one model is promoted, the other is compared with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.gate_pairs import promoted_pairs
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.registry.lock import lock_database, lock_file, registry_lock


def test_of_two_equal_candidates_at_once_exactly_one_is_promoted(empty_store: Path, tmp_path: Path) -> None:
    outcomes = promoted_pairs(2, empty_store, tmp_path)
    assert [sorted(pair) for pair in outcomes] == [["accepted", "refused"]] * 2


def test_workspaces_with_one_sqlite_store_share_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNESMITH_LOCK_DATABASE", raising=False)
    one, two = Paths(tmp_path / "one"), Paths(tmp_path / "two")
    shared = f"sqlite:///{tmp_path}/store/mlflow.db"
    assert lock_file(one, shared) == lock_file(two, shared) == tmp_path / "store/mlflow.db.registry.lock"
    assert lock_file(one, "http://mlflow:5000") == one.state / "register.lock"
    assert lock_database(shared) is None and lock_database("http://mlflow:5000") is None
    assert lock_database("postgresql://db/mlflow") == "postgresql://db/mlflow"


def test_a_lock_database_that_cannot_be_used_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(tmp_path)
    paths.state.mkdir(parents=True)

    def error_of(address: str) -> str:
        monkeypatch.setenv("TUNESMITH_LOCK_DATABASE", address)
        with pytest.raises(TunesmithError) as error, registry_lock(paths, "http://mlflow:5000", "tunesmith"):
            pass
        return str(error.value)

    assert error_of("my database").startswith("TUNESMITH_LOCK_DATABASE: must be an address such as postgresql://")
    for address in ("postgresql://ada:secret@localhost:1/locks", "postgresql+nodriver://ada:secret@localhost:1/locks"):
        lost = error_of(address)
        assert "which must be reachable" in lost and "secret" not in lost
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # as if it were not installed
    assert "pip install psycopg2-binary" in error_of("postgresql://ada:secret@localhost:1/locks")
