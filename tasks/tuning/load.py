"""Load a tuned model from its files, ready to generate. Methods keep different files, but all load in the same way."""

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
    """Load the model in ``folder``, which ``manifest`` describes, in ``dtype`` onto this machine's device.

    Adapters that can be merged are merged in fp32 and then rounded once, so that generation does no adapter arithmetic.
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
    """One base model in memory that several tuned models use in turn."""

    def __init__(self) -> None:
        self._of: tuple[BaseModel, torch.dtype] | None = None
        self._model: Any = None
        self._exact: dict[int, Tensor] = {}
        self._undo: Callable[[], None] | None = None

    def load_tuned(self, folder: Path, base: BaseModel, manifest: dict[str, Any], dtype: torch.dtype) -> Any:
        """Load a model that is bit-identical to that of the function ``load_tuned``.

        It shares its weights with the model loaded before, which must not be used any more. A model that cannot share
        the base model is loaded separately.
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
        self._model, self._exact, self._of = None, {}, None  # free memory first: two base models may not fit
        model = load_model(base, torch.float32)
        for weight in model.parameters():
            if not torch.equal(weight.data.to(dtype).float(), weight.data):  # else fp32 can be restored from ``dtype``
                self._exact[id(weight)] = weight.data
        self._model, self._of = _cast(model, dtype).to(device.device()), (base, dtype)

    def _lend(self, folder: Path, method: Method[Any]) -> Callable[[], None]:
        """Replace the weights that merging changes by exact copies: fp32, on the CPU, where ``load_tuned`` merges.

        Return the function that undoes this and what the method adds.
        """
        modules = _merged_modules(self._model, folder, method)
        # By id, so that each is copied once: weights may be tied, and modules may be nested.
        weights = {id(weight): weight for module in modules.values() for weight in module.parameters()}
        originals = {key: weight.data for key, weight in weights.items()}
        for key, weight in weights.items():
            weight.data = self._exact.get(key, weight.data).to("cpu", torch.float32, copy=True)

        def undo() -> None:
            method.remove(self._model)
            for name, module in modules.items():
                self._model.set_submodule(name, module)
            for key, weight in weights.items():
                weight.data = originals[key]

        return undo


def soft_prompt(model: Any) -> Any:
    """Return peft's configuration of the virtual tokens of ``model``; None if it has none."""
    config = getattr(model, "active_peft_config", None)
    return config if config is not None and config.is_prompt_learning else None


def _cast(model: Any, dtype: torch.dtype) -> Any:
    """Cast ``model`` to ``dtype``, except for what ``from_pretrained`` keeps in fp32 as well.

    These are the layers that the model's class names, and the buffers that no file holds. Rotary frequencies rounded to
    bf16 are up to 0.4 % wrong: up to 0.7 radians at token 500.
    """
    kept = getattr(unwrapped(model), "_keep_in_fp32_modules_strict", None) or ()
    exact = re.compile("|".join(part.replace("*", ".*") for part in kept) or "$^")
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and not exact.search(name):
            tensor.data = tensor.data.to(dtype)
    return model


def _merged_modules(model: Any, folder: Path, method: Method[Any]) -> dict[str, Any]:
    """Return the modules of the base model, by name, whose weights merging the files in ``folder`` changes."""
    if not method.merges:
        return {}
    with safe_open(folder / method.weights_file, "pt") as file:
        names = [name.removeprefix(BASE_PREFIX).split(".") for name in sorted(file.keys())]
    modules = dict(model.named_modules())
    # The owner of a weight is the module with the longest prefix of its name.
    prefixes = ([".".join(name[:count]) for count in range(len(name) - 1, 0, -1)] for name in names)
    owners = (next((name for name in candidates if name in modules), "") for candidates in prefixes)
    return {name: modules[name] for name in dict.fromkeys(owners) if name}
