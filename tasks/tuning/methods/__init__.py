"""Which weights a method trains, and how what it trained is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tasks.core import device, files
from tasks.model.base_models import BaseModel, load_model
from tasks.tuning import causal_attention, fused
from tasks.tuning.activations import recompute
from tasks.tuning.method_params import EXPERIMENTS
from tasks.tuning.methods import bottleneck, peft_methods, selective
from tasks.tuning.params import TrainParams
from tasks.tuning.weights import SELECTED, save_weights

Loader = Callable[[BaseModel, torch.dtype], Any]


def prepare(base: BaseModel, params: TrainParams, steps: int, load: Loader = load_model) -> Any:
    """``trainable``, made to compute as fast as this processor allows; what is frozen may be in bf16.

    Raises:
        TunesmithError: as ``trainable``, or the model cannot compute activations again.
    """
    model = trainable(base, params, steps, load)
    if params.training is not None:
        _speed_up(model, base, params, device.use_bf16(params.training.precision))
        if params.training.activation_checkpointing:
            recompute(model, f"{EXPERIMENTS}: training.activation_checkpointing")
    return model


def _speed_up(model: Any, base: BaseModel, params: TrainParams, bf16: bool) -> None:
    fused.fuse(model)
    if base.kind == "causal":
        causal_attention.use(model)
    exact = params.lora is not None and params.lora.dora  # it computes the length of each column of the weights
    if bf16 and not params.sharded and not exact:
        fused.cast_frozen_to_bf16(model)


def trainable(base: BaseModel, params: TrainParams, steps: int, load: Loader = load_model) -> Any:
    """The base model as ``transformers`` and peft have it, with the weights of ``params.method`` trainable, in fp32.

    ``steps``: optimizer steps of the whole training, which AdaLoRA divides. ``load``: gives the base model.

    Raises:
        TunesmithError: what the parameters name is not in this model.
    """
    if params.method == "qlora":
        return peft_methods.qlora(base, params)
    model = load(base, torch.float32)
    if params.method == "full":
        return model
    if params.method == "selective":
        assert params.selective is not None
        selective.select(model, params.selective, f"{EXPERIMENTS}: selective", base.spec)
        return model
    if params.method == "adapter":
        assert params.adapter is not None
        bottleneck.attach(model, params.adapter.size, params.adapter.targets, f"{EXPERIMENTS}: adapter.targets")
        return model
    return peft_methods.METHODS[params.method](model, base, params, steps)


def count_parameters(model: Any) -> tuple[int, int]:
    """(trainable, total) parameters; of a quantised weight the number that it stands for."""
    sizes = [(_count(p), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trainable in sizes if trainable), sum(n for n, _ in sizes)


def _count(parameter: Any) -> int:
    state = getattr(parameter, "quant_state", None)  # two 4-bit numbers in a byte
    return int(parameter.numel()) if state is None else int(torch.Size(state.shape).numel())


def save(model: Any, params: TrainParams, folder: Path) -> None:
    """Write what was trained into the folder that ``tasks.tuning.load.load_tuned`` reads."""
    if params.method == "selective":
        save_weights(model, folder / SELECTED)
    elif params.method == "adapter":
        assert params.adapter is not None
        save_weights(model, folder / bottleneck.WEIGHTS)
        files.write_json(folder / bottleneck.CONFIG, bottleneck.described(params.adapter.model_dump()))
    elif params.method == "full":
        model.save_pretrained(folder)
    else:
        _save_peft(model, params, folder)


def _save_peft(model: Any, params: TrainParams, folder: Path) -> None:
    config = model.peft_config["default"]
    if params.method == "adalora":
        config.rank_pattern = None  # the weights hold the zeros of what was pruned, and load without it
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    # Equal adapters must hash equal on every machine: peft writes the folder of this one's cache, and sets in an
    # order that changes from process to process.
    path = folder / "adapter_config.json"
    written = files.read_json(path) | {"base_model_name_or_path": params.base_model.name}
    files.write_json(path, {k: sorted(v) if isinstance(v, list) else v for k, v in written.items()})
