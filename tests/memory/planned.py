"""Parameters and rows for which memory is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.core.params import merge
from tasks.model.base_models import BaseModel, BaseModelParams, find
from tasks.model.encoded import Encoded
from tasks.tuning.params import TrainedParams, parse_trained
from tests.train.training_workspace import PARAMS

ROWS = [Encoded(list(range(3, 60 - n)), [*range(40, 43 + n), 0]) for n in range(12)]


def parameters(base: Path, patch: dict[str, Any]) -> tuple[TrainedParams, BaseModel]:
    merged = merge(PARAMS | {"base_model": {"name": str(base)}}, patch)
    return parse_trained(merged, "train.yaml"), find(BaseModelParams(name=str(base)), base)


# The published shape of Llama 2 70B (Touvron et al. 2023, table 1 and the model's configuration).
LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
