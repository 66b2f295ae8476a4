"""The structure of the code: rooms, the direction of imports, names. Every rule is tried on a text that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.longest import LONGEST
from tests.structure import ROOMS, ROOT, comparisons_of_methods, read_sources, wrong_imports, wrong_names, wrong_rooms


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
    assert {path.split("/")[1] for path in sources if path.count("/") > 1} >= {*ROOMS, "commands", "cli"}
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
        ("flows/retrain.py", "from flows.cli import app", "flows.cli"),
        ("flows/commands/plan.py", "import flows.cli.plan", "flows.cli.plan"),
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
        ("flows/cli/plan.py", "from flows import dag\nfrom flows.commands import plan\nfrom tasks import core"),
    ],
)
def test_an_import_of_what_lies_below_is_allowed(path: str, text: str) -> None:
    assert wrong_imports({path: text}) == []


def test_the_longest_test_files_are_named_as_they_are() -> None:
    assert set(LONGEST) <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_every_name_describes_its_value() -> None:
    sources = read_sources(ROOT, "tasks", "flows", "bench", "tests")
    assert len(sources) >= 400
    assert wrong_names(sources) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("found = 1", "found"),
        ("found: int = 1", "found"),
        ("a, (said, b) = 1, (2, 3)", "said"),
        ("for place in []: pass", "place"),
        ("x = [there for there in []]", "there"),
        ("if found := f(): pass", "found"),
        ("with f() as found: pass", "found"),
        ("import json as found", "found"),
        ("try: pass\nexcept OSError as said: pass", "said"),
        ("match x:\n    case [found]: pass", "found"),
        ("def asked(): pass", "asked"),
        ("class found: pass", "found"),
        ("def f(begun): pass", "begun"),
        ("def f(*, asked=1): pass", "asked"),
        ("f = lambda said: 1", "said"),
        ("print(x.said)", "said"),
        ("class A:\n    asked: int", "asked"),
        ("self.place = 1", "place"),
    ],
)
def test_a_name_that_describes_nothing_is_detected(text: str, name: str) -> None:
    assert [line.split(": ")[1] for line in wrong_names({"tasks/core/files.py": text})] == [name]


def test_a_file_whose_name_describes_nothing_is_detected() -> None:
    assert wrong_names({"tasks/core/found.py": "x = 1"}) == ["tasks/core/found.py: the file"]


def test_words_in_keys_texts_and_longer_names_are_allowed() -> None:
    text = "counts['found'] = f(asked=1)\nfound_rows = 1  # said\n'there'"
    assert wrong_names({"tasks/core/files.py": text}) == []


def test_only_records_of_methods_and_resolve_compare_a_methods_name() -> None:
    sources = read_sources(ROOT, "tasks", "flows", "bench")
    assert len(sources) >= 250
    assert comparisons_of_methods(sources) == []


@pytest.mark.parametrize(
    "text",
    [
        "if method == 'lora': pass",
        "if 'lora' != params.method: pass",
        "if params.method in ('lora', 'qlora'): pass",
        "if manifest['method'] not in {'none'}: pass",
        "x = 1 if manifest.get('method') == 'none' else 2",
        "match params.method:\n    case 'lora' | 'qlora': pass",
        "match method:\n    case {'a': 1}: pass\n    case 'none': pass",
    ],
)
def test_a_comparison_of_a_methods_name_is_seen(text: str) -> None:
    assert len(comparisons_of_methods({"tasks/train/run.py": text})) == 1
    assert comparisons_of_methods({"tasks/tuning/methods/lora.py": text, "tasks/resolve/check.py": text}) == []


def test_other_comparisons_are_allowed() -> None:
    text = "if method is None or method == other or kind == 'causal' or method in METHODS: pass"
    assert comparisons_of_methods({"tasks/train/run.py": text}) == []
