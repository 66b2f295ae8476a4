"""Explain a soft prompt by the nearest words of each virtual token, and by clusters of virtual tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch.nn import functional

CLUSTER_DISTANCE = 0.5
"""Mean cosine distance up to which virtual tokens belong to one cluster."""


@torch.no_grad()
def explain(model: Any, tokenizer: Any, nearest: int = 5) -> list[dict[str, Any]]:
    """Describe each virtual token of ``model`` (Lester et al. 2021, section 7, "Interpretability").

    Returns:
        One entry per virtual token: ``position``, ``cluster`` (from 1) and ``nearest``, the words with the highest
        cosine ``similarity`` to it.
    """
    prompt_VH = model.get_prompt(1)[0].float()
    words_WH = model.get_base_model().get_input_embeddings().weight.float()
    similarity_VW = functional.normalize(prompt_VH, dim=1) @ functional.normalize(words_WH, dim=1).T
    top = similarity_VW.topk(min(nearest, similarity_VW.shape[1]), dim=1)
    cluster_of = clusters(prompt_VH.cpu().numpy())
    return [
        {
            "position": position,
            "cluster": cluster_of[position],
            "nearest": [
                {"word": tokenizer.decode([word]), "similarity": round(value, 4)}
                for word, value in zip(words, values, strict=True)
            ],
        }
        for position, (words, values) in enumerate(zip(top.indices.tolist(), top.values.tolist(), strict=True))
    ]


def clusters(vectors: np.ndarray) -> list[int]:
    """Assign each vector (shape: vectors, width) to a cluster, numbered from 1 in order of their first members."""
    if len(vectors) < 2:
        return [1] * len(vectors)
    tree = linkage(vectors, method="average", metric="cosine")
    labels = fcluster(tree, CLUSTER_DISTANCE, criterion="distance").tolist()
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels), start=1)}
    return [numbers[label] for label in labels]
