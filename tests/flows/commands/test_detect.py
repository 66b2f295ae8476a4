"""``data add`` detects formats by columns and first values, and says so where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.commands.detect import Detected, detect
from flows.commands.row_formats import FORMATS
from tasks.core.errors import TunesmithError
from tasks.ingest.readers import read
from tasks.text.rows import Row
from tests.flows.commands.everyday_files import CASES, SHARED, TURNS, UNCLEAR, write_file
from tests.workspaces import ROOT


def detected(rows: list[dict[str, Any]], requested: str | None = None) -> Detected:
    names = list(dict.fromkeys(column for row in rows for column in row))
    every = [column for column in names if all(column in row for row in rows)]
    return detect(ROOT, every, [column for column in names if column not in every], rows, requested)


@pytest.mark.parametrize("name", CASES)
def test_the_format_is_detected(name: str, tmp_path: Path) -> None:
    file, expected, rows, template_set, columns = CASES[name]
    result = detected([row for _, row in read(write_file(tmp_path / file, rows))])
    assert (result.format, result.matched and result.matched.set) == (expected, template_set), result.why
    assert result.matched is not None and not result.matched.lacking
    assert not columns or result.matched.columns == columns


def test_there_are_two_files_of_each_of_ten_formats() -> None:
    formats = [case[1] for case in CASES.values()]
    library = {"dialogue_summary", "sentiment", "multiple_choice", "entailment"}
    assert len(formats) == 20 and set(formats) == {*FORMATS, *library}
    assert all(formats.count(name) == 2 for name in FORMATS)


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_is_not_clear_is_told_with_what_was_read_and_how_to_go_on(name: str) -> None:
    rows, parts = UNCLEAR[name]
    result = detected(rows)
    assert result.format is None and result.matched is None
    for part in ["the format is not clear: ", *parts]:
        assert part in result.why


def test_a_format_can_be_named() -> None:
    rows = UNCLEAR["two_formats"][0]
    for name, template_set in {"messages": "chat", "prompt_completion": "prompt_completion"}.items():
        result = detected(rows, name)
        assert result.matched is not None and result.matched.set == template_set
    named_set = detected([{"gist": "late", "dialogue": "A: Late?"}], "dialogue_summary")
    assert named_set.matched is not None and named_set.matched.lacking == ["summary"]
    with pytest.raises(TunesmithError, match=r"`--format alpaca` needs .*; the rows have q: \"a\"; rename columns"):
        detected([{"q": "a"}], "alpaca")
    with pytest.raises(TunesmithError, match="it is 'alpacka'; did you mean 'alpaca'"):
        detected([{"q": "a"}], "alpacka")


def test_values_decide_where_names_do_not() -> None:
    assert detected([{"messages": SHARED}]).format == "sharegpt", "a usual name of the other format"
    assert detected([{"messages": TURNS, "prompt": "Late?"}]).format == "messages", "half of a pair is none"
    assert detected([{"prompt": "a", "completion": {"text": "b"}}]).format is None
    rows = [{"conversation": SHARED, "gold": SHARED}]
    result = detected(rows)
    assert result.matched is not None and result.matched.columns == {"messages": "conversation"}
    assert detected([{"one": TURNS, "other": TURNS}]).format is None


def test_a_column_that_some_rows_lack_may_still_be_mapped() -> None:
    rows: list[dict[str, Any]] = [{"instruction": "Say hi.", "output": "Hi"}] * 3
    result = detected([*rows, {"instruction": "Add.", "input": "1 2", "output": "3"}])
    assert result.matched is not None and result.matched.columns["input"] == "input" and not result.matched.values
    assert (matched := detected(rows).matched) is not None and matched.values == {"input": ""}


@pytest.mark.parametrize("written", [list, json.dumps, lambda value: json.dumps(value, indent=2)])
@pytest.mark.parametrize(
    ("question", "answer", "learn"),
    [({}, {"weight": 1}, "marked"), ({}, {"train": False}, "marked"), ({}, {"weight": None}, None),
     ({"train": False}, {}, None)],
)  # fmt: skip
def test_marks_of_turns_are_taken(written: Any, question: Row, answer: Row, learn: str | None) -> None:
    result = detected([{"messages": written([TURNS[0] | question, TURNS[1] | answer])}])
    assert result.matched is not None
    assert result.matched.template() == {"set": "chat"} | ({"learn": learn} if learn else {})
