"""Greedy generation and beam search: order, padding, batches, the end token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

from tasks.core.paths import Paths
from tasks.inference.generate import LEAST_MEMBERS, LEAST_SHARED, Generated, batches, generate, shared_prefixes
from tasks.inference.params import GenerationParams, SamplingParams
from tasks.inference.predict import Predictor
from tasks.model.base_models import BaseModelParams, find, load_model
from tests.inference.tokens import generated_tokens
from tests.train.training_workspace import PAIRS

PROMPTS = [prompt for prompt, _ in PAIRS] + ["lamp", "Customer: " + "my lamp is late. " * 6]


def settings(**changes: Any) -> GenerationParams:
    return GenerationParams(**({"max_new_tokens": 12, "token_budget": 256, "precision": "fp32"} | changes))


@pytest.fixture(scope="module", params=["random llama", "random t5", "trained llama"])
def subject(request: pytest.FixtureRequest, tiny_llama: Path, tiny_t5: Path, memorised: Paths) -> tuple[Any, Any, str]:
    """Model, tokenizer, kind."""
    folder = {"random llama": tiny_llama, "random t5": tiny_t5, "trained llama": memorised.model("full")}[request.param]
    base = find(BaseModelParams(name=str(folder)), folder)
    return load_model(base, torch.float32), AutoTokenizer.from_pretrained(folder), base.kind


def encoded(tokenizer: Any) -> list[list[int]]:
    return [list(tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]


def plain(model: Any, tokenizer: Any, kind: str, prompt: list[int], new: int) -> Generated:
    """One prompt alone, without padding, by the whole forward pass for each token."""
    end, tokens = tokenizer.eos_token_id, []
    with torch.no_grad():
        while len(tokens) < new and end not in tokens:
            if kind == "seq2seq":
                start = [model.config.decoder_start_token_id, *tokens]
                output = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([start]))
            else:
                output = model(input_ids=torch.tensor([prompt + tokens]))
            tokens.append(int(output.logits[0, -1].argmax()))
    return Generated(tokenizer.decode(tokens, skip_special_tokens=True), len(tokens), end in tokens)


@pytest.mark.parametrize("budget", [16, 150, 100_000])
def test_texts_are_those_of_each_prompt_alone(
    subject: tuple[Any, Any, str], budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs do not depend on other prompts and keep the order of the prompts, in slots and in padded batches."""
    model, tokenizer, kind = subject
    prompts = encoded(tokenizer)
    sizes = [len(batch) for batch in batches([len(p) for p in prompts], settings(token_budget=budget))]
    assert {16: max(sizes) == 1, 150: 1 < len(sizes) < len(prompts), 100_000: len(sizes) == 1}[budget]
    results = generate(model, tokenizer, prompts, kind, settings(token_budget=budget))
    assert results == [plain(model, tokenizer, kind, prompt, 12) for prompt in prompts]
    with monkeypatch.context() as patch:
        patch.setattr("tasks.inference.generate.suits", lambda model: False)
        assert generate(model, tokenizer, prompts, kind, settings(token_budget=budget)) == results


def with_beginnings(tokenizer: Any) -> list[list[int]]:
    """Two long beginnings, as of examples in the prompt, before prompts that share no more; and two that are short."""
    first, second = (list(tokenizer(text * 12)["input_ids"]) for text in ("Customer: my lamp. ", "Agent: it is late. "))
    prompts = encoded(tokenizer)
    assert len(prompts) == LEAST_MEMBERS and min(len(first), len(second)) > LEAST_SHARED > max(map(len, prompts[:2]))
    return [*(first + p for p in prompts), prompts[0], *(second + p for p in prompts), prompts[1]]


def test_a_common_beginning_is_computed_once_and_changes_no_answer(subject: tuple[Any, Any, str]) -> None:
    model, tokenizer, kind = subject
    prompts = with_beginnings(tokenizer)
    rows: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda module, given, out: rows.append(given[0].numel()))
    results = generate(model, tokenizer, prompts, kind, settings(token_budget=2000))
    hook.remove()
    assert results == [plain(model, tokenizer, kind, prompt, 12) for prompt in prompts]
    assert [len(prefix) >= LEAST_SHARED for prefix, _ in shared_prefixes(prompts)] == [True, True]
    if kind == "causal":
        assert sum(rows) < sum(map(len, prompts)), (
            "common beginnings are read once, and the count includes the generated tokens"
        )


