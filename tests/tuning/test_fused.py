"""Exchanged parts and attention compute what transformers and peft compute: losses, gradients, and what they hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from transformers import (
    AttentionMaskInterface,
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)
from transformers.models.mistral.modeling_mistral import MistralMLP

from tasks.model.encoded import IGNORED
from tasks.model.likelihood import supervised_logits
from tasks.tuning import causal_attention, fused

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def _batch(lengths: tuple[int, ...] = (150, 131, 40)) -> dict[str, Tensor]:
    torch.manual_seed(1)
    ids, mask = torch.randint(0, 97, (len(lengths), max(lengths))), torch.zeros(len(lengths), max(lengths))
    labels = torch.full_like(ids, IGNORED)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
        labels[row, length - 20 : length] = ids[row, length - 20 : length]
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}


def _trained(model: Any, bf16: bool = False) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients."""
    model.train().zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits, targets, _ = supervised_logits(model, _batch(), "causal")
    loss = functional.cross_entropy(logits.float(), targets)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _full() -> Any:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    for module in model.modules():
        if "Norm" in type(module).__name__:
            torch.nn.init.normal_(module.weight, 1.0, 0.2)
    return model


def _lora(**how: Any) -> Any:
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True))
    return get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, **how))


def _fused(model: Any, bf16: bool = False) -> Any:
    fused_model = copy.deepcopy(model)
    fused.fuse(fused_model)
    causal_attention.use(fused_model)
    if bf16:
        fused.cast_frozen_to_bf16(fused_model)
    return fused_model


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm().clamp(min=1e-12))


