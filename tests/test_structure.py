"""The structure of the code: rooms, the direction of imports, names. Every rule is tried on a text that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.longest import LONGEST
from tests.structure import ROOMS, ROOT, read_sources, wrong_imports, wrong_rooms


def test_tasks_holds_the_rooms_and_nothing_else() -> None:
    assert wrong_rooms(ROOT) == []


def test_a_folder_that_is_no_room_and_a_missing_room_are_seen(tmp_path: Path) -> None:
    for name in (*ROOMS[1:], "misc"):
        (tmp_path / "tasks" / name).mkdir(parents=True)
    (tmp_path / "tasks/__init__.py").touch()
    assert wrong_rooms(tmp_path) == ["tasks/misc: not a room of the list", "tasks/core: missing"]


def test_imports_run_down_the_order_of_rooms() -> None:
    sources = read_sources(ROOT, "tasks", "flows")
    assert len(sources) >= 250
    assert {path.split("/")[1] for path in sources if path.count("/") > 1} >= {*ROOMS, "commands"}
    assert wrong_imports(sources) == []


@pytest.mark.parametrize(
    ("path", "text", "module"),
    [
        ("tasks/text/rows.py", "import tasks.mix.run", "tasks.mix.run"),
        ("tasks/text/rows.py", "from tasks import mix", "tasks.mix"),
        ("tasks/text/deep/rows.py", "from tasks.mix import run", "tasks.mix"),
        ("tasks/text/rows.py", "from ..mix import run", "tasks.mix"),
        ("tasks/text/rows.py", "def f():\n    from tasks.mix.run import mix", "tasks.mix.run"),
        ("tasks/text/rows.py", "if TYPE_CHECKING:\n    from tasks.mix.run import Mixed", "tasks.mix.run"),
        ("tasks/text/rows.py", "importlib.import_module('tasks.mix.run')", "tasks.mix.run"),
        ("tasks/train/run.py", "from prefect import flow", "prefect"),
        ("tasks/train/run.py", "import flows.dag", "flows.dag"),
        ("tasks/train/run.py", "from flows import dag", "flows.dag"),
        ("flows/retrain.py", "from flows.commands.plan import plan", "flows.commands.plan"),
        ("flows/retrain.py", "from flows import commands", "flows.commands"),
        ("flows/retrain.py", "from .commands import plan", "flows.commands"),
    ],
)
def test_an_import_of_what_lies_above_is_seen(path: str, text: str, module: str) -> None:
    violations = wrong_imports({path: text})
    assert violations and f": imports {module}: " in violations[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tasks/mix/run.py", "from tasks.text.rows import Row\nfrom tasks.mix import params\nimport json"),
        ("tasks/mix/run.py", "from . import params\nfrom ..text import rows"),
        ("flows/commands/plan.py", "from flows.commands import build\nfrom tasks.train import run\nimport prefect"),
        ("flows/cli.py", "from flows import dag\nfrom flows.commands import plan\nfrom tasks import core"),
    ],
)
def test_an_import_of_what_lies_below_is_allowed(path: str, text: str) -> None:
    assert wrong_imports({path: text}) == []


def test_the_longest_test_files_are_named_as_they_are() -> None:
    assert set(LONGEST) <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}
