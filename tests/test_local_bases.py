"""A local base model is a dependency of the experiments that use it: a change in place makes only these stale."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.resolve.fingerprint import fingerprint
from tests.workspaces import commit, copy_workspace, dvc, edit, make_workspace, ran


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A workspace of two local base models with resolved parameters; ``full`` uses the second one, ``base`` the hub."""
    root = make_workspace(tmp_path_factory.mktemp("bases") / "workspace", tiny_llama)
    copy(root / "base", root / "other")
    edit(root, "training", lambda p: p["base_models"].update(other="./other"))
    edit(root, "experiments", lambda p: p["experiments"]["full"].update(base_model={"name": "other/"}))
    edit(
        root, "experiments", lambda p: p["experiments"]["base"].update(base_model={"name": "a/b", "revision": "0" * 40})
    )
    commit(root)
    dvc(root, "repro", "resolve")
    return root


def copy(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    return copy_workspace(built, tmp_path / "workspace")


def stale(root: Path) -> set[str]:
    """The stages before training that DVC would run, and trainings whose base changed."""
    status = json.loads(dvc(root, "status", "--json", "base@tiny", "base@other", "no_base", "resolve").stdout)
    return set(status)


def contents(root: Path) -> dict[str, str]:
    return {name: Paths(root).experiment(name).joinpath("base.yaml").read_text() for name in ("base", "full", "lora")}


def test_only_local_models_have_a_fingerprint(root: Path) -> None:
    folder = Paths(root).resolved
    names = {name: read_yaml(folder / name / "base.yaml") for name in ("base", "full", "lora")}
    assert names["base"] == {"name": "a/b"}
    assert names["full"]["name"] == "other/" and names["lora"]["name"] == "./base"
    assert names["full"]["sha256"] == names["lora"]["sha256"] and len(names["lora"]["sha256"]) == 64
    assert stale(root) == set()
    assert str(root) not in (root / "dvc.lock").read_text()


def test_an_output_of_the_workspace_is_no_base_model(root: Path) -> None:
    edit(root, "experiments", lambda p: p["experiments"]["full"].update(base_model={"name": "./models/lora"}))
    printed = dvc(root, "repro", "resolve", check=False).stdout
    assert "full: base_model.name: must not be an output of this workspace, or every stage would depend" in printed
    assert "copy the folder (such as `cp -r ./models/lora bases/lora`) and list the copy" in printed


def test_every_file_that_loading_may_read_is_in_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    hashes = {fingerprint(tmp_path)}
    for name in ("additional_chat_templates/tool_use.jinja", "source.spm", "merges.bpe", "model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
        hashes.add(fingerprint(tmp_path))
    assert len(hashes) == 5
    for name in ("README.md", "LICENSE", ".gitattributes", ".cache/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
        assert fingerprint(tmp_path) in hashes


@pytest.mark.parametrize("file", ["model.safetensors", "chat_template.jinja"])
def test_a_file_that_changes_in_place_reaches_the_experiments_of_that_model(root: Path, file: str) -> None:
    before = contents(root)
    (root / "base" / file).write_bytes((root / "base" / file).read_bytes() + b"\n")
    assert stale(root) == {"base@tiny"}
    assert ran(dvc(root, "repro", "resolve").stdout) == ["base@tiny", "resolve"]
    after = contents(root)
    assert {name for name in after if after[name] != before[name]} == {"lora"}
    assert "build/experiments/lora/base.yaml" in dvc(root, "status", "train@lora").stdout
    assert stale(root) == set()


def test_a_file_that_no_model_reads_changes_no_experiment(root: Path) -> None:
    (root / "base/README.md").write_text("a note")
    assert ran(dvc(root, "repro", "resolve").stdout) == ["base@tiny"]
    assert stale(root) == set()


def test_a_local_model_that_is_not_listed_is_refused_with_the_entry_to_add(root: Path) -> None:
    edit(root, "training", lambda p: p["base_models"].pop("other"))
    done = dvc(root, "repro", "resolve", check=False)
    assert (
        "params/training.yaml: base_models: must list every local base model, so that a change of its files is "
        "noticed; it lacks other/ of full; add an entry (`base_models: {NAME: other/}`)"
    ) in done.stdout


def test_a_listed_folder_that_is_gone_is_named(root: Path) -> None:
    edit(root, "training", lambda p: p["base_models"].update(other="./gone"))
    done = dvc(root, "repro", "base@other", check=False)
    assert "gone" in done.stdout and done.returncode != 0


def test_without_local_models_nothing_is_missing(tmp_path: Path, tiny_llama: Path) -> None:
    root = make_workspace(tmp_path / "workspace", tiny_llama)
    edit(root, "training", lambda p: p.update(base_models={}))
    edit(root, "training", lambda p: p["defaults"].update(base_model={"name": "a/b", "revision": "0" * 40}))
    assert ran(dvc(root, "repro", "resolve").stdout) == ["no_base", "resolve"]
