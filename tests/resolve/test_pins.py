"""The version that a registered base model stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.model.base_models import BaseModelParams, find, find_on_disk, refuse_missing
from tasks.resolve.pins import Pin, load_pins, pinned

CHAMPION, REVISION = "models:/tunesmith@champion", "a" * 40
ORIGINAL = "embedded:smollm2-135m-instruct"
PINS = {"further": Pin(model=CHAMPION, version=3, revision=REVISION, original=BaseModelParams(name=ORIGINAL))}


def test_a_trained_experiment_gets_its_pinned_version() -> None:
    base = {"name": CHAMPION, "trust_remote_code": False}
    expected = {"name": "models:/tunesmith/3", "revision": REVISION, "trust_remote_code": False}
    for own in (True, False):
        assert pinned(base, "further", own, True, PINS) == expected
    assert pinned(base, "other", True, True, PINS) == base, "its own pin is missing"
    assert pinned({"name": "models:/other@champion"}, "further", True, True, PINS)["name"] == "models:/other@champion"


def test_an_untrained_experiment_evaluates_the_original_base_unless_it_names_one() -> None:
    assert pinned({"name": CHAMPION}, "base", False, False, PINS)["name"] == ORIGINAL
    assert pinned({"name": CHAMPION}, "further", True, False, PINS)["name"] == "models:/tunesmith/3"


def test_other_bases_stay() -> None:
    for name in ("./base", "google/flan-t5-base", "models:/other@champion"):
        assert pinned({"name": name}, "further", True, True, PINS) == {"name": name}


def test_a_wrong_pin_is_named(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.params.mkdir()
    assert load_pins(paths) == {}, "a workspace of an earlier version has no such file"
    entry = {"model": CHAMPION, "version": 0, "revision": REVISION, "original": {"name": "./base"}}
    write_yaml(paths.params / "bases.yaml", {"registered": {"further": entry}})
    with pytest.raises(TunesmithError, match=r"bases\.yaml: registered\.further\.version: "):
        load_pins(paths)


def test_a_registered_base_needs_a_pin_and_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    unpinned, known = BaseModelParams(name=CHAMPION), BaseModelParams(name="models:/tunesmith/3", revision=REVISION)
    for use in (find, refuse_missing):
        with pytest.raises(TunesmithError, match=r"params/bases\.yaml must name the version and its weights"):
            use(unpinned, tmp_path)
    refuse_missing(known, tmp_path)
    assert find_on_disk(known, tmp_path) is None
    with pytest.raises(TunesmithError, match=r"the merged model must be in .*; it is not; `tunesmith run` builds it"):
        find(known, tmp_path)
    with pytest.raises(TunesmithError, match="a registered model is models:/NAME@ALIAS or models:/NAME/VERSION; this"):
        refuse_missing(BaseModelParams(name="models:/tunesmith", revision=REVISION), tmp_path)
