"""Files: what was there stays until the new is whole, and equal content has one hash."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from pathlib import Path

import pytest

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.text.rows import RENDERED
from tests.core.processes import dead_process


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# replacing


def test_replacing_puts_a_file_in_its_place_and_makes_the_folders(tmp_path: Path) -> None:
    target = tmp_path / "a/b/file"
    for content in ("one", "two"):
        with files.replacing(target) as path:
            path.write_text(content)
            assert path.parent == target.parent, "a rename works only on one disk"
        assert target.read_text() == content
    assert names(target.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("folder", [False, True])
def test_on_an_error_the_old_target_stays_and_nothing_temporary_does(
    tmp_path: Path, error: type[BaseException], folder: bool
) -> None:
    target = tmp_path / "target"
    old = target / "old" if folder else target
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    with pytest.raises(error), files.replacing(target) as path:
        if folder:
            path.mkdir()
        (path / "new" if folder else path).write_text("new")
        raise error
    assert old.read_text() == "old"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("new_folder", [False, True])
@pytest.mark.parametrize("old_folder", [False, True])
def test_a_file_or_folder_takes_the_place_of_either(tmp_path: Path, old_folder: bool, new_folder: bool) -> None:
    target = tmp_path / "target"
    if old_folder:
        target.mkdir()
    (target / "old" if old_folder else target).write_text("old")
    with files.replacing(target) as path:
        if new_folder:
            path.mkdir()
        (path / "new" if new_folder else path).write_text("new")
    assert (names(target) if new_folder else target.read_text()) == (["new"] if new_folder else "new")
    assert names(tmp_path) == ["target"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/kept").write_text("x")
    (tmp_path / "target").symlink_to(tmp_path / "cache")
    with files.replacing(tmp_path / "target") as path:
        path.mkdir()
    assert not (tmp_path / "target").is_symlink()
    assert names(tmp_path / "cache") == ["kept"]


def test_nothing_temporary_stays_where_the_rename_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "target"):
        pass  # the caller wrote nothing
    assert names(tmp_path) == []


def test_what_dead_processes_left_is_removed_and_what_live_ones_write_is_not(tmp_path: Path) -> None:
    left, alive, other = f".a.{dead_process()}.partial", f".a.{os.getppid()}.partial", f".a.b.{dead_process()}.partial"
    for name in (left, alive, other):
        (tmp_path / name).mkdir()
    with files.replacing(tmp_path / "a") as path:
        path.write_text("x")
    assert names(tmp_path) == sorted(["a", alive, other])


class Killed(BaseException):
    """Nothing runs after it, as after SIGKILL."""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_while_a_folder_is_renamed_loses_nothing(
    tmp_path: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies before the first rename, between the two, or before the old folder is removed."""
    target, new = tmp_path / "a", tmp_path / ".a.new"
    for folder in (target, new):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    done: list[Path] = []
    replace = Path.replace

    def dying(path: Path, to: Path) -> Path:
        if len(done) == renames:
            raise Killed
        done.append(path)
        return replace(path, to)

    def never(path: Path) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", dying)
        patched.setattr(files, "recover", never)
        files.rename(new, target)
    assert target.exists() == (renames != 1)
    files.recover(target)
    assert (target / "file").read_text() == (".a.new" if renames == 2 else "a")
    assert names(tmp_path) == (["a"] if renames == 2 else [".a.new", "a"])


def test_what_a_dead_process_moved_aside_is_put_back_where_it_is_the_only_copy(tmp_path: Path) -> None:
    dead, alive = (f".a.{number}.old.partial" for number in (dead_process(), os.getppid()))
    for name in (dead, alive):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_text(name)
    assert files.temporary(tmp_path / "a").name == f".a.{os.getpid()}.partial"
    assert (tmp_path / "a/old").read_text() == dead
    assert names(tmp_path) == [alive, "a"], "a live process is still renaming"
    (tmp_path / "a").rename(tmp_path / dead)
    (tmp_path / "a").mkdir()
    files.recover(tmp_path / "a")
    assert names(tmp_path) == [alive, "a"] and names(tmp_path / "a") == []


def test_a_folder_comes_back_where_its_successor_cannot_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        files.rename(tmp_path / "missing", tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_remove_takes_files_folders_links_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder/below").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("folder", "file", "link", "nothing"):
        files.remove(tmp_path / name)
    assert names(tmp_path) == ["kept"]


# hashes


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_hash_of_a_folder_depends_on_names_and_contents_and_not_on_their_order(tmp_path: Path) -> None:
    content = {f"{folder}/f{i}": f"{folder}{i}" for folder in ("a", "a/b", "c") for i in range(20)}
    hashes = set()
    for seed in range(3):
        for name in random.Random(seed).sample(sorted(content), len(content)):
            path = tmp_path / str(seed) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content[name])
        hashes.add(files.sha256(tmp_path / str(seed)))
    assert len(hashes) == 1
    changed = tmp_path / "0"
    (changed / "a/f0").rename(changed / "a/f99")
    hashes.add(files.sha256(changed))
    (tmp_path / "1/a/f0").write_text("other")
    hashes.add(files.sha256(tmp_path / "1"))
    (tmp_path / "2/a/f0").unlink()
    hashes.add(files.sha256(tmp_path / "2"))
    assert len(hashes) == 4


def test_temporary_and_compiled_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = files.sha256(tmp_path)
    for name in ("__pycache__/m.pyc", ".a.1.partial", ".d.1.partial/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("y")
    assert files.sha256(tmp_path) == before


def test_a_digest_depends_on_the_value_and_not_on_the_order_of_keys() -> None:
    assert files.canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'
    assert files.digest({"b": 1, "a": 2}) == files.digest({"a": 2, "b": 1}) != files.digest({"a": 2, "b": "1"})
    assert files.digest([1]) == hashlib.sha256(b"[1]").hexdigest()


def test_unit_interval_is_uniform_and_the_same_everywhere() -> None:
    values = [files.unit_interval(0, "x", i) for i in range(10_000)]
    assert all(0 <= value < 1 for value in values)
    # the mean of n uniform numbers has a standard deviation of 1 / sqrt(12 n)
    assert sum(values) / len(values) == pytest.approx(0.5, abs=4 / math.sqrt(12 * len(values)))
    assert files.unit_interval("a", 1) == int(hashlib.sha256(b'["a",1]').hexdigest()[:13], 16) / 16**13


# rows


def test_json_lines_may_hold_unicode_line_separators(tmp_path: Path) -> None:
    values = [{"x": "a\u2028b\u0085\x0b"}, 2]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values))
    assert files.read_jsonl(tmp_path / "a.jsonl") == values


def test_rows_come_back_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [{"row_id": "a", "references": ["x", "y"], "source_line": 3, "answer_choices": None, "text": "é\u2028"}]
    for name in ("a", "b"):
        files.write_rows(tmp_path / name, rows, RENDERED)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert files.read_rows(tmp_path / "a") == [{**dict.fromkeys(RENDERED.names), **rows[0]}]


def test_rows_that_were_not_built_yet_are_named_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"a\.parquet: no such file; run `tunesmith run`"):
        files.read_rows(tmp_path / "a.parquet")
