"""How rows are scored, apart from the rows: what a file of ``data/scoring`` holds and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.metrics.scoring import Scoring, TemplateScoring, metrics_of, read_scorings, write_scoring
from tasks.text.rows import Row

SCORING = Scoring(templates={"b": TemplateScoring(metrics=["rouge", "chrf"]), "a": TemplateScoring(metrics=["loss"])})


def row(source: str, template: str) -> Row:
    return {"source": source, "template_id": template}


def test_only_the_files_of_the_rows_are_read(tmp_path: Path) -> None:
    write_scoring(tmp_path / "chats.json", SCORING)
    (tmp_path / "other.json").write_text("{")
    rows = [row("chats", "a"), row("chats", "b")]
    scorings = read_scorings(tmp_path, rows)
    assert scorings == {"chats": SCORING}
    assert [metrics_of(one, scorings) for one in rows] == [["loss"], ["rouge", "chrf"]]


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    turned = Scoring(templates=dict(reversed(SCORING.templates.items())))
    for name, scoring in (("one", SCORING), ("two", turned)):
        write_scoring(tmp_path / name, scoring)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert json.loads((tmp_path / "one").read_text()) == {
        "templates": {"a": {"metrics": ["loss"]}, "b": {"metrics": ["rouge", "chrf"]}}
    }


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"chats\.json: the source of a test row must have this file; .* run `tun"):
        read_scorings(tmp_path, [row("chats", "a")])


def test_a_file_of_other_rows_is_refused() -> None:
    with pytest.raises(TunesmithError, match=r"data/scoring/chats\.json: templates: .* 'c' is missing; .* are: b, a"):
        metrics_of(row("chats", "c"), {"chats": SCORING})
