"""A tuned model from its files, ready to answer. Methods differ in what they keep; what comes out does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.model.base_models import BaseModel, load_model
from tasks.model.unwrap import unwrapped
from tasks.tuning.methods import bottleneck
from tasks.tuning.methods.quantised import dequantised, load_quantised
from tasks.tuning.weights import SELECTED

SOFT = ("prompt_tuning", "prefix_tuning", "p_tuning")
"""Methods that put trained vectors before the input; nothing of them can be merged into weights."""


_OWN_WEIGHTS = ("full", "qlora")
"""Methods of whose weights nearly none are the base's."""

_PEFT = "base_model.model."
"""What peft puts before the names of the base's modules."""


def load_tuned(folder: Path, base: BaseModel, manifest: dict[str, Any], dtype: torch.dtype) -> Any:
    """The model in ``folder`` (with its ``manifest``) in ``dtype`` on this machine's device.

    Adapters that are sums with weights are merged in fp32 and then rounded once: no adapter arithmetic at every token.
    """
    method = manifest["method"]
    if method in ("none", "full"):
        return load_model(base, dtype, folder if method == "full" else None).to(device.device())
    model = load_model(base, torch.float32)
    if method == "qlora":
        found = manifest["params"]["quantisation"]
        quantised = load_quantised(base, found["bits"], found["kind"], found["double"], torch.float32)
        model = dequantised(quantised, model)
    return _cast(_put_on(model, folder, method), dtype).to(device.device())


class SharedBase:
    """One base model in memory, on which tuned models take turns. Worth it for two or more."""

    def __init__(self) -> None:
        self._of: tuple[BaseModel, torch.dtype] | None = None
        self._model: Any = None
        self._exact: dict[int, Tensor] = {}
        self._undo: Callable[[], None] | None = None

    def load_tuned(self, folder: Path, base: BaseModel, manifest: dict[str, Any], dtype: torch.dtype) -> Any:
        """As the function ``load_tuned``, to the last bit.

        The model that was given before shares its weights and must not be used any more. Models of ``full`` and
        ``qlora`` are loaded apart, while the base stays.
        """
        if manifest["method"] in _OWN_WEIGHTS:
            return load_tuned(folder, base, manifest, dtype)
        if self._of != (base, dtype):
            self._load(base, dtype)
        elif self._undo is not None:
            self._undo()
        self._undo = None
        if manifest["method"] == "none":
            return self._model
        self._undo = self._lend(folder, manifest["method"])
        model = _put_on(self._model, folder, manifest["method"])
        return _cast(model, dtype).to(device.device())

    def _load(self, base: BaseModel, dtype: torch.dtype) -> None:
        self._model, self._exact, self._of = None, {}, None  # before the next is read: two may not fit
        model = load_model(base, torch.float32)
        for weight in model.parameters():
            if not torch.equal(weight.data.to(dtype).float(), weight.data):  # else it can be had from what stays
                self._exact[id(weight)] = weight.data
        self._model, self._of = _cast(model, dtype).to(device.device()), (base, dtype)

    def _lend(self, folder: Path, method: str) -> Callable[[], None]:
        """Let the weights that will change be exact copies, in fp32 and where ``load_tuned`` merges; what undoes it."""
        modules = _changed(self._model, folder, method)
        # Once each: weights may be tied, and modules lie in each other.
        weights = {id(weight): weight for module in modules.values() for weight in module.parameters()}
        own = {key: weight.data for key, weight in weights.items()}
        for key, weight in weights.items():
            weight.data = self._exact.get(key, weight.data).to("cpu", torch.float32, copy=True)

        def undo() -> None:
            bottleneck.detach(self._model)
            for place, module in modules.items():
                self._model.set_submodule(place, module)
            for key, weight in weights.items():
                weight.data = own[key]

        return undo


def soft_prompt(model: Any) -> Any:
    """The configuration of the virtual tokens that ``model`` puts before its input; None where there are none."""
    config = getattr(model, "active_peft_config", None)
    return config if config is not None and config.is_prompt_learning else None


def _put_on(model: Any, folder: Path, method: str) -> Any:
    """What was trained onto the base, or onto what stands for it."""
    if method == "selective":
        _put(load_file(folder / SELECTED), model, folder / SELECTED)
        return model
    if method == "adapter":
        bottleneck.load(model, folder)
        return model
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, str(folder))
    return model if method in SOFT else model.merge_and_unload()


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """In ``dtype``, but for what ``from_pretrained`` leaves in fp32 too: what the model's class names, and buffers that
    no file holds. Rotary frequencies rounded to bf16 are up to 0.4 % wrong: at the 500th token as much as 0.7 radians.
    """
    named = getattr(unwrapped(model), "_keep_in_fp32_modules_strict", None) or ()
    exact = re.compile("|".join(part.replace("*", ".*") for part in named) or "$^")
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and not exact.search(name):
            tensor.data = tensor.data.to(dtype)
    return model


def _changed(model: Any, folder: Path, method: str) -> dict[str, Any]:
    """Modules of the base whose weights the files in ``folder`` change, by name."""
    if method in SOFT or method == "adapter":
        return {}
    with safe_open(folder / (SELECTED if method == "selective" else bottleneck.WEIGHTS), "pt") as file:
        names = [name.removeprefix(_PEFT).split(".") for name in sorted(file.keys())]
    modules = dict(model.named_modules())
    beginnings = ([".".join(name[:count]) for count in range(len(name) - 1, 0, -1)] for name in names)
    found = (next((begin for begin in mine if begin in modules), "") for mine in beginnings)
    return {name: modules[name] for name in dict.fromkeys(found) if name}


def _put(weights: dict[str, Any], model: Any, path: Path) -> None:
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown or not weights:
        raise TunesmithError(
            f"{path}: must hold weights of {type(model).__name__}; it holds {unknown[0] if unknown else 'none'}; "
            "restore the file (`dvc checkout`) or train again"
        )
