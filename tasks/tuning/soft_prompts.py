"""Check that virtual tokens fit the context, and compute the embeddings from which they start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tasks.core.errors import TunesmithError
from tasks.model.base_models import BaseModel, load_tokenizer
from tasks.tuning.method_params import EXPERIMENTS, SoftPromptParams

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.tuning.params import TrainedParams

P = TypeVar("P", bound="TrainedParams")


def refuse_too_long(model: Any, max_length: int, virtual_tokens: int) -> None:
    """Refuse rows that do not fit the context of ``model`` together with the virtual tokens."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and max_length + virtual_tokens > context:
        raise TunesmithError(
            f"{EXPERIMENTS}: max_length and virtual_tokens must fit the model's context of {context} tokens; they are "
            f"{max_length} and {virtual_tokens}; lower one of them"
        )


def with_random_start(params: P, block: str) -> P:
    """Return ``params`` with random initial embeddings in ``block``, for a memory plan.

    Words as initial embeddings need the tokenizer's files, and take the same memory.
    """
    prompt: SoftPromptParams = getattr(params, block)
    return params.model_copy(update={block: prompt.model_copy(update={"initial": "random"})})


def initial_embeddings(model: Any, base: BaseModel, params: SoftPromptParams, block: str) -> Tensor:
    """Return the initial embeddings (shape: virtual tokens, width); ``block`` is their key in ``params``.

    Words are embedded by the model's own layer: some models scale embeddings there.

    Raises:
        TunesmithError: the tokenizer makes no token of ``params.text``.
    """
    import torch

    embed = model.get_input_embeddings()
    (vocabulary, width), device = embed.weight.shape, embed.weight.device
    if params.initial == "random":
        spread = embed(torch.arange(min(vocabulary, 4096), device=device)).std()
        return torch.randn(params.virtual_tokens, width, device=device) * spread
    if params.initial == "vocabulary":
        words: Tensor = embed(torch.randint(vocabulary, (params.virtual_tokens,), device=device))
        return words
    tokens = load_tokenizer(base)(params.text, add_special_tokens=False)["input_ids"]
    if not tokens:
        raise TunesmithError(
            f"{EXPERIMENTS}: {block}.text must give at least one token; the tokenizer makes none of "
            f"{params.text!r}; write another text, or set `initial: vocabulary`"
        )
    repeated = tokens * -(-params.virtual_tokens // len(tokens))
    text: Tensor = embed(torch.tensor(repeated[: params.virtual_tokens], device=device))
    return text
