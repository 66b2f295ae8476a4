"""Files of rows are read and written in the format that their ending names."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.ingest.tables import WRITTEN, read_table, refuse_unwritable, write_table

ROWS: list[dict[str, Any]] = [
    {"text": 'She wrote: "so, what?"\nand\tleft;\r\n', "note": "|"},
    {"text": "Grüße, 你好, 👩‍👩‍👧, \u2028 and \u0085", "note": "  spaces  "},
    {"text": "'=1+1'", "note": "\\n"},
]


@pytest.mark.parametrize("target", WRITTEN)
@pytest.mark.parametrize("source", WRITTEN)
def test_texts_survive_every_format(tmp_path: Path, source: str, target: str) -> None:
    write_table(tmp_path / f"a{source}", ROWS)
    rows = [row for _, row in read_table(tmp_path / f"a{source}")]
    write_table(tmp_path / f"b{target.upper()}", rows)
    assert [row for _, row in read_table(tmp_path / f"b{target.upper()}")] == ROWS


def test_other_values_in_text_and_in_parquet(tmp_path: Path) -> None:
    rows = [{"n": 1, "ok": True, "list": ["a", "ü"], "day": date(2026, 1, 2), "none": None}, {"n": 2.5, "late": "x"}]
    write_table(tmp_path / "a.csv", rows)
    assert [row for _, row in read_table(tmp_path / "a.csv")] == [
        {"n": "1", "ok": "true", "list": '["a", "ü"]', "day": "2026-01-02", "none": "", "late": ""},
        {"n": "2.5", "ok": "", "list": "", "day": "", "none": "", "late": "x"},
    ]
    write_table(tmp_path / "a.parquet", rows)
    assert read_table(tmp_path / "a.parquet")[0][1] == rows[0] | {"late": None, "day": "2026-01-02"}
    write_table(tmp_path / "a.jsonl", [{"n": float("nan"), "list": [1.5, {"inner": float("-inf")}]}])
    assert (tmp_path / "a.jsonl").read_text() == '{"n": null, "list": [1.5, {"inner": null}]}\n', "JSON has no NaN"


def test_unknown_endings_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    for name in ("rows.xlsx", "rows"):
        with pytest.raises(
            TunesmithError, match=r"must be one of \.csv, \.tsv, \.jsonl, \.ndjson, \.parquet, \.json; it is"
        ):
            write_table(tmp_path / name, ROWS)


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    mixed = [(1, {"a": 1}), (2, {"a": "one"})]
    with pytest.raises(TunesmithError, match=r"b\.parquet: column 'a' must have one type in all rows"):
        refuse_unwritable(tmp_path / "b.parquet", mixed, tmp_path / "a.jsonl")
    refuse_unwritable(tmp_path / "b.csv", mixed, tmp_path / "a.jsonl")
    with pytest.raises(TunesmithError, match=r"a\.jsonl:7: text must be Unicode; it holds half of a surrogate pair"):
        refuse_unwritable(tmp_path / "b.csv", [(7, {"a": "\ud800"})], tmp_path / "a.jsonl")


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", ROWS)
    with pytest.raises(TunesmithError):
        write_table(tmp_path / "a.parquet", [{"a": 1}, {"a": "one"}])
    assert [row for _, row in read_table(tmp_path / "a.parquet")] == ROWS
