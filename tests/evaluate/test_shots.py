"""Examples in the prompt: drawn from training rows, as turns or text, as many as fit."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.evaluate.shots import choose, cost, prompts
from tasks.model.rendering import Renderer
from tasks.text.rows import Row
from tests.tiny import tokenizer
from tests.train.training_workspace import PAIRS, rows

TEST = rows([("Customer: my lamp is late.", "A lamp is late.")])


def known(template: str = "plain", prefix: str = "r") -> list[Row]:
    return [
        row | {"template_id": template, "row_id": f"{prefix}{i}", "prompt": f"{template}: {row['prompt']}"}
        for i, row in enumerate(rows(PAIRS))
    ]


@pytest.fixture(params=[True, False], ids=["chat", "text"])
def words(request: pytest.FixtureRequest) -> Any:
    return tokenizer([text for pair in PAIRS for text in pair], chat=request.param)


def test_examples_are_turns_of_a_chat_or_text(words: Any) -> None:
    renderer = Renderer(words, "causal")
    text = words.decode(renderer.prompt("How?", [("One?", "1."), ("Two?", "2.")]))
    if words.chat_template:
        assert text == (
            "<|user|>One?<|end|>\n<|assistant|>1.<|end|>\n<|user|>Two?<|end|>\n<|assistant|>2.<|end|>\n"
            "<|user|>How?<|end|>\n<|assistant|>"
        )
    else:
        assert text == "One?\n1.\n\nTwo?\n2.\n\nHow?\n"


def test_an_encoder_reads_them_as_text(words: Any) -> None:
    prompt = Renderer(words, "seq2seq").prompt("How?", [("One?", "1.")])
    assert words.decode(prompt) == "One?\n1.\n\nHow?"


def test_examples_of_the_same_template_come_first_and_no_row_twice() -> None:
    examples = [*known("other"), *known()[:2]]
    chosen = choose(TEST, examples, 4, seed=0).of_row(TEST[0])
    assert [prompt.split(":")[0] for prompt, _ in chosen] == ["plain", "plain", "other", "other"]
    assert len({completion for _, completion in chosen}) == 4
    assert chosen == choose(TEST, examples[::-1], 4, seed=0).of_row(TEST[0]), "whatever their order in the file"
    assert choose(TEST, known(), 4, seed=0).of != choose(TEST, known(), 4, seed=1).of


def test_only_examples_of_the_source_and_task_count() -> None:
    strange = [row | {"source": "other"} for row in known()] + [row | {"task": "other"} for row in known()]
    rule = "evaluation.shots: each prompt needs 3 training rows as examples; source chats has 2 for task 'summary'"
    with pytest.raises(TunesmithError, match=rule):
        choose(TEST, [*strange, *known()[:2]], 3, seed=0)
    assert choose(TEST, [], 0, seed=0).of_row(TEST[0]) == []


def test_as_many_examples_as_fit_and_what_they_cost(words: Any) -> None:
    renderer, shots = Renderer(words, "causal"), choose(TEST, known(), 3, seed=0)
    full, examples = renderer.prompt(TEST[0]["prompt"], shots.of_row(TEST[0])), shots.of_row(TEST[0])
    assert prompts(renderer, TEST, shots, len(full)) == ([full], [3])
    tokens, kept = prompts(renderer, TEST, shots, len(full) - 1)
    assert kept == [2] and tokens == [renderer.prompt(TEST[0]["prompt"], examples[1:])], "the first one leaves"
    bare = renderer.prompt(TEST[0]["prompt"])
    assert prompts(renderer, TEST, shots, 1) == ([bare], [0])
    costs = cost([full, bare], [3, 0], shots, context=4096)
    assert costs["rows_with_fewer"] == 1 and costs["prompt_tokens"]["most"] == len(full)
    assert costs["context_share"]["mean"] == pytest.approx((len(full) + len(bare)) / 2 / 4096)
    assert [one["completion"] for one in costs["examples"]["chats/plain"]] == [answer for _, answer in examples]
    assert cost([bare], [0], shots, context=None)["context_share"] is None
