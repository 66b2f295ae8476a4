"""Rows of other tasks: which ones fit the model's context with their reference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.evaluate.predict_retention import fits
from tasks.model.encoded import Encoded


@pytest.mark.parametrize(
    ("kind", "longest", "prompt", "completion", "expected"),
    [
        ("causal", 90, 90, 10, True),  # a context of 100, answers of at most 10
        ("causal", 90, 91, 1, False),  # no room for an answer
        ("causal", 90, 80, 20, True),  # a reference may be longer than an answer
        ("causal", 90, 80, 21, False),
        ("causal", 70, 60, 21, False),  # 20 virtual tokens take their part
        ("seq2seq", 100, 100, 100, True),  # one in the encoder, one in the decoder
        ("seq2seq", 100, 101, 1, False),
        ("seq2seq", 100, 1, 101, False),
        ("causal", None, 10_000, 10_000, True),
    ],
)
def test_prompt_answer_and_reference_must_fit(
    kind: str, longest: int | None, prompt: int, completion: int, expected: bool
) -> None:
    predictor: Any = SimpleNamespace(
        base=SimpleNamespace(kind=kind),
        generation=SimpleNamespace(max_new_tokens=10),
        longest_prompt=longest,
    )
    assert fits(predictor, Encoded([1] * prompt, [1] * completion)) is expected
