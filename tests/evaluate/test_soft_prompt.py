"""Soft prompts explained: nearest words and clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.base_models import BaseModelParams, find, load_tokenizer
from tasks.evaluate.soft_prompt import clusters, explain
from tasks.params import merge, parse
from tasks.train.methods import prepare
from tasks.train.params import TrainParams
from tests.train.training_workspace import PARAMS


def prompted(base: Path, **block: Any) -> tuple[Any, Any]:
    patch = {"method": "prompt_tuning", "prompt_tuning": block, "base_model": {"name": str(base)}}
    found = find(BaseModelParams(name=str(base)), base)
    return prepare(found, parse(TrainParams, merge(PARAMS, patch), "train.yaml"), 10), load_tokenizer(found)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_token_that_is_a_word_lies_nearest_to_it(request: pytest.FixtureRequest, kind: str) -> None:
    model, tokenizer = prompted(
        request.getfixturevalue(f"tiny_{kind}"), virtual_tokens=4, initial="text", text="my lamp is broken"
    )
    said = explain(model, tokenizer, nearest=3)
    words = tokenizer("my lamp is broken")["input_ids"][:4]
    assert [token["nearest"][0] for token in said] == [
        {"word": tokenizer.decode([word]), "similarity": 1.0} for word in words
    ]
    assert [token["position"] for token in said] == [0, 1, 2, 3]
    for token in said:
        similarities = [near["similarity"] for near in token["nearest"]]
        assert len(similarities) == 3 and similarities == sorted(similarities, reverse=True)


def test_length_does_not_count(tiny_llama: Path) -> None:
    model, tokenizer = prompted(tiny_llama, virtual_tokens=3, initial="text", text="my lamp is")
    before = explain(model, tokenizer)
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight.mul_(torch.tensor([[0.1], [7.0], [100.0]]))
    assert explain(model, tokenizer) == before


def test_clusters_are_of_like_directions_and_numbered_in_order() -> None:
    vectors = np.array([[0.0, 1.0, 0.1], [1.0, 0.0, 0.0], [0.0, 5.0, 0.0], [3.0, 0.1, 0.0], [0.0, 0.0, -2.0]])
    assert clusters(vectors) == [1, 2, 1, 2, 3]
    assert clusters(vectors[:1]) == [1]
