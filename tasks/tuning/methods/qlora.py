"""``qlora``: LoRA on a base model in 4 or 8 bits (Dettmers et al. 2023)."""

from __future__ import annotations

from typing import Any

from tasks.model.base_models import BaseModel
from tasks.tuning.lora import add_lora
from tasks.tuning.method import Method
from tasks.tuning.method_params import LoraParams, QuantisationParams
from tasks.tuning.params import TrainedParams


class QloraTraining(TrainedParams):
    """Parameters of an experiment with ``qlora``."""

    lora: LoraParams
    quantisation: QuantisationParams


def load_base(base: BaseModel, params: QloraTraining) -> Any:
    """Load the base model quantised; its products are computed in bf16 where training has bf16.

    Raises:
        TunesmithError: bitsandbytes is not installed.
    """
    import torch

    from tasks.core import device
    from tasks.tuning.quantised import load_quantised

    compute = torch.bfloat16 if device.use_bf16(params.training.precision) else torch.float32
    return load_quantised(base, params.quantisation, compute)


def make_trainable(model: Any, base: BaseModel, params: QloraTraining, steps: int) -> Any:
    """Add LoRA to the quantised ``model``."""
    from peft import prepare_model_for_kbit_training

    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return add_lora(model, base, params.lora)


def load_merge_base(base: BaseModel, recorded: dict[str, Any]) -> Any:
    """Load the base model in fp32, with the weights that the quantised one computes with."""
    import torch

    from tasks.model.base_models import load_model
    from tasks.tuning.quantised import dequantised, load_quantised

    model = load_model(base, torch.float32)
    quantisation = QuantisationParams.model_validate(recorded["quantisation"])
    return dequantised(load_quantised(base, quantisation, torch.float32), model)


METHOD = Method(
    params=QloraTraining,
    make_trainable=make_trainable,
    load_base=load_base,
    load_merge_base=load_merge_base,
    quantisation=lambda params: params.quantisation,
    needs_exact_base=lambda params: params.lora.dora,  # the length of each column of the weights is computed
    optimizer_on_gpu="paged_adamw_32bit",  # it moves the moments out of a GPU's memory that runs short
    libraries=("bitsandbytes",),
    lighter=(),
)
