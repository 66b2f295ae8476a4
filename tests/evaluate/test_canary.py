"""A registered model that is not the evaluated one is refused when it is loaded, with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.evaluate.canary import CHECKED, texts
from tasks.evaluate.evaluated_model import EvaluatedModel
from tasks.tracking.client import open_store
from tests.evaluate.evaluated_workspace import rendered

CHAMPION = "models:/tunesmith@champion"


@pytest.fixture
def model(registered: Paths, tmp_path: Path) -> Path:
    """A copy of the champion's files, as MLflow has them."""
    client = open_store(registered.root).client
    version = client.get_model_version_by_alias("tunesmith", "champion")
    return Path(client.download_artifacts(version.run_id, "model", str(tmp_path)))


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = files.read_json(path)
    edit(content)
    files.write_json(path, content)


def flip(path: Path, position: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x40
    path.write_bytes(content)


def test_the_evaluated_model_carries_its_canary_and_loads(registered: Paths, model: Path) -> None:
    canary = files.read_json(model / "canary.json")
    assert [entry["text"] for entry in canary["prompts"]] == texts()[:16] and len(texts()) == 32
    for entry in canary["prompts"]:
        assert 1 <= len(entry["output"]) == len(entry["log_probabilities"]) <= 16
        assert all(value <= 0 for value in entry["log_probabilities"])
    loaded = EvaluatedModel.load(model, root=registered.root)
    assert loaded.predictor.renderer.prompt(texts()[0]) == canary["prompts"][0]["prompt"]


def test_a_flipped_byte_is_refused(registered: Paths, model: Path) -> None:
    flip(next(model.glob("*.safetensors")))
    with pytest.raises(TunesmithError, match=r"the weights must have sha256 .* \(manifest\.json\); they have "):
        EvaluatedModel.load(model, root=registered.root)


def test_a_swapped_adapter_is_refused_by_what_it_generates(registered: Paths, model: Path) -> None:
    """Its manifest is swapped as well, so that only the canary can tell."""
    from safetensors.torch import load_file, save_file

    path = model / "adapter_model.safetensors"
    save_file({name: -3 * tensor for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    change(model / "manifest.json", lambda one: one.update(weights_sha256=files.digest([files.sha256(path)])))
    reason = r"model lora: canary prompt \d of 16: the model must generate as evaluated; token \d+ of the output was "
    with pytest.raises(TunesmithError, match=reason):
        EvaluatedModel.load(model, root=registered.root)


def test_a_template_that_differs_is_refused(registered: Paths, model: Path) -> None:
    def other_words(inference: dict[str, Any]) -> None:
        for template in inference["sources"]["chats"]["set"]["templates"]:
            template["prompt"] = template["prompt"].replace("in short", "briefly")

    change(model / "inference.json", other_words)
    with pytest.raises(
        TunesmithError, match=r"model lora: template chats/short, or its examples, must be as evaluated"
    ):
        EvaluatedModel.load(model, root=registered.root)


def test_other_settings_of_generation_are_refused(registered: Paths, model: Path) -> None:
    change(model / "inference.json", lambda one: one["generation"].update(max_new_tokens=3))
    with pytest.raises(TunesmithError, match=r"model lora: the settings of generation in .* must be as evaluated"):
        EvaluatedModel.load(model, root=registered.root)


def test_other_tokens_of_a_prompt_are_named(registered: Paths, model: Path) -> None:
    change(model / "canary.json", lambda one: one["prompts"][CHECKED - 1]["prompt"].__setitem__(2, 5))
    reason = rf"canary prompt {CHECKED} of 16: its tokens must be as evaluated; token 3 was '.*' and is '.*' here"
    with pytest.raises(TunesmithError, match=reason):
        EvaluatedModel.load(model, root=registered.root)


def test_a_base_with_another_hash_is_refused(registered: Paths, model: Path, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    base = files.read_json(model / "manifest.json")["base_model"]["spec"]
    shutil.copytree(registered.root / base, root / base)
    flip(root / base / "model.safetensors")
    with pytest.raises(
        TunesmithError, match=f"base model {base}: the weights must be those that the model was trained"
    ):
        EvaluatedModel.load(model, root=root)


def test_a_client_may_change_the_settings_of_generation(
    registered: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_ROOT", str(registered.root))
    client = open_store(registered.root).client
    run_id = client.get_model_version("tunesmith", "2").run_id
    loaded = mlflow.pyfunc.load_model(client.download_artifacts(run_id, "model", str(tmp_path)))
    schema = {one.name: one.default for one in loaded.metadata.signature.params}
    assert schema["temperature"] == 0.0 and list(schema) == [
        "max_new_tokens",
        "num_beams",
        "temperature",
        "top_p",
        "seed",
    ]
    rows = pd.DataFrame([{"prompt": rendered()[0]["prompt"]}])
    whole, short = loaded.predict(rows), loaded.predict(rows, params={"max_new_tokens": 2})
    assert whole[0].startswith(short[0]) and len(short[0]) < len(whole[0])
    drawn = [loaded.predict(rows, params={"temperature": 5.0, "seed": seed}) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0] != whole
    with pytest.raises(MlflowException, match="params: max_new_tokens: input should be greater than or equal to 1"):
        loaded.predict(rows, params={"max_new_tokens": 0})
