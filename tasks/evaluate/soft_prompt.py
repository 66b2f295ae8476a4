"""Soft prompts explained: which words of the vocabulary each virtual token lies near, and which tokens lie together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch.nn import functional

TOGETHER = 0.5
"""Cosine distance, on average, up to which virtual tokens are one cluster."""


@torch.no_grad()
def explain(model: Any, tokenizer: Any, nearest: int = 5) -> list[dict[str, Any]]:
    """One entry a virtual token of ``model``: ``position``, ``cluster`` (from 1) and ``nearest``, the words with the
    highest cosine ``similarity`` to it.

    Source: Lester et al. 2021, section 7 ("Interpretability").
    """
    prompt_VH = model.get_prompt(1)[0].float()
    words_WH = model.get_base_model().get_input_embeddings().weight.float()
    similarity_VW = functional.normalize(prompt_VH, dim=1) @ functional.normalize(words_WH, dim=1).T
    found = similarity_VW.topk(min(nearest, similarity_VW.shape[1]), dim=1)
    together = clusters(prompt_VH.cpu().numpy())
    return [
        {
            "position": position,
            "cluster": together[position],
            "nearest": [
                {"word": tokenizer.decode([word]), "similarity": round(value, 4)}
                for word, value in zip(words, values, strict=True)
            ],
        }
        for position, (words, values) in enumerate(zip(found.indices.tolist(), found.values.tolist(), strict=True))
    ]


def clusters(vectors: np.ndarray) -> list[int]:
    """The cluster of each vector (shape: vectors, width), numbered from 1 in order of their first members."""
    if len(vectors) < 2:
        return [1] * len(vectors)
    found = fcluster(linkage(vectors, method="average", metric="cosine"), TOGETHER, criterion="distance")
    numbers = {label: number for number, label in enumerate(dict.fromkeys(found.tolist()), start=1)}
    return [numbers[label] for label in found.tolist()]
