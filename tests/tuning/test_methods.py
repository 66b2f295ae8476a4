"""Every method on a decoder and on an encoder-decoder: it learns, it is kept, it answers as it was trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    set_seed,
)

from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.core.paths import Paths
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.base_models import BaseModel, BaseModelParams, find, load_model
from tasks.model.batches import collate
from tasks.model.likelihood import likelihood, supervised_logits
from tasks.model.rendering import Encoded
from tasks.tuning import bottleneck
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import count_parameters, prepare
from tests.inference.tokens import generated_tokens
from tests.tiny import save_gpt2
from tests.train.every_method import METHODS, SOFT
from tests.train.training_workspace import PAIRS, PARAMS, rows, train, workspace

FP32 = torch.autocast("cpu", enabled=False)
GENERATION = GenerationParams(max_new_tokens=12, precision="fp32")
KINDS = ["llama", "t5"]


@pytest.fixture(scope="module")
def bases(tiny_llama: Path, tiny_t5: Path) -> dict[str, Path]:
    return {"llama": tiny_llama, "t5": tiny_t5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, bases: dict[str, Path]) -> Any:
    """(kind, method) → its workspace after eight epochs; trained once."""
    done: dict[tuple[str, str], Paths] = {}

    def get(kind: str, method: str) -> Paths:
        if (kind, method) not in done:
            paths = workspace(tmp_path_factory.mktemp(f"{kind}-{method}") / "workspace", bases[kind])
            train(paths, method, merge(METHODS[method], {"training": {"epochs": 8, "token_budget": 128}}))
            done[kind, method] = paths
        return done[kind, method]

    return get


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_method_learns_and_its_files_hold_what_it_learned(trained: Any, kind: str, method: str) -> None:
    paths: Paths = trained(kind, method)
    assert_learnt(paths, method)
    manifest = files.read_json(paths.model(method) / "manifest.json")
    assert 0 < manifest["trainable_parameters"] <= manifest["total_parameters"]
    assert (method == "full") == (manifest["trainable_parameters"] == manifest["total_parameters"])
    for path in paths.model(method).iterdir():
        assert str(paths.root.parent).encode() not in path.read_bytes(), f"{path.name} names a folder of this machine"


@pytest.mark.parametrize(
    ("method", "block", "count"),
    [
        ("adapter", {"targets": ["mlp"]}, 2 * (64 * 8 + 8 + 8 * 64 + 64)),
        # A factor an output of queries, keys and values, and an input of the feed-forward's last layer.
        (
            "ia3",
            {"targets": ["q_proj", "k_proj", "v_proj", "down_proj"], "feedforward": ["down_proj"]},
            2 * (64 + 32 + 32 + 128),
        ),
        # Five tokens, and a network that makes keys and values of two layers from each.
        ("prefix_tuning", {"projection": 32}, 5 * 32 + (32 * 32 + 32) + (32 * 128 + 128)),
        # Four gates in both directions of two layers of 32, and two layers of 64 behind them.
        ("p_tuning", {"network": "LSTM"}, 6 * 64 + 4 * 4 * 32 * (64 + 32 + 2) + 2 * (64 * 64 + 64)),
    ],
)
def test_an_option_of_a_method_learns_and_is_kept(
    tiny_llama: Path, tmp_path: Path, method: str, block: dict[str, Any], count: int
) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama)
    loop = {"training": {"epochs": 8, "token_budget": 128}}
    train(paths, method, merge(METHODS[method], loop | {method: block}))
    assert files.read_json(paths.model(method) / "manifest.json")["trainable_parameters"] == count
    assert_learnt(paths, method)


def assert_learnt(paths: Paths, method: str) -> None:
    """The loss fell, and the files of the model have the loss of the best epoch."""
    points = files.read_jsonl(paths.run(method, "train") / "history.jsonl")
    curve = [point["validation_loss"] for point in points if "validation_loss" in point]
    assert min(curve[1:]) < curve[0] - 0.1, curve
    predictor = Predictor.load(paths.model(method), GENERATION, paths.root)
    renderer = predictor.renderer
    encoded = [renderer.encode(row["prompt"], row["completion"]) for row in rows(PAIRS[:2])]
    result = likelihood(predictor.model, encoded, renderer.kind, renderer.tokenizer.pad_token_id, 256, FP32)
    # 4-bit matrix products of bitsandbytes are not those of the numbers that they stand for, to the last bit.
    assert result.loss == pytest.approx(min(curve[1:]), abs=2e-3 if method == "qlora" else 1e-4)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("method", [*SOFT, "adapter"])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_do_not_depend_on_the_batch(trained: Any, kind: str, method: str, beams: int) -> None:
    """Padding stands between nothing: neither other rows nor their lengths change what the model says."""
    paths: Paths = trained(kind, method)
    generation = GENERATION.model_copy(update={"num_beams": beams})
    predictor = Predictor.load(paths.model(method), generation, paths.root)
    prompts = [prompt for prompt, _ in PAIRS] + ["Customer: " + "my lamp is broken. " * 6, "a"]
    assert [predictor.complete([prompt])[0] for prompt in prompts] == predictor.complete(prompts)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_are_the_likeliest_tokens(
    trained: Any, kind: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What generation says, in slots and in batches, is what the likelihood finds likeliest at each position."""
    paths: Paths = trained(kind, method)
    predictor = Predictor.load(paths.model(method), GENERATION, paths.root)
    tokenizer, model = predictor.renderer.tokenizer, predictor.model
    prompts = [predictor.renderer.prompt(prompt) for prompt, _ in PAIRS[:3]]
    answers = []
    for slots in {predictor.base.kind == "causal", False}:
        monkeypatch.setattr("tasks.inference.generate.suits", lambda model, slots=slots: slots)
        answers += generated_tokens(model, tokenizer, prompts, predictor.base.kind, GENERATION)
    for prompt, tokens in zip(prompts * (len(answers) // len(prompts)), answers, strict=True):
        collated = collate([Encoded(prompt, tokens)], predictor.base.kind, tokenizer.pad_token_id)
        batch = {key: value.to(device.device()) for key, value in collated.items()}
        with torch.no_grad():
            logits, targets, _ = supervised_logits(model, batch, predictor.base.kind)
        chosen = logits.gather(1, targets[:, None])[:, 0]
        assert torch.allclose(chosen, logits.max(1).values, atol=1e-4)


def prepared(base: Path, patch: dict[str, Any], steps: int = 20) -> tuple[Any, BaseModel]:
    params = parse_trained(merge(PARAMS | {"base_model": {"name": str(base)}}, patch), "train.yaml")
    base_model = find(BaseModelParams(name=str(base)), base)
    set_seed(0)
    return prepare(base_model, params, steps), base_model


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


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gpt2(tmp_path_factory.mktemp("gpt2"), [text for pair in PAIRS for text in pair])


def test_biases_alone_are_trained_and_learn(gpt2: Path, tmp_path: Path) -> None:
    """BitFit on GPT-2: of two layers the biases of two norms (64), attention (192, 64) and feed-forward (256, 64), and
    of the last norm."""
    patch = {"method": "selective", "selective": {"biases": True}}
    model, _ = prepared(gpt2, patch)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all(name.endswith(".bias") for name in trained)
    assert count_parameters(model)[0] == 2 * (2 * 64 + 192 + 64 + 256 + 64) + 64
    paths = workspace(tmp_path / "workspace", gpt2)
    train(paths, "bitfit", merge(patch, {"training": {"epochs": 8, "learning_rate": 5e-2, "token_budget": 128}}))
    assert_learnt(paths, "bitfit")


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
        ({"method": "selective", "selective": {"patterns": ["nosuch"]}}, r"patterns: nosuch: must name weights"),
        ({"method": "adapter", "adapter": {"targets": ["nosuch"]}}, r"adapter\.targets: nosuch must be a module"),
        ({"method": "ia3", "ia3": {"targets": ["nosuch"]}}, r"ia3\.targets: nosuch must be a layer"),
        ({"method": "selective", "selective": {"last_layers": 3}}, r"last_layers: 3: must name weights"),
        ({"method": "prompt_tuning", "max_length": 4090}, r"context of 4096 tokens; they are 4090 and 20; lower one"),
        ({"method": "adalora", "adalora": {"targets": ["nosuch"]}}, r"adalora\.targets: nosuch must be a layer"),
        ({"method": "vera", "vera": {"targets": ["nosuch"]}}, r"vera\.targets: nosuch must be a layer"),
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
        ({"method": "prompt_tuning", "prompt_tuning": {"initial": "text", "text": " "}}, "text must not be empty"),
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


@pytest.mark.parametrize("kind", KINDS)
def test_vera_keeps_its_random_factors_and_the_seed_draws_them(trained: Any, kind: str, bases: dict[str, Path]) -> None:
    """Every trained vector scales the same two factors, as wide as the widest target; none of them is trained."""
    weights = load_file(trained(kind, "vera").model("vera") / "adapter_model.safetensors")
    factors = {name: value for name, value in weights.items() if "lambda" not in name}
    assert sorted(factors) == ["base_model.vera_A", "base_model.vera_B"]
    assert all(16 in value.shape for value in factors.values())
    for seed, equal in ((0, True), (1, False)):
        model, _ = prepared(bases[kind], METHODS["vera"] | {"seed": seed})
        drawn = (model.base_model.vera_A["default"], model.base_model.vera_B["default"])
        stored = (factors["base_model.vera_A"], factors["base_model.vera_B"])
        assert [torch.equal(one, other) for one, other in zip(drawn, stored, strict=True)] == [equal, equal]
    assert not any(weight.requires_grad for name, weight in model.named_parameters() if "lambda" not in name)


@pytest.mark.parametrize("kind", KINDS)
def test_adalora_prunes_to_its_target(trained: Any, kind: str) -> None:
    weights = load_file(trained(kind, "adalora").model("adalora") / "adapter_model.safetensors")
    diagonals = [value for name, value in weights.items() if "lora_E" in name]
    left = sum(int((value != 0).sum()) for value in diagonals)
    assert sum(value.numel() for value in diagonals) == 4 * len(diagonals)
    assert 0 < left <= 2 * len(diagonals), "an average of target_rank remains"


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


def test_a_quantised_base_with_transposed_weights_answers_as_it_was_trained(gpt2: Path, tmp_path: Path) -> None:
    """GPT-2 keeps its matrices the other way round; quantised they are not."""
    paths = workspace(tmp_path / "workspace", gpt2)
    folder = train(
        paths, "qlora", merge(METHODS["qlora"], {"lora": {"targets": ["c_attn"]}, "training": {"epochs": 2}})
    )
    best = files.read_json(folder / "manifest.json")["best"]["validation_loss"]
    predictor = Predictor.load(folder, GENERATION, paths.root)
    encoded = [predictor.renderer.encode(row["prompt"], row["completion"]) for row in rows(PAIRS[:2])]
    result = likelihood(predictor.model, encoded, "causal", predictor.renderer.tokenizer.pad_token_id, 256, FP32)
    assert result.loss == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize("method", SOFT)
def test_a_prompt_that_fits_only_without_the_virtual_tokens_is_refused(trained: Any, method: str) -> None:
    paths: Paths = trained("llama", method)
    predictor = Predictor.load(paths.model(method), GENERATION, paths.root)
    config = predictor.model.get_base_model().config
    room = len(predictor.renderer.prompt("hello")) + GENERATION.max_new_tokens
    before, config.max_position_embeddings = config.max_position_embeddings, room
    try:
        with pytest.raises(TunesmithError, match=r"context of \d+ tokens; .* and there are [56] virtual tokens"):
            predictor.complete(["hello"])
    finally:
        config.max_position_embeddings = before


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_says_nearly_the_same(trained: Any, method: str) -> None:
    paths: Paths = trained("llama", method)
    losses = []
    for precision in ("fp32", "bf16"):
        predictor = Predictor.load(
            paths.model(method), GENERATION.model_copy(update={"precision": precision}), paths.root
        )
        predictor.complete(["Customer: my lamp is broken."])
        encoded = [predictor.renderer.encode(row["prompt"], row["completion"]) for row in rows(PAIRS[:2])]
        pad = predictor.renderer.tokenizer.pad_token_id
        losses.append(likelihood(predictor.model, encoded, "causal", pad, 256, FP32).loss)
    assert losses[1] == pytest.approx(losses[0], abs=0.05)


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


def test_an_unknown_architecture_is_asked_for_its_modules() -> None:
    with pytest.raises(
        TunesmithError, match=r"here: attention and feed-forward of Sequential are not known here; name"
    ):
        bottleneck.attach(torch.nn.Sequential(torch.nn.Linear(2, 2)), 4, None, "here")


def test_weights_of_another_model_are_refused(trained: Any, tmp_path: Path) -> None:
    paths: Paths = trained("llama", "selective")
    folder = tmp_path / "selective"
    shutil.copytree(paths.model("selective"), folder)
    save_file({"nosuch.weight": torch.zeros(1)}, folder / "selected.safetensors")
    with pytest.raises(TunesmithError, match=r"must hold weights of LlamaForCausalLM; it holds nosuch\.weight"):
        Predictor.load(folder, GENERATION, paths.root)


def test_eight_bits(tmp_path: Path, tiny_llama: Path) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama)
    patch = merge(METHODS["qlora"], {"quantisation": {"bits": 8}, "training": {"epochs": 2}})
    folder = train(paths, "qlora", patch)
    curve = [
        p["validation_loss"]
        for p in files.read_jsonl(paths.run("qlora", "train") / "history.jsonl")
        if "validation_loss" in p
    ]
    assert curve[-1] < curve[0] - 0.1
    predictor = Predictor.load(folder, GENERATION, paths.root)
    renderer = predictor.renderer
    encoded = [renderer.encode(row["prompt"], row["completion"]) for row in rows(PAIRS[:2])]
    result = likelihood(predictor.model, encoded, renderer.kind, renderer.tokenizer.pad_token_id, 256, FP32)
    assert result.loss == pytest.approx(min(curve[1:]), abs=2e-2)  # int8 rounds activations as well


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


@pytest.mark.parametrize("option", [{"rslora": True}, {"dora": True}])
def test_variants_of_lora(tmp_path: Path, tiny_llama: Path, option: dict[str, bool]) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama)
    folder = train(paths, "lora", merge(METHODS["lora"], {"lora": option, "training": {"epochs": 2}}))
    config = files.read_json(folder / "adapter_config.json")
    assert (config["use_rslora"], config["use_dora"]) == (option.get("rslora", False), option.get("dora", False))
    best = files.read_json(folder / "manifest.json")["best"]["validation_loss"]
    predictor = Predictor.load(folder, GENERATION, paths.root)
    encoded = [predictor.renderer.encode(row["prompt"], row["completion"]) for row in rows(PAIRS[:2])]
    result = likelihood(predictor.model, encoded, "causal", predictor.renderer.tokenizer.pad_token_id, 256, FP32)
    assert result.loss == pytest.approx(best, abs=1e-4)
