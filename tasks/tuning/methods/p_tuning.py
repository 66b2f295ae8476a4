"""``p_tuning``: train a small network that makes the embeddings which precede the input (Liu et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters, soft_prompts
from tasks.tuning.method import Method
from tasks.tuning.method_params import SoftPromptParams
from tasks.tuning.params import TrainedParams

if TYPE_CHECKING:
    from torch import Tensor


class PTuningParams(SoftPromptParams):
    """P-tuning (Liu et al. 2021): as prompt tuning, but a small network makes the embeddings during training.

    Attributes:
        virtual_tokens: number of embeddings.
        initial: ``random`` keeps the initial weights of the network. With ``vocabulary`` and ``text``, its last layer
            is computed so that it makes the embeddings of words.
        text: as in ``SoftPromptParams``.
        network: ``MLP`` or ``LSTM``.
        hidden: width of the network. To start from words, it must be at least three times ``virtual_tokens``. With less
            than ``virtual_tokens`` there is no solution; with little more, the weights are so large that the first step
            leaves the solution.
    """

    network: Literal["MLP", "LSTM"] = "MLP"
    hidden: int = Field(default=128, ge=1)

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if self.initial != "random" and self.hidden < 3 * self.virtual_tokens:
            raise ValueError(
                f"hidden must be at least three times virtual_tokens to start from words; they are {self.hidden} and "
                f"{self.virtual_tokens}; raise it to {3 * self.virtual_tokens}, or set `initial: random`"
            )
        return self


class PTuningTraining(TrainedParams):
    """Parameters of an experiment with ``p_tuning``."""

    p_tuning: PTuningParams


def make_trainable(model: Any, base: BaseModel, params: PTuningTraining, steps: int) -> Any:
    """Add virtual tokens and the network that makes them to ``model``.

    Raises:
        TunesmithError: the tokens do not fit the context, or the text that they start from is empty.
    """
    import torch
    from peft import PromptEncoderConfig, get_peft_model

    prompt = params.p_tuning
    soft_prompts.refuse_too_long(model, params.max_length, prompt.virtual_tokens)
    config = PromptEncoderConfig(
        task_type=peft_adapters.task_type(base),
        num_virtual_tokens=prompt.virtual_tokens,
        num_transformer_submodules=1,
        encoder_reparameterization_type=prompt.network,
        encoder_hidden_size=prompt.hidden,
    )
    tuned: Any = get_peft_model(model, config)
    if prompt.initial != "random":
        with torch.no_grad():
            embeddings = soft_prompts.initial_embeddings(model, base, prompt, "p_tuning").float()
            _solve(tuned.prompt_encoder["default"], embeddings)
    return tuned


def _solve(network: Any, embeddings: Tensor) -> None:
    """Set the last layer of ``network`` so that it makes ``embeddings`` (virtual tokens by width).

    Of all solutions, the pseudo-inverse gives the one with the least weights.
    """
    import torch

    last = network.mlp_head[-1]
    inputs: list[Tensor] = []
    with last.register_forward_pre_hook(lambda _, args: inputs.append(args[0])):
        network(torch.arange(len(embeddings), device=embeddings.device))
    last.weight.copy_((torch.linalg.pinv(inputs[0]) @ (embeddings - last.bias)).T)


METHOD = Method(
    params=PTuningTraining,
    make_trainable=make_trainable,
    restore=peft_adapters.load_beside,
    merges=False,
    virtual_tokens=lambda params: params.p_tuning.virtual_tokens,
    embeds_virtual_tokens=True,
    for_planning=lambda params: soft_prompts.with_random_start(params, "p_tuning"),
)
