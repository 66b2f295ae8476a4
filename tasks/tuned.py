"""A tuned model from its files, ready to answer. Methods differ in what they keep; what comes out does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tasks import bottleneck, device
from tasks.base_models import BaseModel, load_model
from tasks.errors import TunesmithError
from tasks.quantised import dequantised, load_quantised

SOFT = ("prompt_tuning", "prefix_tuning", "p_tuning")
"""Methods that put trained vectors before the input; nothing of them can be merged into weights."""

SELECTED = "selected.safetensors"
"""Of method ``selective``: the weights that were trained, under the names of the base model."""


def load_tuned(folder: Path, base: BaseModel, manifest: dict[str, Any], dtype: torch.dtype) -> Any:
    """The model in ``folder`` (with its ``manifest``) in ``dtype`` on this machine's device.

    Adapters that are sums with weights are merged in fp32 and then rounded once: no adapter arithmetic at every token.
    """
    method = manifest["method"]
    if method in ("none", "full"):
        return load_model(base, dtype, folder if method == "full" else None).to(device.device())
    model = load_model(base, torch.float32)
    if method == "selective":
        _put(load_file(folder / SELECTED), model, folder / SELECTED)
    elif method == "adapter":
        bottleneck.load(model, folder)
    else:
        from peft import PeftModel

        if method == "qlora":
            found = manifest["params"]["quantisation"]
            quantised = load_quantised(base, found["bits"], found["kind"], found["double"], torch.float32)
            model = dequantised(quantised, model)
        model = PeftModel.from_pretrained(model, str(folder))
        if method not in SOFT:
            model = model.merge_and_unload()
    return model.to(dtype).to(device.device())


def soft_prompt(model: Any) -> Any:
    """The configuration of the virtual tokens that ``model`` puts before its input; None where there are none."""
    config = getattr(model, "active_peft_config", None)
    return config if config is not None and config.is_prompt_learning else None


def _put(weights: dict[str, Any], model: Any, path: Path) -> None:
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown or not weights:
        raise TunesmithError(
            f"{path}: must hold weights of {type(model).__name__}; it holds {unknown[0] if unknown else 'none'}; "
            "restore the file (`dvc checkout`) or train again"
        )