@pytest.mark.parametrize("window", [64, 40])
def test_a_model_with_a_sliding_window_has_its_prompts_whole(tiny_llama: Path, window: int) -> None:
    """Padding behind a common beginning would lie within the window."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
    )
    model, prompts = MistralForCausalLM(config).eval(), with_beginnings(tokenizer)
    results = generate(model, tokenizer, prompts, "causal", settings(token_budget=2000))
    assert results == [plain(model, tokenizer, "causal", prompt, 12) for prompt in prompts]


def test_beams_behind_a_common_beginning(subject: tuple[Any, Any, str]) -> None:
    model, tokenizer, kind = subject
    prompts, params = with_beginnings(tokenizer), settings(token_budget=4000, num_beams=3)
    alone = [generate(model, tokenizer, [prompt], kind, params)[0] for prompt in prompts]
    assert generate(model, tokenizer, prompts, kind, params) == alone


def test_groups_of_common_beginnings() -> None:
    long = list(range(LEAST_SHARED))
    alike = [[*long, 1, number] for number in range(LEAST_MEMBERS)]
    assert shared_prefixes([[9], *alike, [*long, 1]]) == [(long, [*range(1, LEAST_MEMBERS + 2)])]
    assert shared_prefixes([alike[0]] * LEAST_MEMBERS) == [([*long, 1], [*range(LEAST_MEMBERS)])], "something is left"
    assert shared_prefixes(alike[1:]) == shared_prefixes([long] * LEAST_MEMBERS) == shared_prefixes([]) == []


def test_drawn_answers_follow_their_seed(subject: tuple[Any, Any, str]) -> None:
    model, tokenizer, kind = subject
    prompts = encoded(tokenizer)

    def drawn(**changes: Any) -> list[Generated]:
        return generate(model, tokenizer, prompts, kind, settings(), SamplingParams(temperature=2.0, **changes))

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    # So little is left to draw from that it is greedy.
    assert drawn(top_p=1e-6) == generate(model, tokenizer, prompts, kind, settings())


def test_beams_are_those_of_each_prompt_alone(subject: tuple[Any, Any, str]) -> None:
    model, tokenizer, kind = subject
    prompts = encoded(tokenizer)
    params = settings(token_budget=600, num_beams=3)
    assert 1 < len(batches([len(prompt) for prompt in prompts], params)) < len(prompts)
    alone = [generate(model, tokenizer, [prompt], kind, params)[0] for prompt in prompts]
    assert generate(model, tokenizer, prompts, kind, params) == alone


def test_a_beam_finds_a_likelier_answer(tiny_llama: Path) -> None:
    """Of a random model, whose greedy answers are seldom its likeliest. Neither ends within four tokens."""
    base = find(BaseModelParams(name=str(tiny_llama)), tiny_llama)
    model, tokenizer = load_model(base, torch.float32), AutoTokenizer.from_pretrained(tiny_llama)

    def log_likelihoods(beams: int) -> list[float]:
        sums = []
        for prompt in encoded(tokenizer):
            params = settings(num_beams=beams, max_new_tokens=4)
            (new,) = generated_tokens(model, tokenizer, [prompt], "causal", params)
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([prompt + new])).logits[0, len(prompt) - 1 : -1]
            sums.append(float(logits.log_softmax(-1).gather(1, torch.tensor(new)[:, None]).sum()))
        return sums

    greedy, beam = log_likelihoods(1), log_likelihoods(8)
    assert all(b >= g - 1e-5 for g, b in zip(greedy, beam, strict=True))
    assert sum(b > g + 1e-3 for g, b in zip(greedy, beam, strict=True)) >= 2


def test_generation_stops_at_the_end_token(memorised: Paths) -> None:
    """Memorised outputs of different lengths in one batch."""
    predictor = Predictor.load(memorised.model("full"), settings(token_budget=10_000), memorised.root)
    answers = predictor.generate([prompt for prompt, _ in PAIRS])
    assert [answer.text for answer in answers] == [completion for _, completion in PAIRS]
    for answer, (_, completion) in zip(answers, PAIRS, strict=True):
        assert answer.finished
        # The end token counts.
        assert answer.new_tokens == len(predictor.renderer.tokenizer(completion)["input_ids"]) + 1
    assert len({answer.new_tokens for answer in answers}) > 1


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("named_by", ["template", "generation_config"])
def test_generation_stops_at_every_token_that_closes_a_turn(tiny_llama: Path, named_by: str, beams: int) -> None:
    """Gemma's template closes turns with a token of its own, and its generation_config names two."""
    base = find(BaseModelParams(name=str(tiny_llama)), tiny_llama)
    model, tokenizer = load_model(base, torch.float32), AutoTokenizer.from_pretrained(tiny_llama)
    # After more tokens, a beam without the closing token could have the better mean.
    prompts, params = encoded(tokenizer), settings(num_beams=beams, max_new_tokens=1)
    assert not generate(model, tokenizer, prompts, "causal", params)[0].finished
    with torch.no_grad():
        closing = int(model(input_ids=torch.tensor([prompts[0]])).logits[0, -1].argmax())
    if named_by == "template":
        name = tokenizer.convert_ids_to_tokens(closing)
        tokenizer.add_special_tokens({"additional_special_tokens": [name]})
        turns = "{% for m in messages %}<|assistant|>{{ m.content }}" + name + "{% endfor %}"
        tokenizer.chat_template = turns + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    else:
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, closing]
    answer = generate(model, tokenizer, prompts, "causal", params)[0]
    assert (answer.finished, answer.new_tokens) == (True, 1)


