"""Tuned models that take turns on one base: each as if it were loaded alone, to the last bit."""

from __future__ import annotations

import dataclasses
import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.core.paths import Paths
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.base_models import BaseModel, BaseModelParams, find, from_record, load_model
from tasks.model.batches import collate
from tasks.model.encoded import Encoded
from tasks.model.likelihood import supervised_logits
from tasks.tuning import load as tuned
from tasks.tuning.methods.selective import WEIGHTS as SELECTED
from tests.train.every_method import METHODS
from tests.train.training_workspace import PAIRS, train, workspace

ORDERS = {
    "llama": ["lora", "prompt_tuning", "ia3", "none", "adapter", "selective", "full", "prefix_tuning", "adalora",
              "none", "lora", "p_tuning", "adapter", "vera", "qlora", "lora", "vera"],
    "t5": ["lora", "prompt_tuning", "vera", "adapter", "none", "lora"],
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_t5: Path) -> dict[str, Paths]:
    """Kind → workspace with a model of every method, whose base is the same."""
    bases = {"llama": tiny_llama, "t5": tiny_t5}
    places = {kind: workspace(tmp_path_factory.mktemp(kind) / "workspace", base) for kind, base in bases.items()}
    for kind, paths in places.items():
        for method in dict.fromkeys(ORDERS[kind]):
            patch = {"method": "none"} if method == "none" else METHODS[method]
            train(paths, method, merge(patch, {"training": {"epochs": 8 if method == "adalora" else 1}}))
    return places


def _logits(model: Any, base: BaseModel) -> torch.Tensor:
    batch = collate([Encoded([5, 9, 7, 11], [8, 6]), Encoded([4, 3], [10, 2])], base.kind, 0)
    with torch.no_grad():
        logits, _, _ = supervised_logits(model.eval(), batch, base.kind)
    return logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ORDERS)
def test_turns_leave_no_trace(trained: dict[str, Paths], kind: str, dtype: torch.dtype) -> None:
    paths, shared = trained[kind], tuned.SharedBase()
    seen = []
    for method in ORDERS[kind]:
        folder = paths.model(method)
        manifest = files.read_json(folder / "manifest.json")
        base = from_record(manifest["base_model"], paths.root)
        alone = _logits(tuned.load_tuned(folder, base, manifest, dtype), base)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # peft's, where another adapter was left behind
            lent = shared.load_tuned(folder, base, manifest, dtype)
        assert {p.dtype for p in lent.parameters()} == {dtype}
        assert torch.equal(_logits(lent, base), alone), method
        seen.append(alone)
    assert not torch.equal(seen[0], seen[3]), "training changed nothing"


def test_the_base_is_read_once(trained: dict[str, Paths], monkeypatch: pytest.MonkeyPatch) -> None:
    paths, shared, loads = trained["llama"], tuned.SharedBase(), []

    def counted(base: BaseModel, *given: Any) -> Any:
        loads.append(base.spec)
        return load_model(base, *given)

    monkeypatch.setattr(tuned, "load_model", counted)
    generation = GenerationParams(max_new_tokens=8, precision="fp32")
    messages = []
    for method in ("lora", "adapter", "none", "lora"):
        predictor = Predictor.load(paths.model(method), generation, paths.root, shared)
        messages.append(predictor.complete([prompt for prompt, _ in PAIRS[:3]]))
    assert len(loads) == 1
    assert messages[0] == messages[3]


def test_rotary_frequencies_are_never_rounded(trained: dict[str, Paths]) -> None:
    """In bf16 they would be up to 0.4 % wrong: of tuned models only, which then looks like a loss by tuning."""
    paths = trained["llama"]
    for method in ("none", "lora", "prompt_tuning"):
        folder = paths.model(method)
        manifest = files.read_json(folder / "manifest.json")
        base = from_record(manifest["base_model"], paths.root)
        model = tuned.load_tuned(folder, base, manifest, torch.bfloat16)
        exact = load_model(base, torch.float32)
        (rotary,) = (b for name, b in model.named_buffers() if name.endswith("rotary_emb.inv_freq"))
        assert torch.equal(rotary, exact.model.rotary_emb.inv_freq), method


@dataclasses.dataclass
class _Case:
    """A new base model, and the files of one method on it."""

    root: Path
    model: Any
    dtype: torch.dtype = torch.bfloat16

    def base(self, name: str = "base") -> BaseModel:
        self.model.save_pretrained(self.root / name)
        return find(BaseModelParams(name=f"./{name}"), self.root)

    def same(self, shared: tuned.SharedBase, base: BaseModel, folder: Path, method: str) -> None:
        manifest = {"method": method}
        alone = tuned.load_tuned(folder, base, manifest, self.dtype).state_dict()
        lent = shared.load_tuned(folder, base, manifest, self.dtype).state_dict()
        assert {n: t.dtype for n, t in lent.items()} == {n: t.dtype for n, t in alone.items()}
        assert all(torch.equal(lent[name], alone[name]) for name in alone)


