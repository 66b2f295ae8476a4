"""A registered version becomes a base model: its adapter merged, with the rows that it and its ancestors saw."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from flows.bases import pin_bases
from tasks.ancestry.build import ensure_built
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.base_models import BaseModelParams, find
from tasks.model.registered import folder_of
from tasks.registry.registry import Registry
from tasks.resolve.pins import load_pins
from tasks.tracking.client import VARIABLE, open_store
from tests.train.training_workspace import LORA, PAIRS, rows, train, workspace
from tests.workspaces import ROOT

CHAMPION = "models:/tunesmith@champion"
LONGER = {"training": {"epochs": 4, "learning_rate": 1e-2}}
FP32 = GenerationParams(precision="fp32", max_new_tokens=8)


def register(paths: Paths, name: str) -> None:
    """Make the model of the experiment ``name`` the champion."""
    tracker = open_store(paths.root)
    manifest = files.read_json(paths.model(name) / "manifest.json")
    run = tracker.find(manifest["key"], name)
    assert run is not None
    tracker.client.log_artifacts(run, str(paths.model(name)), "model")
    registry = Registry(tracker, "tunesmith", "champion")
    registry.ensure()
    version = registry.add(run, {"tunesmith.experiment": name}, "")
    registry.promote(version, {"reasons": []}, registry.champion())


def write_params(paths: Paths, experiments: dict[str, object]) -> None:
    """Parameters of a workspace whose experiments are ``experiments``."""
    paths.params.mkdir(exist_ok=True)
    for name in ("training", "evaluation"):
        write_yaml(paths.params / f"{name}.yaml", read_yaml(ROOT / f"params/{name}.yaml"))
    write_yaml(paths.params / "mixtures.yaml", {"mixtures": {"demo": {"sources": {}}}})
    write_yaml(paths.params / "experiments.yaml", {"experiments": experiments})


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Paths:
    """A workspace of two generations: ``further`` is tuned from the champion ``lora``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        root = tmp_path_factory.mktemp("line") / "workspace"
        patch.setenv("TUNESMITH_CACHE", str(root / "cache"))
        paths = workspace(root, tiny_llama, validation=rows(PAIRS))
        train(paths, "lora", LORA | LONGER)
        register(paths, "lora")
        write_params(paths, {"further": {"method": "lora", "mixture": "demo", "base_model": {"name": CHAMPION}}})
        assert pin_bases(root, lambda line: None)
        train(paths, "further", LORA | LONGER | {"base_model": base_of(paths)})
    return paths


@pytest.fixture(autouse=True)
def cache(line: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(line.root / "cache"))


def base_of(paths: Paths) -> dict[str, object]:
    """The base model of ``further`` as ``resolve`` writes it."""
    from tasks.resolve.check import load_experiments

    base: dict[str, object] = load_experiments(paths)["further"].train["base_model"]
    return base


def test_the_built_base_generates_as_the_registered_version(line: Paths) -> None:
    params = BaseModelParams.model_validate(base_of(line))
    assert params.name == "models:/tunesmith/1"
    base = find(params, line.root)
    adapter = Predictor.load(line.model("lora"), FP32, line.root)
    ids = torch.tensor([adapter.renderer.prompt("Customer: my lamp is broken.")])
    from tasks.model.base_models import load_model

    with torch.no_grad():
        merged = load_model(base, torch.float32)(ids).logits
        torch.testing.assert_close(merged, adapter.model(ids).logits, rtol=0, atol=1e-5)


def test_the_manifest_names_the_chain_and_the_rows_of_the_ancestors(line: Paths) -> None:
    record = files.read_json(line.model("further") / "manifest.json")["base_model"]
    lora = files.read_json(line.model("lora") / "manifest.json")
    assert record["spec"] == "models:/tunesmith/1" and record["revision"] == lora["weights_sha256"][:40]
    (ancestor,) = record["ancestors"]
    assert ancestor["key"] == lora["key"] and ancestor["method"] == "lora"
    assert ancestor["base"] == lora["base_model"]
    seen = pq.read_table(line.model("further") / "training_rows.parquet").column("generation").to_pylist()
    assert seen.count(0) == seen.count(1) == len(PAIRS)


