"""Generation and merging, planned on tensors that hold nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.inference.params import GenerationParams
from tasks.inference.slots import Slots, room
from tasks.memory.inference_plan import Generation, plan_generation, plan_merging, smaller_generation
from tasks.memory.storage_counter import StorageCounter
from tasks.memory.training_plan import plan_training
from tasks.model.base_models import BaseModel, find_config, load_model
from tasks.model.batches import bucket
from tests.memory.planned import LLAMA_70B, ROWS, parameters
from tests.train.every_method import METHODS

PROMPTS = [40, 12, 33]
GENERATION = GenerationParams(max_new_tokens=16, token_budget=256, precision="fp32")


def test_the_cache_has_the_size_of_the_formula(tiny_llama: Path) -> None:
    """Keys and values: 2 x layers x key-value heads x head size x bytes, for every token of every row."""
    params, base = parameters(tiny_llama, METHODS["lora"])
    plan = plan_generation(params, base, PROMPTS, GENERATION)
    tokens = sum(PROMPTS) + 3 * 16
    assert plan.cache == 2 * 2 * 2 * 16 * 4 * tokens
    fewer = plan_generation(params, base, PROMPTS, GENERATION.model_copy(update={"token_budget": 100}))
    assert fewer.cache == 2 * 2 * 2 * 16 * 4 * 100
    beams = plan_generation(params, base, PROMPTS[:1], GENERATION.model_copy(update={"num_beams": 4}))
    assert beams.cache == 2 * 2 * 2 * 16 * 4 * 4 * (40 + 16)


def test_an_encoder_decoder_caches_its_input_once_and_its_output(tiny_t5: Path) -> None:
    params, base = parameters(tiny_t5, METHODS["lora"])
    config = load_model(base, torch.float32).config
    a_token = 2 * config.num_decoder_layers * config.num_heads * config.d_kv * 4
    plan = plan_generation(params, base, PROMPTS, GENERATION)
    assert plan.cache in (3 * a_token * (40 + 16), 3 * a_token * (40 + 15))


def test_virtual_tokens_are_kept_as_well(tiny_llama: Path) -> None:
    plain, soft = (
        plan_generation(*parameters(tiny_llama, METHODS[method]), PROMPTS, GENERATION)
        for method in ("lora", "prompt_tuning")
    )
    virtual = METHODS["prompt_tuning"]["prompt_tuning"]["virtual_tokens"]
    assert soft.cache - plain.cache == 2 * 2 * 2 * 16 * 4 * 3 * virtual


@pytest.mark.parametrize("prompts", [[300] + 30 * [60], [257] + 8 * [250], [250] * 9 + [5]])
def test_the_plan_of_slots_is_what_real_tensors_take(tiny_llama: Path, prompts: list[int]) -> None:
    """Whether the longest row alone, many short ones, or a full cache takes most."""
    params, base = parameters(tiny_llama, METHODS["lora"])
    planned = plan_generation(params, base, prompts, GENERATION.model_copy(update={"token_budget": 8192}))
    model, counter = load_model(base, torch.float32).eval(), StorageCounter()
    with torch.no_grad(), counter:
        slots = Slots(model, room([prompt + 16 for prompt in prompts], 8192))
        list(slots.generate([[5] * prompt for prompt in prompts], (), 16))
    assert sum(planned.peak.values()) - planned.peak["weights"] == pytest.approx(counter.peak.total(), rel=0.1)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_plan_of_generation_is_what_real_tensors_take(request: pytest.FixtureRequest, kind: str) -> None:
    """Of generation with real tensors, all of which are counted: in slots, and by ``generate`` of the library."""
    params, base = parameters(request.getfixturevalue(f"tiny_{kind}"), METHODS["lora"])
    rows, width = 24, 120
    generation = GENERATION.model_copy(update={"token_budget": rows * (128 + 16)})
    planned = plan_generation(params, base, [width] * rows, generation)
    model = load_model(base, torch.float32).eval()
    ids, counter = torch.full((rows, width), 5), StorageCounter()
    with torch.no_grad(), counter:
        if kind == "llama":
            slots = Slots(model, room([width + 16] * rows, generation.token_budget))
            assert len(list(slots.generate(ids.tolist(), (), 16))) == rows
        else:
            mask = torch.ones_like(ids)
            mask[0, 0] = 0
            model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=16, min_new_tokens=16, do_sample=False)
    assert sum(planned.peak.values()) - planned.peak["weights"] == pytest.approx(counter.peak.total(), rel=0.1)


def test_outputs_that_do_not_fit_are_generated_in_fewer_rows_first(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, base = parameters(tiny_llama, METHODS["lora"])
    prompts, generation = [200] * 40, GENERATION.model_copy(update={"token_budget": 4096})
    least = bucket(200) + 16

    def need(**patch: Any) -> int:
        return sum(plan_generation(params, base, prompts, generation.model_copy(update=patch)).peak.values())

    planned = plan_generation(params, base, prompts, generation)

    def advice(free: int) -> str:
        return smaller_generation(params, base, prompts, generation, planned, free)

    free = need(token_budget=1024)
    assert need(token_budget=2048) > free
    assert advice(free) == f"with {{evaluation: {{generation: {{token_budget: 1024}}}}}} it needs {free / 1e9:.2f} GB"
    assert f"{{token_budget: {least}}}" in advice(need(token_budget=least)), "the least, between two halves"
    free = need(token_budget=512, precision="bf16")
    assert need(token_budget=least) > free > need(token_budget=least, precision="bf16")
    assert "{precision: bf16, token_budget: 512}" in advice(free), "as many rows as bf16 has room for"
    assert advice(need(token_budget=least, precision="bf16") - 1).startswith("one row at a time needs 0.00 GB in bf16")

    tried: list[int] = []

    def counted(*given: Any) -> Generation:
        tried.append(given[3].token_budget)
        return plan_generation(*given)

    monkeypatch.setattr("tasks.memory.inference_plan.plan_generation", counted)
    assert advice(1000).startswith("the weights alone need 0.00 GB in bf16, 0.00 GB are free; take a smaller base")
    assert tried == [4096], "weights in bf16 alone: with those that do not fit no budget is tried"


def test_merging_holds_base_adapter_and_a_matrix(tiny_llama: Path) -> None:
    params, base = parameters(tiny_llama, METHODS["lora"])
    step = plan_training(params, base, ROWS)
    plan = plan_merging(step, params, base, "fp32")
    assert plan == {"weights": step.weights, "temporary": 4 * 64 * load_model(base, torch.float32).config.vocab_size}
    for method in ("full", "adapter", "prompt_tuning"):
        params, base = parameters(tiny_llama, METHODS[method])
        assert plan_merging(step, params, base, "fp32") is None


def test_a_model_larger_than_any_machine_is_planned_from_its_config(tmp_path: Path, tiny_llama: Path) -> None:
    write_json(tmp_path / "config.json", LLAMA_70B)
    base = find_config(tmp_path / "config.json")
    params, _ = parameters(tiny_llama, METHODS["lora"])
    step = plan_training(params, base, ROWS)
    # By hand: embeddings and output 2 x 32,000 x 8,192; a layer 2 x 8,192^2 + 2 x 8,192 x 1,024 + 3 x 8,192 x 28,672
    # + 2 x 8,192; a last norm 8,192.
    total = 2 * 32_000 * 8_192 + 80 * (2 * 8_192**2 + 2 * 8_192 * 1_024 + 3 * 8_192 * 28_672 + 2 * 8_192) + 8_192
    assert total == 68_976_648_192 == step.total - step.trainable
    assert step.weights == pytest.approx(4 * (total + step.trainable), rel=1e-6)
    plan = plan_generation(params, base, PROMPTS, GENERATION)
    assert plan.cache == 2 * 80 * 8 * 128 * 4 * (sum(PROMPTS) + 3 * 16)


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"must have config\.json"):
        find_config(tmp_path)
    with pytest.raises(TunesmithError, match=r"must be config\.json or a folder with it"):
        find_config(tmp_path / "weights.bin")


def test_a_base_of_a_config_alone_has_no_weights(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", LLAMA_70B)
    assert find_config(tmp_path) == BaseModel(str(tmp_path), tmp_path.resolve(), None, "", "causal")
