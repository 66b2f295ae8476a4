"""``prompt_tuning``: train embeddings that precede the input (Lester et al. 2021)."""

from __future__ import annotations

from typing import Any

from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters, soft_prompts
from tasks.tuning.method import Method
from tasks.tuning.method_params import SoftPromptParams
from tasks.tuning.params import TrainedParams


class PromptTuningTraining(TrainedParams):
    """Parameters of an experiment with ``prompt_tuning``."""

    prompt_tuning: SoftPromptParams


def make_trainable(model: Any, base: BaseModel, params: PromptTuningTraining, steps: int) -> Any:
    """Add virtual tokens to ``model``.

    Raises:
        TunesmithError: the tokens do not fit the context, or the text that they start from is empty.
    """
    import torch
    from peft import PromptTuningConfig, get_peft_model

    prompt = params.prompt_tuning
    soft_prompts.refuse_too_long(model, params.max_length, prompt.virtual_tokens)
    # In an encoder-decoder they precede only the input of the encoder.
    config = PromptTuningConfig(
        task_type=peft_adapters.task_type(base), num_virtual_tokens=prompt.virtual_tokens, num_transformer_submodules=1
    )
    tuned: Any = get_peft_model(model, config)
    with torch.no_grad():
        embeddings = soft_prompts.initial_embeddings(model, base, prompt, "prompt_tuning")
        tuned.prompt_encoder["default"].embedding.weight.copy_(embeddings)
    return tuned


METHOD = Method(
    params=PromptTuningTraining,
    make_trainable=make_trainable,
    restore=peft_adapters.load_beside,
    merges=False,
    virtual_tokens=lambda params: params.prompt_tuning.virtual_tokens,
    embeds_virtual_tokens=True,
    for_planning=lambda params: soft_prompts.with_random_start(params, "prompt_tuning"),
)