def test_a_further_tuned_model_loads_on_a_machine_that_builds_its_base_anew(
    line: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Predictor.load(line.model("further"), FP32, line.root).complete(["hello"])
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    assert Predictor.load(line.model("further"), FP32, line.root).complete(["hello"]) == before
    assert folder_of("models:/tunesmith/1", str(base_of(line)["revision"])).is_relative_to(tmp_path)


def test_other_weights_than_the_pinned_ones_are_refused(line: Paths) -> None:
    other = BaseModelParams(name="models:/tunesmith/1", revision="0" * 40)
    with pytest.raises(
        TunesmithError, match=r"the weights must be those that params/bases\.yaml pins \(000000000000\)"
    ):
        ensure_built(other, line.root)
    with pytest.raises(
        TunesmithError, match=r"models:/tunesmith/9: MLflow at .* must have a version with this address"
    ):
        ensure_built(BaseModelParams(name="models:/tunesmith/9", revision="0" * 40), line.root)


def test_a_pin_moves_only_in_a_run_that_trains_on_it(line: Paths) -> None:
    """The champion becomes ``further``: without other changes the next run must not train the same rows once more."""
    register(line, "further")
    log_lines: list[str] = []
    assert not pin_bases(line.root, log_lines.append)
    assert not pin_bases(line.root, log_lines.append, within=["lora"], changed=["further"])
    assert log_lines == []
    assert not pin_bases(line.root, log_lines.append, changed=["other"])
    assert log_lines == [
        f"further: {CHAMPION} is now version 2; its base stays version 1 until its data or parameters change"
    ]
    assert load_pins(line)["further"].version == 1
    assert pin_bases(line.root, log_lines.append, changed=["further"])
    pin = load_pins(line)["further"]
    assert pin.version == 2 and pin.original.name == "bases/tiny", "the base that nobody tuned"
    assert log_lines[-1] == f"further: its base is version 2 of {CHAMPION}; commit params/bases.yaml"


def test_a_pinned_base_stays_if_its_version_is_gone(line: Paths) -> None:
    client = open_store(line.root).client
    champion = client.get_model_version_by_alias("tunesmith", "champion")
    client.delete_registered_model_alias("tunesmith", "champion")
    pins, log_lines = (line.params / "bases.yaml").read_bytes(), []
    try:
        assert not pin_bases(line.root, log_lines.append, changed=["further"])
        assert log_lines[0].startswith("further: the pinned base stays: base_model.name: ")
        (line.params / "bases.yaml").unlink()
        with pytest.raises(TunesmithError, match=r"MLflow at .* must have a version with this address"):
            pin_bases(line.root, log_lines.append)
        assert not pin_bases(line.root, log_lines.append, within=["lora"]), "another experiment may be trained first"
    finally:
        (line.params / "bases.yaml").write_bytes(pins)
        client.set_registered_model_alias("tunesmith", "champion", champion.version)


def test_changed_files_of_a_built_base_are_refused(
    line: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    params = BaseModelParams.model_validate(base_of(line))
    ensure_built(params, line.root)
    weights = find(params, line.root).folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(TunesmithError, match="must be as they were built; they have changed; remove the folder"):
        find(params, line.root)


def test_a_method_that_cannot_be_merged_is_no_base(line: Paths) -> None:
    soft = {"method": "prompt_tuning", "prompt_tuning": {"virtual_tokens": 2, "initial": "random"}}
    train(line, "soft", soft)
    register(line, "soft")
    log_lines: list[str] = []
    assert not pin_bases(line.root, log_lines.append, changed=["further"])
    reason = "it was tuned by prompt_tuning, which adds parts beside them"
    assert log_lines[0].startswith("further: the pinned base stays: ") and reason in log_lines[0]
    (line.params / "bases.yaml").unlink()
    with pytest.raises(TunesmithError, match=reason):
        pin_bases(line.root, log_lines.append)
