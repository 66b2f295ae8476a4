"""``tunesmith templates``: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from tests.workspaces import edit, make_workspace

Cli = Callable[..., tuple[int, str]]
ROWS = [
    {"talk": "Ann: my lamp is broken.\nBob: we send another.", "gist": ["Ann gets another lamp.", "A new lamp comes."]},
    {"talk": "Ann: where is it?\nBob: it comes on Monday.", "gist": ["It comes on Monday."]},
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("templates") / "workspace", tiny_llama)
    (root / "data/sources/chats").mkdir(parents=True)
    (root / "data/sources/chats/all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    template: dict[str, Any] = {
        "set": "dialogue_summary",
        "columns": {"dialogue": "talk", "summary": "gist"},
        "use": ["gist", "briefly"],
        "assign": "one",
    }
    edit(root, "sources", lambda p: p["sources"].update(chats={"ingest": {}, "template": template, "split": {}}))
    return root


@pytest.fixture
def cli(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setenv("TUNESMITH_ROOT", str(workspace))
        monkeypatch.setenv("PREFECT_HOME", str(workspace / ".tunesmith/prefect"))
        monkeypatch.setattr(sys, "argv", ["tunesmith", "templates", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return call


def test_list_names_sets_tasks_directions_and_metrics(cli: Cli) -> None:
    code, printed = cli("list")
    assert code == 0
    lines = [line.split("│")[1:-1] for line in printed.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert ["dialogue_summary", "gist", "summarisation", "original", "rouge"] in cells
    assert ["product_reviews", "write_for_stars", "review_writing", "inverted", "rouge, bleu"] in cells


def test_show_a_set_and_one_template(cli: Cli) -> None:
    code, printed = cli("show", "product_reviews")
    assert code == 0
    assert "title (optional): the review's own headline" in printed and "license: " in printed
    assert "-- write_for_stars: review_writing, inverted; rouge, bleu" in printed
    code, printed = cli("show", "sentiment", "author")
    assert printed.count("\n-- ") == 1 and "Does the author like it?" in printed
    assert ">> one of: negative, positive" in printed
    code, printed = cli("show", "sentiment", "editor")
    assert code == 1 and "no template 'editor' in set 'sentiment'; there are: feeling, author" in printed
    assert "no template set 'poems'" in cli("show", "poems")[1]


def test_render_shows_the_mask(cli: Cli) -> None:
    code, printed = cli("render", "chats", "--row", 1)
    assert code == 0
    assert printed.startswith("chats row 1 (all:1), set dialogue_summary\n\n-- gist (summarisation)\n")
    assert "Give the gist of the dialogue above." in printed
    supervised = printed.split("[[")[1].split("]]")[0]
    assert supervised.startswith("Ann gets another lamp.") and len(supervised) > len("Ann gets another lamp.")
    assert "also accepted: A new lamp comes." in printed
    _, every = cli("render", "chats", "--row", 1, "--all")
    assert every.count("\n-- ") == 2 and every.count("[[Ann gets another lamp.") == 2
    assert "dropped: leak, at all:2 (template 'gist')" in cli("render", "chats", "--row", 2)[1]
    code, printed = cli("render", "chats", "--row", 3)
    assert code == 1 and "--row must be from 1 to 2, the rows of 'chats'; it is 3" in printed
    assert "sources.nothing: no such key; there is: demo, chats" in cli("render", "nothing")[1]


def test_render_without_a_base_model_shows_the_text(cli: Cli, workspace: Path) -> None:
    edit(workspace, "training", lambda p: p["defaults"].update(base_model={"name": "./nowhere"}))
    code, printed = cli("render", "chats")
    edit(workspace, "training", lambda p: p["defaults"].update(base_model={"name": "./base"}))
    assert code == 0
    assert "Give the gist of the dialogue above.\n[[Ann gets another lamp.]]" in printed
    assert "text only, no tokens: base_model.name: ./nowhere" in printed


def test_validate_passes_and_names_what_is_wrong(cli: Cli, workspace: Path) -> None:
    code, printed = cli("validate", "chats")
    assert code == 1 and "chats: error: dropped:" in printed, "its second summary stands in the dialogue"
    assert "1 with leak, the first at all:2 (template 'gist')" in printed
    edit(workspace, "sources", lambda p: p["sources"]["chats"]["template"].update(max_dropped=0.5))
    code, printed = cli("validate", "chats")
    assert (code, printed.splitlines()[-1]) == (0, "0 errors, 1 note")
    edit(workspace, "training", lambda p: p["defaults"].update(max_length=5))
    code, printed = cli("validate", "chats")
    edit(workspace, "training", lambda p: p["defaults"].update(max_length=4096))
    assert code == 1 and "chats: error: context: 1 of 1 prompts alone exceed max_length (5 tokens" in printed
    assert "give either the names of sources, or --all" in cli("validate")[1]


def test_validate_speaks_of_the_rows_that_are_in_the_files_now(cli: Cli, workspace: Path) -> None:
    """Before anything is ingested, after rows were added, and where DVC cannot run."""
    code, printed = cli("validate", "demo")
    assert code == 0 and "bringing generate@demo, ingest@demo up to date …" in printed, printed
    assert "demo: 32 rows of data/sources/demo" in printed and (workspace / "data/raw/demo.parquet").exists()
    folder = workspace / "data/sources/later"
    folder.mkdir()
    row = {"talk": "Ann: my lamp is broken.\nBob: we send another.", "gist": "Ann gets another lamp."}
    (folder / "a.jsonl").write_text(json.dumps(row) + "\n")
    template = {"set": "dialogue_summary", "columns": {"dialogue": "talk", "summary": "gist"}}
    edit(workspace, "sources", lambda p: p["sources"].update(later={"ingest": {}, "template": template, "split": {}}))
    code, printed = cli("validate", "later")
    assert code == 0 and "later: 1 row of data/sources/later\n0 errors, 0 notes" in printed
    (folder / "b.jsonl").write_text(json.dumps(row | {"gist": ""}) + "\n")
    code, printed = cli("validate", "later")
    assert code == 1 and "later: 2 rows of" in printed and "1 with empty completion, the first at b:1" in printed
    assert "later row 2 (b:1)" in cli("render", "later", "--row", 2)[1]
    (folder / "c.jsonl").write_text("{")
    code, printed = cli("validate", "later")
    assert code == 1 and "ingest@later: error: " in printed and "c.jsonl:1: each line must be one JSON" in printed
    (folder / "c.jsonl").unlink()
    (folder / "b.jsonl").unlink()
    edit(workspace, "sources", lambda p: p["sources"].update(broken={"ingest": {}, "template": {}, "split": {}}))
    code, printed = cli("validate", "later")
    edit(workspace, "sources", lambda p: (p["sources"].pop("broken"), p["sources"].pop("later")))
    assert code == 0 and "note: these rows may be stale: ingest@later could not be brought up to date" in printed


def test_an_imported_set_is_used_by_its_name(cli: Cli, workspace: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "chats.json"
    pairs.write_text(json.dumps([["{talk}\n\nShort:", "{gist}"], ["{0}", "x"]]))
    code, printed = cli("import", pairs, "--name", "flan_chats")
    assert code == 0
    assert f"{pairs}: p2: a field must be the name of a column alone; it is {{0}}\n" in printed
    where, use, counted = printed.splitlines()[-3:]
    assert where.startswith("1 set in ") and where.endswith(": own/flan_chats")
    assert "`template: {set: own/flan_chats}`" in use
    assert counted == "imported 1 of 2 templates, refused 1"
    assert (workspace / "tasks/template/library/own/flan_chats.yaml").exists()
    code, printed = cli("import", pairs, "--name", "flan_chats")
    assert code == 1 and "a set of this name exists" in printed
    assert "own/flan_chats" in cli("list")[1]
    (workspace / "data/sources/plain").mkdir()
    (workspace / "data/sources/plain/all.jsonl").write_text('{"talk": "Ann: hi", "gist": "Ann greets."}\n')
    block = {"ingest": {}, "template": {"set": "own/flan_chats"}, "split": {}}
    edit(workspace, "sources", lambda p: p["sources"].update(plain=block))
    code, printed = cli("render", "plain")
    edit(workspace, "sources", lambda p: p["sources"].pop("plain"))
    assert code == 0 and "Ann: hi" in printed and "[[Ann greets." in printed
