"""The records of the methods: found by their modules, light, and apart from each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.resolve.params import method_blocks
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams, UntrainedParams, parse_params
from tasks.tuning.untrained import UNTRAINED, is_trained
from tests.dag_modules import HEAVY, ROOT, imported, loaded
from tests.train.every_method import METHODS

FOLDER = ROOT / "tasks/tuning/methods"


def test_every_method_is_found_and_tried() -> None:
    assert {*METHODS, UNTRAINED} == set(methods.names())
    for name in methods.names():
        record = methods.named(name)
        assert issubclass(record.params, TrainedParams) == (record.make_trainable is not None) == is_trained(name)
        assert set(record.lighter) <= set(methods.names())
    assert issubclass(methods.named(UNTRAINED).params, UntrainedParams)


def test_parameters_of_all_methods_are_read_without_heavy_libraries() -> None:
    modules = loaded("import tasks.resolve.params, tasks.resolve.__main__")
    assert {f"tasks.tuning.methods.{name}" for name in methods.names()} <= modules
    assert not HEAVY & modules


def test_a_method_is_imported_without_the_others() -> None:
    modules = loaded("from tasks.tuning import methods\nmethods.named('lora')")
    assert {name for name in modules if name.startswith("tasks.tuning.methods.")} == {"tasks.tuning.methods.lora"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_method_imports_another(path: Path) -> None:
    others = {f"tasks.tuning.methods.{name}" for name in methods.names()}
    assert not imported(path) & others


def test_methods_that_share_a_block_share_its_type() -> None:
    for name in filter(is_trained, methods.names()):
        for block, kind in methods.named(name).params.blocks().items():
            assert method_blocks()[block] is kind


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"method": "loar", "mixture": "m"}, r"^f\.yaml: method: must be one of adalora, .*; it is 'loar'$"),
        ({"mixture": "m"}, r"^f\.yaml: method: this key is required; add it$"),
        ({"method": 3}, r"^f\.yaml: method: input should be a valid string; it is 3$"),
        (None, r"^f\.yaml: must be a mapping of keys to values; it is empty"),
        ({"method": "none", "mixture": "m", "base_model": {"name": "b"}, "lora": {}}, r"lora: unknown key; known here"),
    ],
)
def test_wrong_parameters_are_named(data: object, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        parse_params(data, "f.yaml")
