"""``doctor --deep`` on a small DVC workspace: every output is hashed, in the workspace and in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.commands.deep_check import check_outputs
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tests.workspaces import ROOT, dvc

DVC_YAML = """
stages:
  file:
    cmd: echo one > one.txt
    outs: [one.txt]
  folder:
    cmd: mkdir -p many/below && echo a > many/a.txt && echo b > many/below/b.txt
    outs: [many]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("deep") / "workspace"
    root.mkdir()
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "data/sources/chats").mkdir(parents=True)
    (root / "data/sources/chats/train.jsonl").write_text("{}\n")
    dvc(root, "add", "data/sources/chats")
    dvc(root, "repro")
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "workspace")


def change(path: Path) -> None:
    """Change a file in place, as root may do with a read-only one, and keep its size and its times."""
    before = path.stat()
    path.chmod(0o644)
    text = path.read_bytes()
    path.write_bytes(b"#" + text[1:])
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(root: Path, md5: str) -> Path:
    return root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def md5_of(root: Path, stage: str) -> str:
    return str(read_yaml(root / "dvc.lock")["stages"][stage]["outs"][0]["md5"])


def reported(root: Path) -> list[str]:
    with pytest.raises(TunesmithError) as error:
        check_outputs(root)
    return str(error.value).splitlines()


def test_outputs_as_recorded_are_counted(root: Path) -> None:
    assert check_outputs(root) == "4 files as dvc.lock records them"


@pytest.mark.parametrize(
    ("damage", "output", "wrong"),
    [
        (lambda root: change(root / "one.txt"), "one.txt", "one.txt was changed"),
        (lambda root: change(root / "many/below/b.txt"), "many", "many/below/b.txt was changed"),
        (lambda root: (root / "many/a.txt").unlink(), "many", "many/a.txt is missing"),
        (
            lambda root: change(root / "data/sources/chats/train.jsonl"),
            "data/sources/chats",
            "data/sources/chats/train.jsonl was changed",
        ),
    ],
)
def test_a_changed_or_missing_output_is_named_and_its_remedy_works(
    root: Path, damage: Callable[[Path], Any], output: str, wrong: str
) -> None:
    damage(root)
    remedy = f"Remove it (`rm -r {output}`); `dvc checkout --force {output}` restores it"
    assert reported(root) == [f"{output}: must be as dvc.lock records it; {wrong}. {remedy}"]
    path = root / output
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    dvc(root, "checkout", "--force", output)
    assert check_outputs(root) == "4 files as dvc.lock records them"


def test_a_damaged_cache_is_named_and_its_remedy_works(root: Path) -> None:
    entry = cached(root, md5_of(root, "file"))
    change(entry)
    (line,) = reported(root)
    name = entry.relative_to(root)
    assert line == (
        "one.txt: DVC's cache must hold what was stored; one.txt was changed there. "
        f"Remove `{name}`; `dvc commit file` then stores the workspace's file again"
    )
    entry.unlink()
    dvc(root, "commit", "file")
    assert check_outputs(root) == "4 files as dvc.lock records them"


def test_a_file_that_is_one_with_its_cache_entry_is_damaged_in_both(root: Path) -> None:
    entry = cached(root, md5_of(root, "file"))
    (root / "one.txt").unlink()
    (root / "one.txt").hardlink_to(entry)
    assert "1 output file and DVC's cache are one file" in reported(root)[-1]
    change(entry)
    damaged, linked = reported(root)
    assert damaged.endswith(f"Remove `{entry.relative_to(root)}`; `rm -r one.txt`, then `tunesmith run` builds it")
    assert "`dvc checkout --relink`" in linked


def test_outputs_share_no_file_with_the_cache(built: Path) -> None:
    """An edit in place cannot reach the cache, so the run restores what was stored."""
    assert not (built / "one.txt").samefile(cached(built, md5_of(built, "file")))


def test_an_output_that_is_edited_in_place_is_restored_by_the_next_run(root: Path) -> None:
    (root / "one.txt").chmod(0o644)
    (root / "one.txt").write_text("HACKED\n")
    assert "one.txt" in dvc(root, "status").stdout
    dvc(root, "repro")
    assert (root / "one.txt").read_text() == "one\n"


def test_a_folder_whose_list_is_missing_is_counted(root: Path) -> None:
    cached(root, md5_of(root, "folder")).unlink()
    assert check_outputs(root) == (
        "2 files as dvc.lock records them; 1 folder not checked: the cache lacks the list of files"
    )
