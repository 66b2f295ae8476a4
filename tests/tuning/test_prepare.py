"""What each method makes of a base model before a training: which weights are trained, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration, Gemma3ForCausalLM, Gemma3TextConfig

from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.model.base_models import load_model
from tasks.tuning import bottleneck
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import count_parameters
from tests.train.every_method import METHODS
from tests.train.training_workspace import PARAMS
from tests.tuning.prepared import prepared


def test_the_worked_example_of_the_course() -> None:
    """A 512 x 64 matrix at rank 8: 512 + 4,096 of 32,768 parameters, 86 % fewer."""
    model = torch.nn.Sequential(torch.nn.Linear(512, 64, bias=False))
    assert count_parameters(model) == (32_768, 32_768)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=["0"]))
    trainable, total = count_parameters(adapted)
    shapes = sorted(tuple(p.shape) for p in adapted.parameters() if p.requires_grad)
    assert shapes == [(8, 512), (64, 8)]
    assert (trainable, total) == (512 + 4_096, 32_768 + 4_608)
    assert round(100 * (1 - trainable / 32_768)) == 86


def test_trained_parameters_of_each_method(tiny_llama: Path) -> None:
    """Width 64, feed-forward 128, two layers, two of four heads for keys and values (32)."""
    counts = {name: count_parameters(prepared(tiny_llama, patch)[0])[0] for name, patch in METHODS.items()}
    everything = counts["full"]
    linear = (64 + 64) + 2 * (64 + 32) + (64 + 64) + 3 * (64 + 128)  # inputs and outputs of a layer's matrices
    assert counts["lora"] == counts["qlora"] == 2 * 4 * linear
    assert counts["adalora"] == 2 * 4 * linear + 2 * 7 * 4  # and a diagonal of four a matrix
    outputs = 64 + 2 * 32 + 64 + 2 * 128 + 64
    assert counts["vera"] == 2 * (7 * 16 + outputs)
    assert counts["adapter"] == 2 * 2 * (64 * 8 + 8 + 8 * 64 + 64)
    assert counts["ia3"] == 2 * (32 + 32 + 128)
    assert counts["prompt_tuning"] == 6 * 64
    assert counts["prefix_tuning"] == 5 * 2 * 2 * 32
    assert counts["p_tuning"] == 6 * 64 + (64 * 32 + 32) + (32 * 32 + 32) + (32 * 64 + 64)
    layer = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128 + 2 * 64
    assert counts["selective"] == layer + 2 * 64 + 64  # the norms of the other layer, and the last one
    assert counts["selective"] < everything


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"layer_norms": True}, {"layer_norm"}),
        ({"last_layers": 1}, {"decoder.block.1."}),
        ({"patterns": ["DenseReluDense.wo"]}, {"DenseReluDense.wo"}),
    ],
)
def test_selective_names_weights(tiny_t5: Path, selection: dict[str, Any], expected: set[str]) -> None:
    model, _ = prepared(tiny_t5, {"method": "selective", "selective": selection})
    for name, weight in model.named_parameters():
        assert weight.requires_grad == any(part in name for part in expected), name


@pytest.mark.parametrize("method", ["lora", "adalora", "vera"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("llama", 2 * ["self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj"]),
        ("t5", 4 * [f"SelfAttention.{part}" for part in "kqvo"] + 2 * [f"EncDecAttention.{part}" for part in "kqvo"]),
        ("gpt2", 2 * ["attn.c_attn", "attn.c_proj"]),
    ],
)
def test_attention_names_the_layers_of_every_attention(
    bases: dict[str, Path], gpt2: Path, kind: str, expected: list[str], method: str
) -> None:
    patch = merge(METHODS[method], {method: {"targets": "attention"}})
    model, _ = prepared((bases | {"gpt2": gpt2})[kind], patch)
    adapted = [
        ".".join(name.split(".")[-2:]) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)
    ]
    assert sorted(adapted) == sorted(expected)


def test_an_attention_that_is_not_known_is_an_error(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.tuning.peft_adapters.ATTENTION_LAYERS", {"mixer"})
    message = r"lora\.targets: attention must have a name .*; LlamaForCausalLM has none of mixer; write all-.*q_proj"
    with pytest.raises(TunesmithError, match=message):
        prepared(tiny_llama, {"method": "lora", "lora": {"targets": "attention"}})


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"method": "selective", "selective": {"biases": True}}, r"selective\.biases: must name weights of .* none"),
        ({"method": "selective", "selective": {"patterns": ["nosuch"]}}, r"patterns: 'nosuch': must name weights"),
        ({"method": "adapter", "adapter": {"targets": ["nosuch"]}}, r"adapter\.targets: 'nosuch' must be a module"),
        ({"method": "ia3", "ia3": {"targets": ["nosuch"]}}, r"ia3\.targets: 'nosuch' must be a layer"),
        ({"method": "selective", "selective": {"last_layers": 3}}, r"last_layers: 3: must name weights"),
        ({"method": "prompt_tuning", "max_length": 4090}, r"context of 4096 tokens; they are 4090 and 20; lower one"),
        ({"method": "adalora", "adalora": {"targets": ["nosuch"]}}, r"adalora\.targets: 'nosuch' must be a layer"),
        ({"method": "vera", "vera": {"targets": ["nosuch"]}}, r"vera\.targets: 'nosuch' must be a layer"),
    ],
)
def test_what_is_not_in_the_model_is_named(tiny_llama: Path, patch: dict[str, Any], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        prepared(tiny_llama, patch)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"method": "selective", "selective": {}}, "must name weights to train"),
        ({"method": "adalora", "adalora": {"initial_rank": 4, "target_rank": 4}}, "target_rank must be below"),
        ({"method": "adalora", "adalora": {"warmup": 0.6, "final": 0.4}}, r"warmup \+ final must be below 1; it is 1"),
        (
            {"method": "prompt_tuning", "prompt_tuning": {"initial": "text", "text": " "}},
            "text must not be empty if initial",
        ),
        (
            {"method": "p_tuning", "p_tuning": {"virtual_tokens": 50}},
            "at least three times virtual_tokens to start from words; they are 128 and 50; raise it to 150",
        ),
        ({"method": "qlora", "quantisation": {"bits": 3}}, "quantisation.bits: "),
        ({"method": "vera", "vera": {"rank": 0}}, "vera.rank: input should be greater than or equal to 1; it is 0"),
        ({"method": "vera", "vera": {"initial": 0.0}}, "vera.initial: input should be greater than 0; it is 0.0"),
        (
            {"method": "ia3", "ia3": {"targets": ["k_proj"], "feedforward": ["up_proj"]}},
            "in targets; up_proj is",
        ),
        ({"method": "ia3", "ia3": {"feedforward": ["up_proj"]}}, "each name in feedforward must also be in targets"),
        ({"method": "adalora", "training": {"early_stopping_patience": 1}}, "must be null for adalora"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        parse_trained(merge(PARAMS, patch), "train.yaml")


def test_adalora_needs_steps_to_prune_in(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match="adalora must prune before the last steps; this training has 1 in all"):
        prepared(tiny_llama, METHODS["adalora"], steps=1)


def test_qlora_holds_four_bits_a_weight(tiny_llama: Path) -> None:
    model, base_model = prepared(tiny_llama, METHODS["qlora"])
    import bitsandbytes as bnb

    quantised = [m for m in model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert len(quantised) == 2 * 7
    assert all(m.weight.dtype == torch.uint8 and m.weight.quant_state.quant_type == "nf4" for m in quantised)
    assert all(m.weight.quant_state.nested for m in quantised), "the scales are quantised, too"
    # Else a validation on a processor with AVX512-BF16 would end the flow of gradients.
    assert not any(m.support_avx512bf16_for_cpu for m in quantised)
    plain = load_model(base_model, torch.float32)
    # Two 4-bit numbers a byte are counted as the weights that they are.
    assert count_parameters(model)[1] - count_parameters(model)[0] == count_parameters(plain)[1]


def test_bart_has_bottlenecks_after_attention_and_feed_forward() -> None:
    config = BartConfig(
        vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    model = BartForConditionalGeneration(config)
    bottleneck.attach(model, 4, None, "here")
    adapted = {name.rsplit(".", 2)[0] for name, _ in model.named_parameters() if ".bottleneck." in name}
    assert {name.split("layers.0.")[1].removesuffix(".bottleneck") for name in adapted} == {
        "self_attn", "encoder_attn", "fc2"}  # fmt: skip


def test_an_unknown_architecture_needs_the_names_of_its_modules() -> None:
    with pytest.raises(
        TunesmithError, match=r"here: the attention and feed-forward modules of Sequential are not known; name"
    ):
        bottleneck.attach(torch.nn.Sequential(torch.nn.Linear(2, 2)), 4, None, "here")


@pytest.mark.parametrize("initial", ["random", "vocabulary", "text"])
def test_where_virtual_tokens_start(tiny_llama: Path, initial: str) -> None:
    text = "my lamp" if initial == "text" else None
    patch = {"method": "prompt_tuning", "prompt_tuning": {"virtual_tokens": 7, "initial": initial, "text": text}}
    model, _ = prepared(tiny_llama, patch)
    start = model.prompt_encoder["default"].embedding.weight.detach()
    words = model.get_base_model().get_input_embeddings().weight.detach()
    distance = (start[:, None] - words).norm(dim=-1).min(1).values
    if initial == "random":
        assert distance.min() > 0 and start.std().item() == pytest.approx(words.std().item(), rel=0.2)
    else:
        assert distance.max() == 0, "each is the embedding of a word"


@pytest.mark.parametrize("base", ["tiny_llama", "tiny_t5"])
@pytest.mark.parametrize("network", ["MLP", "LSTM"])
def test_p_tuning_starts_with_the_words_of_its_text(base: str, network: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(base)
    block = {"virtual_tokens": 7, "network": network, "hidden": 24, "initial": "text", "text": "my lamp"}
    model, _ = prepared(folder, {"method": "p_tuning", "p_tuning": block})
    start = model.get_prompt_embedding_to_save("default")
    tokens = AutoTokenizer.from_pretrained(folder)("my lamp", add_special_tokens=False)["input_ids"]
    words = model.get_base_model().get_input_embeddings().weight.detach()[(tokens * 7)[:7]]
    assert torch.allclose(start, words, atol=1e-3 * words.norm(dim=-1).mean().item())


def test_virtual_tokens_are_as_large_as_words_where_the_model_scales_them(tmp_path: Path, tiny_llama: Path) -> None:
    config = Gemma3TextConfig(
        vocab_size=300, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, head_dim=32,
        num_key_value_heads=1, layer_types=["full_attention"],
    )  # fmt: skip
    model = Gemma3ForCausalLM(config)
    model.save_pretrained(tmp_path / "gemma")
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path / "gemma")
    for block in ({"initial": "random"}, {"initial": "vocabulary"}):
        tuned, _ = prepared(tmp_path / "gemma", {"method": "prompt_tuning", "prompt_tuning": block})
        start = tuned.prompt_encoder["default"].embedding.weight
        words = model.get_input_embeddings()(torch.arange(300))
        assert start.std().item() == pytest.approx(words.std().item(), rel=0.2)