def _llama(**more: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2, **more))


def test_tied_weights_are_lent_once(tmp_path: Path) -> None:
    case, shared = _Case(tmp_path, _llama(tie_word_embeddings=True)), tuned.SharedBase()
    base = case.base()
    config = LoraConfig(r=2, target_modules=["lm_head", "embed_tokens"], init_lora_weights=False)
    get_peft_model(load_model(base, torch.float32), config).save_pretrained(tmp_path / "lora")
    for folder, method in (("lora", "lora"), ("", "none"), ("lora", "lora")):
        case.same(shared, base, tmp_path / folder, method)


def test_weights_within_each_other_are_lent_once(tmp_path: Path) -> None:
    """``selective`` may train a layer's own weight and those of modules below it."""
    sizes = {"vocab_size": 40, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2}
    torch.manual_seed(0)
    case, shared = _Case(tmp_path, MambaForCausalLM(MambaConfig(**sizes))), tuned.SharedBase()
    base = case.base()
    weights = load_model(base, torch.float32).state_dict()
    names = [n for n in weights if ".layers.1.mixer." in n]
    assert {"A_log", "in_proj"} <= {name.split("mixer.")[1].split(".")[0] for name in names}
    (tmp_path / "selective").mkdir()
    save_file({name: weights[name] + 0.3 for name in names}, tmp_path / "selective" / SELECTED)
    for folder, method in (("selective", "selective"), ("", "none")):
        case.same(shared, base, tmp_path / folder, method)


def test_what_a_class_keeps_in_fp32_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "_keep_in_fp32_modules_strict", {"model.norm"})
    case, shared = _Case(tmp_path, _llama()), tuned.SharedBase()
    base = case.base()
    get_peft_model(load_model(base, torch.float32), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(
        tmp_path / "lora"
    )
    for folder, method in (("", "none"), ("lora", "lora"), ("", "none")):
        case.same(shared, base, tmp_path / folder, method)
    model = tuned.load_tuned(tmp_path / "lora", base, {"method": "lora"}, torch.bfloat16)
    assert model.model.norm.weight.dtype == torch.float32
    assert model.model.layers[0].input_layernorm.weight.dtype == torch.bfloat16


def test_another_base_or_precision_is_read_anew(tmp_path: Path) -> None:
    """Two folders may hold the same weights under other settings."""
    case, shared = _Case(tmp_path, _llama()), tuned.SharedBase()
    first = case.base("first")
    case.model.config.rms_norm_eps = 0.5
    second = case.base("second")
    assert first.weights_sha256 == second.weights_sha256
    seen = [shared.load_tuned(tmp_path, base, {"method": "none"}, torch.float32) for base in (first, second)]
    assert [model.config.rms_norm_eps for model in seen] == [1e-6, 0.5]
    for case.dtype in (torch.float32, torch.bfloat16, torch.float32):
        case.same(shared, first, tmp_path, "none")


def test_a_base_that_is_bf16_on_disk_is_not_kept_twice(tmp_path: Path) -> None:
    held = []
    for dtype in (torch.bfloat16, torch.float32):
        case, shared = _Case(tmp_path, _llama().to(dtype)), tuned.SharedBase()
        model = shared.load_tuned(tmp_path, case.base(str(dtype)), {"method": "none"}, torch.bfloat16)
        held.append(_stored_bytes(shared) / _stored_bytes(model))
    assert held[0] < 1.1 and held[1] > 1.5, "bf16 alone, or with the weights in fp32"


def _stored_bytes(value: Any) -> int:
    """Size of a file with all tensors that ``value`` holds."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.tell()


def test_a_load_that_fails_leaves_the_base_as_it_was(tmp_path: Path) -> None:
    case, shared = _Case(tmp_path, _llama()), tuned.SharedBase()
    base = case.base()
    (tmp_path / "selective").mkdir()
    wrong = {"model.norm.weight": torch.zeros(16), "model.norm.other": torch.zeros(1)}
    save_file(wrong, tmp_path / "selective" / SELECTED)
    case.same(shared, base, tmp_path, "none")
    with pytest.raises(TunesmithError, match=r"must hold weights of LlamaForCausalLM; it holds model\.norm\.other"):
        shared.load_tuned(tmp_path / "selective", base, {"method": "selective"}, torch.bfloat16)
    case.same(shared, base, tmp_path, "none")
