"""How the dependencies of a stage are derived: files, and folders in place of nearly all of their files."""

from __future__ import annotations

import pytest

from tests.dag_modules import ROOT, files_of, folded

ROOM = [f"tasks/room/{name}.py" for name in "abcde"]


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (ROOM, ["tasks/room"]),
        (ROOM[:4], ["tasks/room"]),  # four fifths
        (ROOM[:3], ROOM[:3]),
        (["tasks/other.py", *ROOM], ["tasks/other.py", "tasks/room"]),
    ],
)
def test_a_room_is_listed_from_four_fifths_of_its_files_on(names: list[str], listed: list[str]) -> None:
    others = [f"tasks/far/{number}.py" for number in range(20)]
    assert folded(names, [*ROOM, "tasks/other.py", *others]) == listed


def test_a_folder_of_data_makes_no_room_of_the_code_beside_it() -> None:
    data = [f"tasks/room/data/{number}.yaml" for number in range(40)]
    assert folded(["tasks/room/data", ROOM[0]], [*ROOM, *data]) == [ROOM[0], "tasks/room/data"]


def test_a_folder_in_a_room_is_listed_alone() -> None:
    methods = [f"tasks/room/methods/{name}.py" for name in "abcde"]
    assert folded([*methods, ROOM[0]], [*ROOM, *methods]) == [ROOM[0], "tasks/room/methods"]


def test_a_folder_with_a_file_of_the_experiment_is_never_listed() -> None:
    """It holds the files of the other experiments too."""
    own = "tasks/room/${item.method}.py"
    assert folded([*ROOM, own], ROOM) == sorted([*ROOM, own])


def test_all_code_is_looked_at() -> None:
    files = files_of(ROOT / "tasks")
    assert len(files) > 200 and "tasks/core/stage.py" in files
    assert not [file for file in files if "__pycache__" in file]
