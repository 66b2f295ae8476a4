"""The models that generate predictions: what they equal, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.inference.generate import generate
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.model.base_models import find, load_model
from tasks.tuning.params import BaseModelParams
from tests.train.training_workspace import PAIRS

FP32 = GenerationParams(max_new_tokens=12, token_budget=256, precision="fp32")
PROMPTS = [prompt for prompt, _ in PAIRS]


def test_other_chat_template_is_refused(paths: Paths) -> None:
    template = paths.model("full") / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(TunesmithError, match="model full: rows must be rendered as in training; chat_template differs"):
        Predictor.load(paths.model("full"), FP32, paths.root)


def test_other_base_weights_are_refused(paths: Paths) -> None:
    shutil.copy(paths.model("full") / "model.safetensors", paths.root / "bases/tiny/model.safetensors")
    with pytest.raises(TunesmithError, match="base model bases/tiny: the weights must be those"):
        Predictor.load(paths.model("lora"), FP32, paths.root)


def test_missing_model_is_named(paths: Paths) -> None:
    with pytest.raises(TunesmithError, match="models/gone: no trained model here"):
        Predictor.load(paths.model("gone"), FP32, paths.root)


def test_merged_adapter_generates_what_the_adapter_generates(trained: Paths) -> None:
    predictor = Predictor.load(trained.model("lora"), FP32, trained.root)
    base = find(BaseModelParams(name="bases/tiny"), trained.root)
    untrained = load_model(base, torch.float32)
    adapted = PeftModel.from_pretrained(untrained, str(trained.model("lora")))
    prompts = [predictor.renderer.prompt(prompt) for prompt in PROMPTS]
    ids = torch.tensor([prompts[0]])
    with torch.no_grad():
        merged, apart = (model(input_ids=ids).logits for model in (predictor.model, adapted))
        with adapted.disable_adapter():
            bare = adapted(input_ids=ids).logits
    torch.testing.assert_close(merged, apart, atol=1e-4, rtol=1e-4)
    assert float((merged - bare).abs().max()) > 0.1
    texts = [answer.text for answer in generate(adapted, predictor.renderer.tokenizer, prompts, "causal", FP32)]
    assert predictor.complete(PROMPTS) == texts


def test_untrained_model_is_the_base(trained: Paths) -> None:
    predictor = Predictor.load(trained.model("base"), root=trained.root)
    assert predictor.generation == GenerationParams()
    base = load_model(find(BaseModelParams(name="bases/tiny"), trained.root), predictor.model.dtype)
    assert torch.equal(predictor.model.get_input_embeddings().weight, base.get_input_embeddings().weight)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_of_the_weights(trained: Paths, precision: str, dtype: torch.dtype) -> None:
    for name in ("base", "full", "lora"):
        generation = FP32.model_copy(update={"precision": precision})
        assert Predictor.load(trained.model(name), generation, trained.root).model.dtype == dtype


def test_prompt_that_does_not_fit_the_context_is_refused(trained: Paths) -> None:
    predictor = Predictor.load(trained.model("base"), FP32, trained.root)
    predictor.model.config.max_position_embeddings = 100
    exact = "!" * (100 - 12 - len(predictor.renderer.prompt("")))
    assert len(predictor.renderer.prompt(exact)) == 88
    predictor.generate([exact])
    with pytest.raises(
        TunesmithError, match=r"prompt 2 of 2: .*context of 100 tokens; the prompt has 89 and the output"
    ):
        predictor.generate([exact, exact + "!"])


@pytest.mark.slow
def test_embedded_model_answers(tmp_path: Path) -> None:
    from tasks.model.base_models import EMBEDDED, load_tokenizer
    from tasks.model.rendering import Renderer

    base = find(BaseModelParams(name=EMBEDDED), tmp_path)
    renderer = Renderer(load_tokenizer(base), base.kind)
    prompts = [renderer.prompt(text) for text in ("What is the capital of France?", "Say hello in one word.")]
    model = load_model(base, torch.float32)
    alone, together = (
        generate(model, renderer.tokenizer, prompts, base.kind, FP32.model_copy(update={"token_budget": budget}))
        for budget in (16, 4096)
    )
    assert alone == together
    assert "Paris" in together[0].text