def _backward_passes(model: Any) -> set[str]:
    """The kinds of node that a backward pass in bf16 goes through."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, *_ = supervised_logits(model.train(), _batch(), "causal")
    names, known, pending = set(), set(), [logits.grad_fn]
    while pending:
        if (node := pending.pop()) is not None and node not in known:
            known.add(node)
            names.add(node.name())
            pending += [behind for behind, _ in node.next_functions]
    return names


@pytest.mark.parametrize("make", [_full, _lora])
def test_what_is_exchanged_is_used(make: Callable[[], Any]) -> None:
    plain = make()
    used = {"_RMSNormBackward", "_SwiGLUBackward", "CausalAttentionBackward"} | (
        {"_LoraLinearBackward"} if make is _lora else set()
    )
    assert used <= _backward_passes(_fused(plain, bf16=True))
    assert not used & _backward_passes(plain)


@pytest.mark.parametrize("make", [_full, _lora])
def test_losses_and_gradients_are_those_of_the_plain_model(make: Callable[[], Any]) -> None:
    plain = make()
    other = _fused(plain)
    names = {type(module).__name__ for module in other.modules()}
    assert {"FusedRMSNorm", "FusedMLP", "FusedRotaryEmbedding"} < names
    assert ("FusedLoraLinear" in names) == (make is _lora)
    assert list(other.state_dict()) == list(plain.state_dict())
    (loss, gradients), (expected, known) = _trained(other), _trained(plain)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert gradients.keys() == known.keys() and gradients
    for name, gradient in gradients.items():
        assert _apart(gradient, known[name]) < 2e-5, name


@pytest.mark.parametrize("make", [_full, _lora])
def test_in_bf16_they_lie_as_near_to_fp32_as_those_of_the_plain_model(make: Callable[[], Any]) -> None:
    plain = make()
    exact_loss, exact = _trained(plain)
    other = _fused(plain, bf16=True)
    loss, gradients = _trained(other, bf16=True)
    plain_loss, rounded = _trained(plain, bf16=True)
    assert loss == pytest.approx(exact_loss, rel=2e-3) and plain_loss == pytest.approx(exact_loss, rel=2e-3)
    assert gradients.keys() == exact.keys()
    ours = torch.tensor([_apart(gradients[name], exact[name]) for name in exact])
    theirs = torch.tensor([_apart(rounded[name], exact[name]) for name in exact])
    assert all(gradient.dtype == torch.float32 for gradient in gradients.values())
    assert ours.mean() < 1.25 * theirs.mean() and ours.max() < 0.1


@pytest.mark.parametrize(("length", "heads", "shared"), [(1, 2, 2), (5, 6, 2), (128, 4, 4), (129, 6, 2), (300, 3, 1)])
def test_attention_has_the_gradients_of_pytorchs(length: int, heads: int, shared: int) -> None:
    torch.manual_seed(length)
    inputs = [torch.randn(2, length, h, 16).transpose(1, 2).requires_grad_() for h in (heads, shared, shared)]
    given = torch.randn(2, heads, length, 16)
    expected = functional.scaled_dot_product_attention(*inputs, is_causal=True, scale=0.3, enable_gqa=True)
    output: Any = causal_attention.CausalAttention.apply(*inputs, 0.3)
    torch.testing.assert_close(output, expected)
    for ours, theirs in zip(
        torch.autograd.grad(output, inputs, given), torch.autograd.grad(expected, inputs, given), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_padding_needs_no_mask_and_changes_nothing() -> None:
    """A row cannot see the rows behind it."""
    model = _fused(_full())
    assert model.config._attn_implementation == causal_attention.NAME
    masks = []
    with pytest.MonkeyPatch.context() as patch:
        original = AttentionMaskInterface._global_mapping[causal_attention.NAME]
        patch.setitem(
            AttentionMaskInterface._global_mapping,
            causal_attention.NAME,
            lambda **given: masks.append((given["attention_mask"], original(**given))) or masks[-1][1],
        )
        loss, _ = _trained(model)
    assert [mask for _, mask in masks] == [None] and masks[0][0] is not None
    batch = _batch()
    logits, targets, _ = supervised_logits(model.eval(), batch, "causal")
    other = batch | {"input_ids": torch.where(batch["attention_mask"] == 1, batch["input_ids"], 5)}
    assert torch.equal(supervised_logits(model, other, "causal")[0], logits)
    assert float(functional.cross_entropy(logits, targets)) == pytest.approx(loss, rel=1e-6)


def test_rows_padded_on_the_left_are_read_as_before_where_no_gradients_are() -> None:
    plain = _full().eval()
    other = _fused(plain)
    ids = _batch((30,))["input_ids"]
    padded, mask = functional.pad(ids, (7, 0)), functional.pad(torch.ones_like(ids), (7, 0))
    positions = functional.pad(torch.arange(30)[None], (7, 0))
    with torch.no_grad():
        logits = [model(padded, attention_mask=mask, position_ids=positions).logits[:, 7:] for model in (plain, other)]
        torch.testing.assert_close(logits[1], plain(ids).logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)


def test_less_is_held_for_the_backward_pass() -> None:
    def held(model: Any) -> int:
        kept: dict[int, int] = {}
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits, *_ = supervised_logits(model.train(), _batch(), "causal")
        del logits
        return sum(size for address, size in kept.items() if address not in weights)

    plain = _lora()
    assert held(_fused(plain)) < 0.7 * held(plain)


def test_another_model_keeps_its_own_code_where_it_is_another() -> None:
    mistral = _fused(MistralForCausalLM(MistralConfig(**SIZES)))
    assert {type(m).__name__ for m in mistral.modules()} >= {"FusedRMSNorm", "FusedMLP", "MistralAttention"}
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4))
    kinds = {type(module) for module in gpt2.modules()}
    fused.fuse(gpt2)
    assert {type(module) for module in gpt2.modules()} == kinds


def test_the_summary_names_what_is_fused_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, _, kept = fused.summary(_fused(_lora())).removeprefix("fused: ").partition("; not fused: ")
    # Three layers and a final norm; seven matrices per layer.
    expected = {"7 norms", "3 MLPs", "1 rotary embeddings", "21 LoRA layers", "1 attention"}
    assert (set(parts.split(", ")), kept) == (expected, "nothing")

    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4))
    fused.fuse(gpt2)
    assert fused.summary(gpt2) == "fused: nothing; not fused: 5 LayerNorm, 2 GPT2MLP, 1 attention (sdpa)"

    dropout = fused.summary(_fused(_lora(lora_dropout=0.5)))
    assert dropout.endswith("; not fused: 21 LoRA layers")

    # AdaLoRA's layers have the role of LoRA layers, and keep peft's code.
    adalora = get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZES)), AdaLoraConfig(total_step=10, tinit=1, tfinal=1))
    assert fused.summary(_fused(adalora)).endswith("; not fused: 6 SVDLinear")

    def changed(self: Any, x: Tensor) -> Any:  # a line that transformers writes otherwise
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x)) * 1

    monkeypatch.setattr(MistralMLP, "forward", changed)
    mistral = _fused(MistralForCausalLM(MistralConfig(**SIZES)))
    assert fused.summary(mistral) == "fused: 7 norms, 1 rotary embeddings, 1 attention; not fused: 3 MistralMLP"


def test_lora_with_more_than_two_factors_is_computed_by_peft() -> None:
    for how in ({"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}):
        plain = _lora(**how)
        other = _fused(plain)
        plain.eval(), other.eval()
        logits = [supervised_logits(model, _batch(), "causal")[0] for model in (plain, other)]
        torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)
        if "lora_dropout" in how:
            torch.manual_seed(3)
            expected = _trained(plain)[0]
            torch.manual_seed(3)
            assert _trained(other)[0] == pytest.approx(expected, rel=1e-5)


def test_a_lora_layer_takes_no_rows() -> None:
    """As an expert may get none."""
    plain = _lora()
    path = "base_model.model.model.layers.0.mlp.up_proj"
    shapes = [model.get_submodule(path)(torch.zeros(0, 48)).shape for model in (plain, _fused(plain))]
    assert shapes == [(0, 80), (0, 80)]


def test_outside_autocast_a_halved_layer_computes_in_fp32_with_rounded_numbers() -> None:
    layer = torch.nn.Linear(6, 4).requires_grad_(False)
    holder = _full()
    holder.add_module("more", layer)
    expected = functional.linear(torch.ones(2, 6), layer.weight.bfloat16().float(), layer.bias)
    fused.cast_frozen_to_bf16(holder)
    assert type(layer) is fused.BF16Linear and layer.weight.dtype == torch.bfloat16
    torch.testing.assert_close(layer(torch.ones(2, 6)), expected, rtol=0, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.ones(2, 6)).dtype == torch.bfloat16


def test_norms_before_experts_round_nothing() -> None:
    moe = MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=2))
    dense = _full()
    for model in (moe, dense):
        fused.fuse(model)
    norms = {
        kind: {m.casts_output for m in model.modules() if isinstance(m, fused.FusedRMSNorm)}
        for kind, model in (("moe", moe), ("dense", dense))
    }
    assert norms == {"moe": {False}, "dense": {True, False}}


def test_a_model_that_reads_the_name_of_its_attention_keeps_it() -> None:
    config = FalconConfig(vocab_size=97, hidden_size=48, num_hidden_layers=1, num_attention_heads=6)
    model = FalconForCausalLM(config)
    causal_attention.use(model)
    assert model.config._attn_implementation == "sdpa"


def test_an_output_layer_that_is_the_embedding_stays_exact() -> None:
    torch.manual_seed(0)
    model = get_peft_model(
        LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)), LoraConfig(r=2, target_modules=["q_proj"])
    )
    fused.cast_frozen_to_bf16(model)
    types = {name: parameter.dtype for name, parameter in model.get_base_model().named_parameters()}
    assert types["model.layers.0.mlp.up_proj.weight"] == torch.bfloat16
    assert types["model.embed_tokens.weight"] == torch.float32
    assert types["model.layers.0.self_attn.q_proj.lora_A.default.weight"] == torch.float32
    assert types["model.norm.weight"] == torch.float32
