"""An adapter is merged only if the merged model generates the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.evaluate.evaluated_model import EvaluatedModel
from tasks.serving import merge as merging
from tasks.serving.merge import TOLERANCE, merge
from tasks.tracking.client import VARIABLE
from tests.train.training_workspace import LORA, PAIRS, rows, train, workspace

LONGER = {"training": {"epochs": 4, "learning_rate": 1e-2}}


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Paths:
    """A workspace with the trained model ``lora``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        root = tmp_path_factory.mktemp("merge") / "workspace"
        paths = workspace(root, tiny_llama, validation=rows(PAIRS))
        train(paths, "lora", LORA | LONGER)
    return paths


def test_a_merged_adapter_is_a_whole_model_that_generates_the_same(lora: Paths, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    output = tmp_path / "merged"
    result = merge(lora.model("lora"), lora.root, output)
    assert result.proof.prompts == result.proof.same_outputs == 32
    assert 0 <= result.proof.largest <= TOLERANCE and result.drift is None
    assert result.whole_bytes > 10 * result.adapter_bytes > 0
    before, after = (files.read_json(folder / "manifest.json") for folder in (lora.model("lora"), output))
    assert after["fingerprint"] == before["fingerprint"] and after["key"] == before["key"]
    assert after["merged"]["weights_sha256"] == before["weights_sha256"] != after["weights_sha256"]
    adapter, whole = (EvaluatedModel.load(folder, root=lora.root) for folder in (lora.model("lora"), output))
    prompts = [adapter.prompts.render_text(text) for text in ("my lamp is broken", "hello")]
    assert [one.text for one in adapter.generate(prompts)] == [one.text for one in whole.generate(prompts)]
    assert AutoModelForCausalLM.from_pretrained(output).num_parameters() > 0
    with pytest.raises(TunesmithError, match="merge writes a new folder; this one exists"):
        merge(lora.model("lora"), lora.root, output)
    with pytest.raises(TunesmithError, match=r"merge needs an adapter; this model \(full\) is a whole model already"):
        merge(output, lora.root, tmp_path / "again")


def test_a_merged_model_that_differs_is_not_written(
    lora: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter beside the base is loaded with another strength, as a wrong merge would have it."""
    beside = merging.load_beside

    def stronger(model: object, folder: Path) -> object:
        loaded = beside(model, folder)
        for module in loaded.modules():
            if isinstance(getattr(module, "scaling", None), dict):
                module.scaling = {name: 5 * value for name, value in module.scaling.items()}
        return loaded

    monkeypatch.setattr(merging, "load_beside", stronger)
    with pytest.raises(TunesmithError, match="the merged model must generate as the unmerged one; "):
        merge(lora.model("lora"), lora.root, tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_merged_is_refused(memorised: Paths, tmp_path: Path) -> None:
    lean = tmp_path / "selective"
    lean.mkdir()
    files.write_json(lean / "manifest.json", {"method": "selective"})
    with pytest.raises(
        TunesmithError, match=r"merge needs an adapter with adapter_config\.json; this model \(selective"
    ):
        merge(lean, memorised.root, tmp_path / "merged")
    copy = tmp_path / "soft"
    copy.mkdir()
    manifest = files.read_json(memorised.model("full") / "manifest.json")
    files.write_json(copy / "manifest.json", manifest | {"method": "prompt_tuning"})
    with pytest.raises(TunesmithError, match="this model was tuned by prompt_tuning, which adds parts beside them"):
        merge(copy, memorised.root, tmp_path / "merged")


def test_a_quantised_base_is_merged_in_full_precision_and_its_drift_reported(lora: Paths, tmp_path: Path) -> None:
    train(lora, "qlora", LORA | LONGER | {"method": "qlora", "quantisation": {"bits": 4}})
    result = merge(lora.model("qlora"), lora.root, tmp_path / "merged")
    assert result.proof.same_outputs == 32 and result.proof.largest <= TOLERANCE
    assert result.drift is not None and result.drift.largest > result.proof.largest
    assert dataclasses.asdict(result.drift) == files.read_json(tmp_path / "merged/manifest.json")["merged"]["drift"]
