"""``tunesmith data refresh``: growth is stored, and a version that fails a check leaves the present one as it was."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.commands.data import add
from flows.commands.refresh import refresh
from flows.preflight import preflight
from flows.sources.store import recover_all
from tasks.core.errors import TunesmithError
from tasks.core.files import read_jsonl
from tasks.core.paths import Paths
from tests.flows.fetched_workspace import QUERY, Ticket, drop, fetch_from, fill, make, stored
from tests.workspaces import ROOT, dvc, edit, environment

BIG = 2**62 + 1
ROWS: list[Ticket] = [(i, f"my lamp {i} is broken", "repair") for i in range(9)] + [(BIG, "where is it", None)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("fetched") / "workspace")


@pytest.fixture
def root(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """A workspace whose database has ``ROWS``; nothing is fetched yet."""
    caplog.set_level(logging.INFO, logger="tunesmith")
    monkeypatch.setenv("SHOP", "sqlite:///shop.db")
    shutil.copytree(empty, tmp_path / "workspace")
    fill(tmp_path / "workspace", ROWS)
    return tmp_path / "workspace"


@pytest.fixture
def present(root: Path) -> Path:
    """The same with a version of ``tickets`` of ``ROWS``, as if DVC had added it."""
    folder = root / "data/sources/tickets"
    folder.mkdir(parents=True)
    lines = [json.dumps(dict(zip(("id", "ticket", "team"), row, strict=True))) for row in ROWS]
    (folder / "tickets.jsonl").write_text("\n".join(lines) + "\n")
    folder.with_name("tickets.dvc").write_text("outs: as before\n")
    return root


def error_of(root: Path, *names: str, accept: bool = False) -> str:
    with pytest.raises(TunesmithError) as caught:
        refresh(root, names, accept)
    return str(caught.value)


def test_growth_is_stored_and_the_same_rows_change_nothing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert refresh(root, None) == ["Next: `tunesmith run`"]
    assert read_jsonl(root / "data/sources/tickets/tickets.jsonl")[-1] == {
        "id": BIG,
        "ticket": "where is it",
        "team": None,
    }
    assert "tickets: 10 rows, columns id, ticket, team" in caplog.messages
    assert dvc(root, "status", "--json", "data/sources/tickets.dvc").stdout.strip() == "{}"
    before = stored(root)
    fill(root, ROWS[::-1])
    assert refresh(root, ["tickets"]) == []
    assert stored(root) == before, "another order of the rows is nothing new"
    assert caplog.messages[-1] == "tickets: nothing new (10 rows)"
    caplog.clear()
    fill(root, [(0, "my lamp 0 works again", "repair"), *ROWS[2:], (77, "a new one", "billing")])
    assert refresh(root, None) == ["Next: `tunesmith run`"]
    assert [line for line in caplog.messages if line.startswith("tickets: ")] == [
        "tickets: 10 → 10 rows: 1 new, 1 changed, 1 vanished",
        "tickets: new: 77",
        "tickets: changed: 0",
        "tickets: vanished: 1",
        "tickets: data/sources/tickets has the new version; commit data/sources/tickets.dvc",
    ]
    assert stored(root)[-1] != before[-1] and "a new one" in str(stored(root))
    assert list((root / "data/sources").glob(".tickets*")) == []
    assert not (root / ".tunesmith/refresh/tickets").exists()


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([], None, "the query gives no row"),
        (ROWS[:4], None, "tickets: the new version has 4 rows, the present one 10; it must have at least 0.5 of them"),
        (ROWS, "id INTEGER, ticket TEXT, squad TEXT", "no such column: team"),
        ([(i, 7, "repair") for i in range(9)], "id, ticket, team", "column ticket changed: it was text, now it is int"),
        ([(i, None, "repair") for i in range(9)], None, "it was text, now it is null in every row"),
        ([(1, "a", "b")] * 9, None, "tickets:2: the key column 'id' must differ in every row; 1 occurs twice"),
        ([(None, "a", "b")] * 9, None, "tickets:1: the key column 'id' has no value"),
    ],
)
def test_a_version_that_fails_a_check_is_not_stored(present: Path, rows: Any, columns: str | None, words: str) -> None:
    before = stored(present)
    fill(present, rows, columns or "id INTEGER, ticket TEXT, team TEXT")
    error = error_of(present)
    assert words in error and stored(present) == before
    if error.startswith("tickets: "):
        assert error.splitlines()[-1] == (
            "tickets: the present version stays; what was fetched is in .tunesmith/refresh/tickets"
        )


def test_a_column_that_the_parameters_use_must_be_in_every_row(present: Path) -> None:
    before, week = stored(present), present / "week.jsonl"
    fetch_from(present, url="week.jsonl")
    edit(present, "sources", lambda p: p["sources"]["tickets"]["ingest"].pop("required"))
    week.write_text("".join(f'{{"ticket": "lamp {i}", "squad": "repair"}}\n' for i in range(9)))
    assert "the column team, which the source's parameters use, is missing; the new version has" in error_of(present)
    week.write_text("".join(f'{{"ticket": "{i}", "team": "repair"}}\n' for i in range(9)) + '{"ticket": "x"}\n')
    assert "1 row (of 10) without the column team, which every row of the present version has" in error_of(present)
    week.write_text("not JSON\n")
    assert "week.jsonl:1: each line must be one JSON object" in error_of(present)
    assert stored(present) == before


def test_a_vanished_table_and_a_refused_source_among_several_change_nothing(present: Path) -> None:
    before = stored(present)
    (present / "good.csv").write_text("text,label\na,b\n")
    edit(present, "sources", lambda p: p["fetched"].update(good={"url": "good.csv"}))
    drop(present)
    error = error_of(present)
    assert "no such table: tickets" in error and error.splitlines()[-1] == "no source was replaced"
    assert stored(present) == before and not (present / "data/sources/good").exists()
    assert "has no source 'god'; it has: tickets, good; did you mean 'good'?" in error_of(present, "god")


def test_fewer_rows_and_other_types_may_be_accepted(present: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.sources.store._dvc_add", lambda root, target: None)
    fill(present, [(1, 7, "repair")], "id, ticket, team")
    assert "`--accept`" in error_of(present)
    refresh(present, None, accept=True)
    assert read_jsonl(present / "data/sources/tickets/tickets.jsonl") == [{"id": 1, "ticket": 7, "team": "repair"}]
    shutil.rmtree(present / "data/sources/tickets")
    assert "run `dvc pull data/sources/tickets.dvc`; or add `--accept`" in error_of(present)


def test_the_same_commit_of_the_hub_fetches_nothing(present: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_from(present, hub="shop/tickets")
    record = {"hub": "shop/tickets", "commit": "c" * 40}
    (present / "data/sources/tickets/.fetched.json").write_text(json.dumps(record))
    monkeypatch.setattr("tasks.ingest.fetch.moving.commit_of", lambda params, where: "c" * 40)
    monkeypatch.setattr("tasks.ingest.fetch.moving.fetch", lambda *arguments: 1 / 0)
    before = stored(present)
    assert refresh(present, None) == [] and stored(present) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from flows.commands.refresh import refresh
from flows.sources import store
from tasks.ingest.fetch import queries

def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "while it fetches":
    queries._line = kill
else:
    store.run_dvc = kill
refresh(Path.cwd(), None)
"""


