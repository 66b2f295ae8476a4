"""Marks of a merge conflict, in every file that DVC reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands.build import bring_up_to_date
from flows.conflicts import refuse_conflicts
from flows.dag import read_dag
from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

CONFLICT = "outs:\n- path: a\n<<<<<<< HEAD\n  md5: 1\n||||||| base\n  md5: 0\n=======\n  md5: 2\n>>>>>>> other\n"
KEPT = {  # a person removed some of the marks
    "=======": "outs:\n- path: a\n=======\n  md5: 2\n",
    ">>>>>>>": "outs:\n- path: a\n>>>>>>> other\n",
    "<<<<<<<": CONFLICT,
}
REMEDIES = {
    "dvc.lock": "take either side (`git checkout --ours dvc.lock` or `--theirs`) or delete the file, and run again",
    "dvc.yaml": "keep one side and remove the marks",
    "params/sources.yaml": "keep one side and remove the marks",
    ".dvc/config": "keep one side and remove the marks",
    "data/sources/chats.dvc": (
        "take either side (`git checkout --ours data/sources/chats.dvc` or `--theirs`), "
        "then `dvc checkout data/sources/chats`, and run again"
    ),
}


def write(root: Path, name: str, text: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("name", REMEDIES)
def test_every_command_names_the_file_the_line_and_the_remedy(tmp_path: Path, name: str, text: str) -> None:
    line = f"{write(tmp_path, name, text)}:3: the marks of a merge conflict begin here; {REMEDIES[name]}"
    checks = (
        lambda: preflight(Paths(tmp_path)),
        lambda: read_dag(tmp_path),
        lambda: bring_up_to_date(tmp_path, ["resolve"], "test", lambda _: None),
    )
    for check in checks:
        with pytest.raises(TunesmithError) as error:
            check()
        assert line in str(error.value).splitlines()


def test_all_files_with_marks_are_named_at_once(tmp_path: Path) -> None:
    for name in REMEDIES:
        write(tmp_path, name, CONFLICT)
    with pytest.raises(TunesmithError) as error:
        refuse_conflicts(tmp_path)
    assert len(str(error.value).splitlines()) == len(REMEDIES)


@pytest.mark.parametrize("text", ["a: 1\n", "text: |\n  Title\n  =======\n  <<<<<<< no mark\n", "# ======= \n"])
def test_texts_that_resemble_marks_are_no_conflict(tmp_path: Path, text: str) -> None:
    write(tmp_path, "params/sources.yaml", text)
    refuse_conflicts(tmp_path)
