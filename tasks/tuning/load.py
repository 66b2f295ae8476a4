"""Load a tuned model from its files, ready to generate. Methods keep different files; all load alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from tasks.core import device
from tasks.model.base_models import BaseModel, load_model
from tasks.model.unwrap import unwrapped
from tasks.tuning import methods
from tasks.tuning.method import Method
from tasks.tuning.peft_adapters import BASE_PREFIX


def load_tuned(folder: Path, base: BaseModel, manifest: dict[str, Any], dtype: torch.dtype) -> Any:
    """Load the model in ``folder`` (with its ``manifest``) in ``dtype`` to this machine's device.

    Adapters that are sums with weights are merged in fp32 and then rounded once: no adapter arithmetic at every token.
    """
    method = methods.named(manifest["method"])
    if method.restore is None:
        return load_model(base, dtype, folder if method.saves_whole_model else None).to(device.device())
    if method.load_merge_base is None:
        model = load_model(base, torch.float32)
    else:
        model = method.load_merge_base(base, manifest["params"])
    return _cast(method.restore(model, folder), dtype).to(device.device())


class SharedBase:
    """One base model in memory, on which tuned models take turns. Worth it for two or more."""

    def __init__(self) -> None:
        self._of: tuple[BaseModel, torch.dtype] | None = None
        self._model: Any = None
        self._exact: dict[int, Tensor] = {}
        self._undo: Callable[[], None] | None = None

    def load_tuned(self, folder: Path, base: BaseModel, manifest: dict[str, Any], dtype: torch.dtype) -> Any:
        """As the function ``load_tuned``, to the last bit.

        The model that was loaded before shares its weights and must not be used any more. A model that cannot share
        the base is loaded apart, while the base stays.
        """
        method = methods.named(manifest["method"])
        if not method.shares_base:
            return load_tuned(folder, base, manifest, dtype)
        if self._of != (base, dtype):
            self._load(base, dtype)
        elif self._undo is not None:
            self._undo()
        self._undo = None
        if method.restore is None:
            return self._model
        self._undo = self._lend(folder, method)
        return _cast(method.restore(self._model, folder), dtype).to(device.device())

    def _load(self, base: BaseModel, dtype: torch.dtype) -> None:
        self._model, self._exact, self._of = None, {}, None  # before the next is read: two may not fit
        model = load_model(base, torch.float32)
        for weight in model.parameters():
            if not torch.equal(weight.data.to(dtype).float(), weight.data):  # else it can be had from what stays
                self._exact[id(weight)] = weight.data
        self._model, self._of = _cast(model, dtype).to(device.device()), (base, dtype)

    def _lend(self, folder: Path, method: Method[Any]) -> Callable[[], None]:
        """Let the weights that will change be exact copies, in fp32 and where ``load_tuned`` merges; what undoes it."""
        modules = _merged_modules(self._model, folder, method)
        # Once each: weights may be tied, and modules lie in each other.
        weights = {id(weight): weight for module in modules.values() for weight in module.parameters()}
        own = {key: weight.data for key, weight in weights.items()}
        for key, weight in weights.items():
            weight.data = self._exact.get(key, weight.data).to("cpu", torch.float32, copy=True)

        def undo() -> None:
            method.remove(self._model)
            for name, module in modules.items():
                self._model.set_submodule(name, module)
            for key, weight in weights.items():
                weight.data = own[key]

        return undo


def soft_prompt(model: Any) -> Any:
    """The configuration of the virtual tokens that ``model`` puts before its input; None where there are none."""
    config = getattr(model, "active_peft_config", None)
    return config if config is not None and config.is_prompt_learning else None


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


def _merged_modules(model: Any, folder: Path, method: Method[Any]) -> dict[str, Any]:
    """Modules of the base model whose weights merging the files in ``folder`` changes, by name."""
    if not method.merges:
        return {}
    with safe_open(folder / method.weights_file, "pt") as file:
        names = [name.removeprefix(BASE_PREFIX).split(".") for name in sorted(file.keys())]
    modules = dict(model.named_modules())
    # The longest beginning of a weight's name that names a module.
    beginnings = ([".".join(name[:count]) for count in range(len(name) - 1, 0, -1)] for name in names)
    owners = (next((name for name in candidates if name in modules), "") for candidates in beginnings)
    return {name: modules[name] for name in dict.fromkeys(owners) if name}
