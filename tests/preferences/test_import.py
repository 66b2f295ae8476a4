"""Judges' files: read as spreadsheets leave them, refused with row and remedy where they cannot be right."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.preferences.answers import read_answers
from tasks.preferences.export import Exported
from tasks.preferences.importing import import_answers
from tasks.preferences.sheet import unguard
from tests.preferences.evaluated import Workspace

Predict = Callable[..., dict[str, Any]]
Rows = list[list[str]]


def rows_of(path: Path) -> Rows:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def answered(path: Path, choice: str = "left") -> Rows:
    """The exported spreadsheet with ``choice`` in every row."""
    head, *rows = rows_of(path)
    return [head, *([*row[:-1], choice] for row in rows)]


@pytest.fixture
def done(filled: Workspace) -> Exported:
    return filled.export(rows=6)


def refused(workspace: Workspace, *sheets: Path) -> list[str]:
    with pytest.raises(TunesmithError) as error:
        import_answers(workspace.paths, sheets)
    assert not (workspace.paths.preference(workspace.a, workspace.b) / "results.json").exists()
    return str(error.value).splitlines()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_spreadsheet_is_read_as_programs_save_it(
    filled: Workspace, done: Exported, delimiter: str, encoding: str
) -> None:
    head, *rows = answered(done.sheet)
    rows[0][-1], rows[1][-1], rows[2][-1], rows[3][-1] = " Right ", "TIE", "bad", ""
    rows[4].insert(2, "a remark")
    for row in [head, *rows[:4], *rows[5:]]:
        row.insert(2, "remark" if row is head else "")
    turned = [[cell.upper() if cell in ("export", "pair") else cell for cell in head], *reversed(rows), [""] * 7]
    path = filled.file("ann.csv", turned, delimiter, encoding)
    key, answers = read_answers(filled.paths, [path])
    assert key == done.key
    assert answers == {"ann": {"p001": "right", "p002": "tie", "p003": "bad", "p005": "left", "p006": "left"}}


def test_texts_are_known_again_whatever_a_program_did_to_guards_and_blanks(
    workspace: Workspace, predict: Predict
) -> None:
    workspace.report(workspace.a, [predict(1, "=1+1"), predict(2, "'tis\n\n so"), predict(3, "-  a\r\n- b")])
    workspace.report(workspace.b, [predict(i, "@other") for i in (1, 2, 3)])
    head, *rows = answered(workspace.export().sheet)
    ways = [rows, [[unguard(cell) for cell in row] for row in rows], [[" ".join(c.split()) for c in r] for r in rows]]
    for way in ways:
        _, answers = read_answers(workspace.paths, [workspace.file("ann.csv", [head, *way])])
        assert len(answers["ann"]) == 3


def test_what_the_page_downloads_is_read(filled: Workspace, done: Exported) -> None:
    """Bytes as Chromium 150 wrote them, but for the export's id."""
    export = done.key.export
    path = filled.paths.root / f"answers-{export}-_Ann_the_judge_4.csv"
    path.write_bytes(
        b'\xef\xbb\xbf"export","pair","judge","choice"\r\n'
        + f'"{export}","p001","\'=Ann, ""the"" judge 4","left"\r\n'.encode()
        + f'"{export}","p002","\'=Ann, ""the"" judge 4",""\r\n'.encode()
    )
    assert read_answers(filled.paths, [path])[1] == {'=Ann, "the" judge 4': {"p001": "left"}}


def test_wrong_rows_are_named_all_at_once(filled: Workspace, done: Exported) -> None:
    export = done.key.export
    path = filled.file(
        "ann.csv",
        [
            ["export", "pair", "choice"],
            [export, "p001", "left"],
            [export, "p099", "left"],
            [export, "p002", "better"],
            ["x000000000000", "p003", "tie"],
            [export, "P001", "right"],
            [export, "p004", ""],
        ],
    )
    lines = refused(filled, path)
    assert [line.split(": ")[1:3] for line in lines] == [
        ["row 3", "pair"],
        ["row 4", "choice"],
        ["row 5", "export"],
        ["row 6", "pair"],
    ]
    assert "no pair 'p099'" in lines[0] and "there are p001 to p006" in lines[0]
    assert "must be left, right, tie or bad, or empty; it is 'better'" in lines[1]
    assert f"must be of one export, {export}; it is 'x000000000000'" in lines[2]
    assert f"'ann' has answered p001 in {path}: row 2; remove one" in lines[3]


def test_many_problems_are_counted(filled: Workspace, done: Exported) -> None:
    rows = [[done.key.export, f"q{i}", "left"] for i in range(50)]
    lines = refused(filled, filled.file("ann.csv", [["export", "pair", "choice"], *rows]))
    assert len(lines) == 21 and lines[-1] == "and 30 more problems"


def test_one_column_sorted_alone_is_refused(filled: Workspace, done: Exported) -> None:
    head, *rows = answered(done.sheet)
    moved = [[row[0], other[1], *row[2:]] for row, other in zip(rows, reversed(rows), strict=True)]
    lines = refused(filled, filled.file("ann.csv", [head, *moved]))
    assert len(lines) == 6 and "row 2: pair: the texts of the row must be those of p006" in lines[0]
    assert "remove the columns prompt, left, right" in lines[0]
    bare = [[row[0], row[1], row[5]] for row in [head, *moved]]
    assert import_answers(filled.paths, [filled.file("bare.csv", bare)]).results["judges"]["bare"]["answered"] == 6


