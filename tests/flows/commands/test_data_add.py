"""``tunesmith data add`` to an existing source: what is appended, replaced and refused, alone and two at once."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.commands.data import add
from flows.commands.source_files import ingest_params
from tasks.core.errors import TunesmithError
from tests.flows.commands.tickets import ROWS, table
from tests.ingest.workbook import write_workbook
from tests.workspaces import ROOT, dvc, edit, environment, make_workspace

SOURCE: dict[str, Any] = {
    "ingest": {"required": ["ticket"]},
    "template": {"set": "sentiment", "columns": {"text": "ticket", "label": "team"}, "group": "ticket"},
    "split": {"by": "hash", "stratify": ["label"]},
}


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    folder = tmp_path_factory.mktemp("tickets")
    root = make_workspace(folder / "workspace", tiny_llama)
    add(root, [table(folder / "tickets.csv", ROWS[:60])], "tickets")
    return root


@pytest.fixture
def root(added: Path, tmp_path: Path) -> Path:
    """A workspace whose source ``tickets`` has 60 rows."""
    shutil.copytree(added, tmp_path / "workspace", symlinks=True)
    return tmp_path / "workspace"


def files_of(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "data/sources/tickets").iterdir())


def error_of(root: Path, file: Path, *how: Any, files: Sequence[str] = ("tickets.csv",)) -> str:
    before = (root / "data/sources/tickets.dvc").read_text()
    with pytest.raises(TunesmithError) as caught:
        add(root, [file], "tickets", *how)
    assert files_of(root) == list(files) and (root / "data/sources/tickets.dvc").read_text() == before
    return str(caught.value)


def test_new_rows_join_the_source_or_take_its_place_only_on_request(root: Path, tmp_path: Path) -> None:
    new = table(tmp_path / "tickets2.csv", ROWS[57:77])
    error = error_of(root, new)
    assert "with `--append`" in error and "`--replace --yes`" in error
    error = error_of(root, new, "replace")
    lost = "57 of these 60 rows are in none of the new files and would be lost"
    assert f"removes 1 file with 60 rows: tickets.csv (60 rows). {lost}. Nothing was changed; add `--yes`" in error
    assert "`--append`" in error
    printed = add(root, [new], "tickets", "append")
    assert "tickets: 60 → 80 rows, 3 already there" in printed and files_of(root) == ["tickets.csv", "tickets2.csv"]
    questions: list[str] = []

    def confirm(going: str) -> bool:
        questions.append(going)
        return True

    add(root, [new], "tickets", "replace", None, confirm)
    assert files_of(root) == ["tickets2.csv"]
    assert "2 files with 80 rows: tickets.csv (60 rows), tickets2.csv (20 rows). 57 of these 80" in questions[0]
    assert "The new files hold all of these rows." in error_of(root, new, "replace", files=["tickets2.csv"])
    other = table(tmp_path / "tickets3.csv", ROWS[80:90])
    error = error_of(root, other, "replace", files=["tickets2.csv"])
    assert "None of these rows is in the new files; all would be lost." in error
    (root / "data/sources/tickets/tickets2.csv").unlink()
    (root / "data/sources/tickets/tickets2.csv").write_text("")
    error = error_of(root, other, "replace", files=["tickets2.csv"])
    assert "tickets2.csv (which cannot be read). Nothing was changed" in error


def test_a_file_that_lacks_columns_is_one_error(root: Path, tmp_path: Path) -> None:
    squad = table(tmp_path / "squad.csv", [[*row, "x"] for row in ROWS[60:80]], ("text", "squad", "agent"))
    assert error_of(root, squad, "append") == (
        f"{squad} lacks the columns ticket, team, which every row of data/sources/tickets has; its other columns are "
        "text, squad, agent; rename them in the file"
    )
    only = table(tmp_path / "only.csv", [row[:1] for row in ROWS[60:80]], ("ticket",))
    assert error_of(root, only, "append").endswith(
        "only.csv lacks the column team, which every row of data/sources/tickets has; add it to the file"
    )
    some = tmp_path / "some.jsonl"
    some.write_text('{"ticket": "x", "team": "repair"}\n{"ticket": "y"}\n')
    assert "some.jsonl has 1 row (of 2) without the column team, which every" in error_of(root, some, "append")


def test_a_delimiter_may_be_named(root: Path) -> None:
    delimiters = {"comma": ",", "Semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t", ";": ";", "\t": "\t"}
    assert {text: ingest_params(root, "new", text, None).delimiter for text in delimiters} == delimiters
    with pytest.raises(TunesmithError, match="must be comma, semicolon, tab, pipe, or the character itself"):
        ingest_params(root, "new", "colon", None)


def test_a_source_that_params_name_gets_no_block_to_paste(root: Path, tmp_path: Path) -> None:
    edit(root, "sources", lambda p: p["sources"].update(tickets=SOURCE))
    printed = add(root, [table(tmp_path / "tickets2.csv", ROWS[60:80])], "tickets", "append")
    assert "under the key" not in printed
    assert "params/sources.yaml has tickets already; Tunesmith uses it unchanged" in printed
    assert "stratify: [label]" in printed and "group: ticket" in printed
    assert "`tunesmith templates validate tickets`, `tunesmith plan`, then `tunesmith run`" in printed


def test_what_does_not_fit_is_refused_before_anything_changes(root: Path, tmp_path: Path) -> None:
    edit(root, "sources", lambda p: p["sources"].update(tickets=SOURCE))
    same, other = tmp_path / "same", tmp_path / "other"
    for folder in (same, other):
        folder.mkdir()
    table(same / "tickets.csv", ROWS[:60])
    table(other / "tickets.csv", ROWS[60:70])
    assert "has this file already, with the same content" in error_of(root, same / "tickets.csv", "append")
    assert "has another tickets.csv; rename yours" in error_of(root, other / "tickets.csv", "append")
    squad = table(tmp_path / "squad.csv", ROWS[60:80], ("ticket", "squad"))
    error = error_of(root, squad, "append")
    assert "squad.csv lacks the column team, which every row of data/sources/tickets has" in error
    assert "its other column is squad; rename it in the file" in error
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"team": "repair"}\n')
    assert "broken.jsonl:1: column 'ticket' is missing" in error_of(root, broken, "append")
    more = table(tmp_path / "more.csv", [[*row, "Ann"] for row in ROWS[60:70]], ("ticket", "team", "agent"))
    assert "note: more.csv has a new column agent" in add(root, [more], "tickets", "append")


def test_a_split_by_file_must_name_the_file_first(root: Path, tmp_path: Path) -> None:
    split = {"by": "file", "files": {"test": ["tickets"]}}
    edit(root, "sources", lambda p: p["sources"].update(tickets=SOURCE | {"split": split}))
    new = table(tmp_path / "week2_train.csv", ROWS[60:80])
    error = error_of(root, new, "append")
    assert "sources.tickets.split.files" in error and "it does not name week2_train" in error
    assert "`files: {train: [week2_train], test: [tickets]}`" in error
    split = {"by": "file", "files": {"train": ["week2_train", "week3_train"], "test": ["tickets"]}}
    edit(root, "sources", lambda p: p["sources"]["tickets"].update(split=split))
    with pytest.raises(TunesmithError, match="it names week3_train, tickets, which would be gone"):
        add(root, [new], "tickets", "replace")
    assert "60 → 80 rows" in add(root, [new], "tickets", "append"), "week3_train may come later"


KILLED = """
import os, signal, sys
from pathlib import Path
from flows.commands import data
from flows.sources import store