@pytest.mark.parametrize("moment", ["while it fetches", "before DVC"])
def test_a_killed_refresh_leaves_the_present_version(present: Path, moment: str) -> None:
    before = stored(present)
    fill(present, [*ROWS, (99, "a new one", "billing")])
    command = [sys.executable, "-c", KILLED, moment]
    variables = environment(present) | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, cwd=present, env=variables, check=False).returncode == -signal.SIGKILL
    recover_all(present)
    assert stored(present) == before
    assert [path.name for path in (present / "data/sources").glob(".tickets*") if "adding" in path.name] == []


def test_no_stage_fetches_and_files_are_not_added_to_a_fetched_source(root: Path) -> None:
    assert "fetched" not in (root / "dvc.yaml").read_text()
    with pytest.raises(TunesmithError, match=r"'tickets' is fetched .params/sources.yaml."):
        add(root, [root / "week.csv"], "tickets")


def test_wrong_sections_are_named_before_anything_runs(root: Path) -> None:
    edit(root, "sources", lambda p: p["fetched"].update(demo=QUERY, other=QUERY | {"kye": "id"}))
    with pytest.raises(TunesmithError) as caught:
        preflight(Paths(root))
    lines = str(caught.value)
    assert "demo: only one of generated, hub, fetched can make a source; generated and fetched name it" in lines
    assert "fetched.other.kye: unknown key" in lines and "fetched.other: must also be a key of `sources`" in lines
    edit(root, "sources", lambda p: p.pop("fetched"))
    preflight(Paths(root))
