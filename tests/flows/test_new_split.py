"""A split whose earlier assignments are void is refused before anything runs, and made anew only on request."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.commands.plan import plan
from flows.new_split import counts, new_splits, refuse_new_splits
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tests.flows.commands.tickets import ROWS, SET, table
from tests.workspaces import commit, dvc, edit, make_workspace

SPLIT: dict[str, Any] = {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}, "stratify": ["label"]}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A workspace in which the rows of the one source ``tickets`` are split."""
    root = make_workspace(tmp_path_factory.mktemp("split") / "workspace", tiny_llama)
    (root / "tasks/template/library/own").mkdir(exist_ok=True)
    (root / "tasks/template/library/own/tickets.yaml").write_text(SET)
    (root / "data/sources/tickets").mkdir(parents=True)
    table(root / "data/sources/tickets/tickets.csv", ROWS[:60])
    source = {"ingest": {}, "template": {"set": "own/tickets"}, "split": SPLIT}
    edit(root, "sources", lambda p: p.update(sources={"tickets": source}, generated={}))
    edit(root, "mixtures", lambda p: p.update(mixtures={"tickets": {"sources": {"tickets": {}}}}))
    edit(root, "evaluation", lambda p: p["evaluation_set"].update(sources=["tickets"]))
    edit(root, "experiments", lambda p: p.update(experiments={"lora": {"method": "lora", "mixture": "tickets"}}))
    dvc(root, "repro", "split@tickets")
    commit(root)
    return root


@pytest.fixture
def root(split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(split, tmp_path / "workspace", symlinks=True)
    monkeypatch.chdir(tmp_path / "workspace")
    return tmp_path / "workspace"


def refusal(root: Path, *allowed: str) -> str:
    with pytest.raises(TunesmithError) as caught:
        refuse_new_splits(Paths(root), allowed)
    return str(caught.value)


def test_a_plan_refuses_a_new_split_until_it_is_allowed_and_counts_the_test_rows(root: Path) -> None:
    assert refuse_new_splits(Paths(root), None) == []
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].pop("stratify"))
    fractions = {"train": 0.8, "validation": 0.1, "test": 0.1}
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].update(fractions=fractions))
    edit(root, "sources", lambda p: p["sources"]["tickets"]["template"].update(group="ticket"))
    before = (root / "data/splits/tickets/assignments.parquet").read_bytes()
    with pytest.raises(TunesmithError) as caught:
        plan(root, None)
    lines = str(caught.value).splitlines()
    assert "tickets: its rows would be split anew: " in lines[0]
    for change in ("split.stratify was [label], now it is []", "template.group was null, now it is ticket"):
        assert change in lines[0]
    assert "rows may move to other parts (test has 12 rows now); scores cannot be compared" in lines[1]
    assert "the gate evaluates the champion on other test rows" in lines[1]
    assert "`stratify: [label]`" in lines[2] and "`--new-split tickets`" in lines[2]
    assert (root / "data/splits/tickets/assignments.parquet").read_bytes() == before
    printed = dvc(root, "repro", "split@tickets").stdout
    assert "tickets: WARNING: rows are split anew: " in printed and "split.stratify was [label]" in printed
    assert "WARNING: tickets: split anew: test rows 12 → " in printed
    assert new_splits(Paths(root)) == [], "the new split is the one that is remembered"


@pytest.mark.slow
def test_a_plan_that_may_splits_anew_and_counts_the_test_rows(root: Path) -> None:
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].pop("stratify"))
    steps: list[str] = []
    plan(root, None, steps.append, ["tickets"])
    assert any(line.startswith("tickets: split anew: test rows 12 → ") for line in steps), steps
    assert new_splits(Paths(root)) == []


def test_a_split_that_a_run_did_not_reach_is_not_counted_as_made_anew(root: Path) -> None:
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].pop("stratify"))
    allowed = refuse_new_splits(Paths(root), ["tickets"])
    assert [split.source for split in allowed] == ["tickets"]
    assert counts(Paths(root), allowed) == [], "as after a flow that failed before the stage split@tickets"
    dvc(root, "repro", "split@tickets")
    (line,) = counts(Paths(root), allowed)
    assert line.startswith("tickets: split anew: test rows 12 → ")


def test_a_memory_that_is_gone_is_missed_until_it_is_checked_out(root: Path) -> None:
    shutil.rmtree(root / "data/splits")
    error = refusal(root)
    assert "dvc.lock records a split, but data/splits/tickets with its assignments is missing" in error
    assert "run `dvc checkout data/splits/tickets`" in error
    assert [one.source for one in refuse_new_splits(Paths(root), ["all"])] == ["tickets"]
    assert "no source 'nothing'" in refusal(root, "nothing")
    dvc(root, "checkout", "data/splits/tickets")
    assert new_splits(Paths(root)) == []
    (root / "dvc.lock").unlink()
    shutil.rmtree(root / "data/splits")
    assert new_splits(Paths(root)) == [], "a workspace in which nothing was built has nothing to lose"


def test_what_decides_on_no_side_is_free(root: Path) -> None:
    edit(root, "sources", lambda p: p["sources"]["tickets"]["split"].update(limit={"train": 5}, min_rows=1))
    edit(root, "sources", lambda p: p["sources"]["tickets"]["template"].update(seed=3, max_dropped=0.5))
    assert new_splits(Paths(root)) == []
