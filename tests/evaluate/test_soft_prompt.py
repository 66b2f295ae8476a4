"""Soft prompts explained: nearest words and clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tasks.core import files
from tasks.core.params import merge
from tasks.evaluate.soft_prompt import clusters, explain
from tasks.model.base_models import BaseModelParams, find, load_model, load_tokenizer
from tasks.text.rows import RENDERED
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import prepare
from tests.evaluate.evaluation import add_scoring, evaluate, write_params
from tests.train.every_method import METHODS
from tests.train.training_workspace import PAIRS, PARAMS, mark_dirty, rows, train, workspace


def prompted(base: Path, **block: Any) -> tuple[Any, Any]:
    patch = {"method": "prompt_tuning", "prompt_tuning": block, "base_model": {"name": str(base)}}
    base_model = find(BaseModelParams(name=str(base)), base)
    return prepare(base_model, parse_trained(merge(PARAMS, patch), "train.yaml"), 10), load_tokenizer(base_model)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_token_that_is_a_word_lies_nearest_to_it(request: pytest.FixtureRequest, kind: str) -> None:
    model, tokenizer = prompted(
        request.getfixturevalue(f"tiny_{kind}"), virtual_tokens=4, initial="text", text="my lamp is broken"
    )
    explained = explain(model, tokenizer, nearest=3)
    words = tokenizer("my lamp is broken")["input_ids"][:4]
    assert [token["nearest"][0] for token in explained] == [
        {"word": tokenizer.decode([word]), "similarity": 1.0} for word in words
    ]
    assert [token["position"] for token in explained] == [0, 1, 2, 3]
    for token in explained:
        similarities = [near["similarity"] for near in token["nearest"]]
        assert len(similarities) == 3 and similarities == sorted(similarities, reverse=True)


@pytest.mark.parametrize("method", ["prompt_tuning", "p_tuning"])
def test_an_evaluation_explains_what_was_trained(tiny_llama: Path, tmp_path: Path, method: str) -> None:
    paths = workspace(tmp_path / "workspace", tiny_llama)
    folder = train(paths, method, merge(METHODS[method], {"training": {"epochs": 2, "token_budget": 128}}))
    paths.evaluation_set.mkdir(parents=True)
    for part in ("test", "validation"):
        files.write_rows(paths.evaluation_set / f"{part}.parquet", rows(PAIRS), RENDERED)
    add_scoring(paths, "rouge")
    mark_dirty(paths)
    write_params(paths, method, {"threads": 1, "generation": {"precision": "fp32"}})
    evaluate(method, paths)
    explained = files.read_json(paths.report(method) / "metrics.json")["model"]["soft_prompt"]
    vectors = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"]
    words = load_model(find(BaseModelParams(name=str(tiny_llama)), tiny_llama), torch.float32).get_input_embeddings()
    similarities = torch.nn.functional.cosine_similarity(vectors[:, None], words.weight[None], dim=2)
    assert [token["nearest"][0]["similarity"] for token in explained] == pytest.approx(
        similarities.max(1).values.tolist(), abs=1e-3
    )


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