def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "before DVC":
    store.run_dvc = kill
elif sys.argv[3] == "between the renames":
    store.file_tools.rename = lambda path, target, real=store.file_tools.rename: (
        kill() if target.name == "tickets" else real(path, target)
    )
else:
    store.file_tools.remove = kill  # after DVC: nothing is left but to clean up
data.add(Path.cwd(), [Path(sys.argv[1])], "tickets", sys.argv[2], confirm=lambda going: True)
"""


@pytest.mark.parametrize(
    ("how", "moment"),
    [("append", "before DVC"), ("replace", "before DVC"), ("replace", "between the renames"), ("replace", "after DVC")],
)
def test_a_killed_add_is_undone_or_finished_and_can_be_typed_again(
    root: Path, tmp_path: Path, how: Any, moment: str
) -> None:
    new = table(tmp_path / "tickets2.csv", ROWS[60:80])
    command = [sys.executable, "-c", KILLED, str(new), how, moment]
    done = subprocess.run(command, cwd=root, env=environment(root) | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    if moment == "after DVC":
        with pytest.raises(TunesmithError, match="tickets has this file already, with the same content"):
            add(root, [new], "tickets", "append")
    else:
        printed = add(root, [new], "tickets", how, confirm=lambda going: "60 rows" in going)
        assert how == "replace" or "60 → 80 rows, 0 already there" in printed
    assert files_of(root) == (["tickets2.csv"] if how == "replace" else ["tickets.csv", "tickets2.csv"])
    assert dvc(root, "status", "--json", "data/sources/tickets.dvc").stdout.strip() == "{}"
    assert sorted(path.name for path in (root / "data/sources").glob(".tickets*")) == []


def start(root: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.cli", "data", "add", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=root, env=environment(root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def printed_by(*running: subprocess.Popen[str]) -> list[tuple[int, str]]:
    printed = [process.communicate(timeout=300)[0] for process in running]
    return [(process.returncode, text) for process, text in zip(running, printed, strict=True)]


def test_of_two_that_add_under_one_name_at_once_the_second_is_refused(root: Path, tmp_path: Path) -> None:
    files = [table(tmp_path / f"week{i}.csv", ROWS[60 + 20 * i : 80 + 20 * i]) for i in (0, 1)]
    ended = printed_by(*(start(root, file, "--name", "fresh") for file in files))
    assert sorted(code for code, _ in ended) == [0, 1], ended
    winner = [code for code, _ in ended].index(0)
    assert [path.name for path in (root / "data/sources/fresh").iterdir()] == [files[winner].name]
    assert "this source exists already" in ended[1 - winner][1]


@pytest.mark.slow
def test_of_two_that_append_at_once_the_second_counts_what_the_first_added(root: Path, tmp_path: Path) -> None:
    files = [table(tmp_path / f"week{i}.csv", ROWS[60 + 20 * i : 80 + 20 * i]) for i in (0, 1)]
    ended = printed_by(*(start(root, file, "--name", "tickets", "--append") for file in files))
    assert [code for code, _ in ended] == [0, 0] and files_of(root) == ["tickets.csv", "week0.csv", "week1.csv"]
    for counts in ("60 → 80 rows", "80 → 100 rows"):
        assert sorted(counts in text for _, text in ended) == [False, True]


def test_everyday_files_are_added_and_what_is_read_otherwise_is_told(root: Path, tmp_path: Path) -> None:
    rows = [dict(zip(("ticket", "team"), row, strict=True)) for row in ROWS[60:64]]
    (tmp_path / "array.json").write_text(json.dumps({"data": rows}))
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row | {"score": float("nan")}) + "\n" for row in rows)
    sheets = {"May": [["ticket ", "team"], *ROWS[60:64]], "June": [["x"], [1]]}
    files = [tmp_path / "array.json", tmp_path / "packed.jsonl.gz", write_workbook(tmp_path / "book.xlsx", sheets)]
    with pytest.raises(TunesmithError, match=r"several sheets: 'May', 'June'; name one with `--sheet`"):
        add(root, files, "more")
    printed = add(root, files, "more", sheet="May")
    for name in ("array.json", "packed.jsonl.gz", "book.xlsx"):
        assert f"{name}: 4 rows, columns ticket, team" in printed
    assert "note: packed.jsonl.gz: 4 NaN or Infinity, which JSON lacks, are null; the first in 1" in printed
    assert "note: book.xlsx: blanks around the names of columns are cut: 'ticket '" in printed
    assert "sheet: May" in printed
    again = tmp_path / "again"
    again.mkdir()
    (again / "packed.csv").write_text("ticket,team\nx,repair\n")
    with pytest.raises(TunesmithError, match=r"more has another packed\.jsonl\.gz; rename yours"):
        add(root, [again / "packed.csv"], "more", "append", sheet="May")