def test_an_answer_that_is_cut_is_unfinished(memorised: Paths) -> None:
    predictor = Predictor.load(memorised.model("full"), settings(max_new_tokens=2), memorised.root)
    for answer, (_, completion) in zip(predictor.generate([p for p, _ in PAIRS]), PAIRS, strict=True):
        assert (answer.finished, answer.new_tokens) == (False, 2)
        assert completion.startswith(answer.text)


def test_settings_of_the_base_do_not_change_greedy_generation(tiny_llama: Path) -> None:
    """A hub model may bring sampling, penalties or beams in its generation_config.json."""
    base = find(BaseModelParams(name=str(tiny_llama)), tiny_llama)
    model, tokenizer = load_model(base, torch.float32), AutoTokenizer.from_pretrained(tiny_llama)
    expected = generate(model, tokenizer, encoded(tokenizer), "causal", settings())
    model.generation_config.update(
        do_sample=True, temperature=2.0, repetition_penalty=1.9, no_repeat_ngram_size=2, num_beams=3, min_new_tokens=9
    )
    assert generate(model, tokenizer, encoded(tokenizer), "causal", settings()) == expected


def test_beams_count_in_a_batch() -> None:
    planned = batches([90] * 12, settings(token_budget=1300, max_new_tokens=4, num_beams=3))
    assert [len(batch) for batch in planned] == [4, 4, 4]  # 3 beams of 96 + 4 tokens per row


def test_batches_are_a_partition_within_the_budget_longest_first() -> None:
    lengths = [5, 90, 17, 17, 40, 1, 64, 33] * 5
    params = settings(token_budget=300, max_new_tokens=10)
    planned = batches(lengths, params)
    assert sorted(index for batch in planned for index in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * (max(lengths[i] for i in b) + 10) <= 300 for b in planned)
    flat = [lengths[index] for batch in planned for index in batch]
    assert flat == sorted(lengths, reverse=True)
    assert any(len(batch) > 3 for batch in planned)


def test_no_prompts_no_answers(tiny_llama: Path) -> None:
    base = find(BaseModelParams(name=str(tiny_llama)), tiny_llama)
    model, tokenizer = load_model(base, torch.float32), AutoTokenizer.from_pretrained(tiny_llama)
    assert generate(model, tokenizer, [], "causal", settings()) == []