def test_files_of_two_exports_do_not_mix(filled: Workspace, done: Exported) -> None:
    other = filled.export(rows=6, seed=1)
    first = filled.file("ann.csv", answered(done.sheet))
    second = filled.file("bob.csv", answered(other.sheet))
    lines = refused(filled, first, second)
    assert len(lines) == 6 and f"must be of one export, {done.key.export}; it is '{other.key.export}'" in lines[0]


def test_the_same_file_twice_is_a_duplicate_two_sittings_are_not(filled: Workspace, done: Exported) -> None:
    head, *rows = answered(done.sheet)
    whole = filled.file("ann.csv", [head, *rows])
    assert len(refused(filled, whole, whole)) == 6
    later = [[*row[:-1], "" if i < 3 else "tie"] for i, row in enumerate(rows)]
    earlier = [[*row[:-1], "left" if i < 3 else ""] for i, row in enumerate(rows)]
    (filled.paths.root / "later").mkdir()
    sittings = [filled.file("ann.csv", [head, *earlier]), filled.file("later/ann.csv", [head, *later])]
    results = import_answers(filled.paths, sittings).results["judges"]
    assert results == {"ann": results["ann"]} and (results["ann"]["answered"], results["ann"]["unanswered"]) == (6, 0)


def test_rows_without_an_answer_are_counted_also_where_they_are_gone(filled: Workspace, done: Exported) -> None:
    head, *rows = answered(done.sheet)
    rows[0][-1] = ""
    results = import_answers(filled.paths, [filled.file("ann.csv", [head, *rows[:4]])]).results
    assert (results["judges"]["ann"]["answered"], results["judges"]["ann"]["unanswered"]) == (3, 3)
    assert results["pairs_exported"] == 6 and list(results["pairs"]) == ["p002", "p003", "p004"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "needs the columns export, pair, choice; it is empty"),
        (b"pair,choice\np001,left\n", "row 1: .* missing: export; there are: pair, choice"),
        (b"export,pair,choice,choice\n", "the column 'choice' occurs twice"),
        (b"export,pair,choice\nx,p001\n", r"row 2: must have as many cells as the first row \(3\); it has 2"),
        (b'export,pair,choice\nx,p001,"left\n', "row 2: not valid CSV"),
        (b"export,pair,choice\nx,p001,\xe9\n", "not UTF-8 at byte 26; save it .* as `CSV UTF-8`"),
        (b"export,pair,choice\n", "must hold rows of an export"),
        (
            b"export,pair,choice\nx1,p001,left\n",
            "row 2: export: there is no key for the export 'x1' in .*; there are: x[0-9a-f]{12};",
        ),
        (b"export,pair,choice\nx*,p001,left\n", "there is no key for the export 'x\\*'"),
    ],
)
def test_a_file_that_holds_no_answers_is_refused(
    filled: Workspace, done: Exported, content: bytes, message: str
) -> None:
    path = filled.paths.root / "ann.csv"
    path.write_bytes(content)
    with pytest.raises(TunesmithError, match=message):
        import_answers(filled.paths, [path])
    path.unlink()
    with pytest.raises(TunesmithError, match="no such file; name a judge's CSV file"):
        import_answers(filled.paths, [path])


def test_an_export_that_nobody_answered_is_refused(filled: Workspace, done: Exported) -> None:
    (line,) = refused(filled, done.sheet)
    assert "no row is answered; write left, right, tie or bad into the column `choice`" in line


def test_a_key_from_elsewhere(filled: Workspace, done: Exported, tmp_path: Path) -> None:
    path = filled.file("ann.csv", answered(done.sheet))
    moved = done.key_file.rename(tmp_path / "mine.json")
    with pytest.raises(TunesmithError, match=r"there are: none; .* name the key with --key"):
        import_answers(filled.paths, [path])
    assert import_answers(filled.paths, [path], moved).results["judges"]["ann"]["answered"] == 6
    moved.write_text(moved.read_text()[:-20])
    with pytest.raises(TunesmithError, match="must be a key that an export wrote; it is not JSON"):
        import_answers(filled.paths, [path], moved)
    moved.write_text("{}")
    with pytest.raises(TunesmithError, match="export: this key is required"):
        import_answers(filled.paths, [path], moved)
    with pytest.raises(TunesmithError, match="no such file; name the key"):
        import_answers(filled.paths, [path], tmp_path / "none.json")


def test_a_result_is_written_with_notes_on_what_changed_since_the_export(
    filled: Workspace, done: Exported, predict: Predict
) -> None:
    path = filled.file("ann.csv", answered(done.sheet))
    first = import_answers(filled.paths, [path])
    assert first.notes == [] and json.loads(first.path.read_text()) == first.results
    assert first.path == filled.paths.preference(filled.a, filled.b) / "results.json"
    before = first.path.read_bytes()
    filled.report(filled.a, [predict(1, "other")])
    (filled.paths.report(filled.b) / "predictions.parquet").unlink()
    again = import_answers(filled.paths, [path])
    assert "has changed since the export" in again.notes[0] and "is gone" in again.notes[1]
    assert again.path.read_bytes() == before
    (note,) = import_answers(filled.paths, [filled.file("bob.csv", answered(done.sheet, "tie"))]).notes[2:]
    assert note.startswith(f"replaced the result of export {done.key.export} by ann;")
