"""Every method on a decoder and on an encoder-decoder: it learns, it is kept, it answers as it was trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.core.paths import Paths
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.batches import collate
from tasks.model.encoded import Encoded
from tasks.model.likelihood import likelihood, supervised_logits
from tasks.tuning.prepare import count_parameters
from tests.inference.tokens import generated_tokens
from tests.train.every_method import METHODS, SOFT
from tests.train.training_workspace import PAIRS, rows, train, workspace
from tests.tuning.prepared import prepared

FP32 = torch.autocast("cpu", enabled=False)
GENERATION = GenerationParams(max_new_tokens=12, precision="fp32")
KINDS = ["llama", "t5"]


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
    """Padding has no effect: neither other rows nor their lengths change the outputs."""
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
    """In slots and in batches, each generated token is the likeliest by the likelihood."""
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
def test_half_precision_gives_nearly_the_same_outputs(trained: Any, method: str) -> None:
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
