"""Which weights a method trains."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model

from tasks.base_models import BaseModel, load_model
from tasks.errors import TunesmithError
from tasks.train.params import LoraParams, TrainParams


def prepare(base: BaseModel, params: TrainParams) -> Any:
    """The base model in fp32 with the weights of ``params.method`` trainable."""
    model = load_model(base, torch.float32)
    if params.method == "full":
        return model
    assert params.method == "lora" and params.lora is not None
    return _lora(model, base, params.lora)


def _lora(model: Any, base: BaseModel, params: LoraParams) -> Any:
    task = TaskType.SEQ_2_SEQ_LM if base.kind == "seq2seq" else TaskType.CAUSAL_LM
    config = LoraConfig(
        task_type=task,
        r=params.rank,
        lora_alpha=params.alpha,
        lora_dropout=params.dropout,
        target_modules=params.targets,
    )
    modules = dict(model.named_modules())
    linear = (name.split(".")[-1] for name, module in modules.items() if isinstance(module, torch.nn.Linear))
    known = ", ".join(sorted(set(linear)))
    # peft is content when one of several names is found.
    for target in params.targets if isinstance(params.targets, list) else []:
        if not any(f".{name}".endswith(f".{target}") for name in modules):
            raise TunesmithError(
                f"params/experiments.yaml: lora.targets: {target} must be a layer of {base.spec}; "
                f"its linear layers: {known}"
            )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise TunesmithError(
            f"params/experiments.yaml: lora.targets: {params.targets} does not fit {base.spec}; name some of "
            f"its linear layers: {known} ({str(error).split('.')[0]})"
        ) from None


def count_parameters(model: Any) -> tuple[int, int]:
    """(trainable, total) parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trainable in sizes if trainable), sum(n for n, _ in sizes)
