"""``prefix_tuning``: keys and values before those of each self-attention are trained (Li and Liang 2021)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.core.params import Params
from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters, soft_prompts
from tasks.tuning.method import Method
from tasks.tuning.params import TrainedParams


class PrefixTuningParams(Params):
    """Prefix tuning (Li and Liang 2021): trained keys and values before each self-attention of the decoder.

    Attributes:
        virtual_tokens: number of keys and values.
        projection: width of a network that makes them during training; None trains them directly.
    """

    virtual_tokens: int = Field(default=20, ge=1, le=1000)
    projection: int | None = Field(default=None, ge=1)


class PrefixTuningTraining(TrainedParams):
    """Parameters of an experiment with ``prefix_tuning``."""

    prefix_tuning: PrefixTuningParams


def make_trainable(model: Any, base: BaseModel, params: PrefixTuningTraining, steps: int) -> Any:
    """Add keys and values to ``model``.

    Raises:
        TunesmithError: the virtual tokens do not fit the context.
    """
    from peft import PrefixTuningConfig, get_peft_model

    prefix = params.prefix_tuning
    soft_prompts.refuse_too_long(model, params.max_length, prefix.virtual_tokens)
    config: Any = PrefixTuningConfig(
        task_type=peft_adapters.task_type(base),
        num_virtual_tokens=prefix.virtual_tokens,
        prefix_projection=prefix.projection is not None,
    )
    config.encoder_hidden_size = prefix.projection
    if (width := getattr(model.config, "d_kv", None)) is not None:  # T5's heads need not fill its width
        config.token_dim = width * model.config.num_heads
    return get_peft_model(model, config)


METHOD = Method(
    params=PrefixTuningTraining,
    make_trainable=make_trainable,
    restore=peft_adapters.load_beside,
    merges=False,
    virtual_tokens=lambda params: params.prefix_tuning.virtual_tokens,
)
