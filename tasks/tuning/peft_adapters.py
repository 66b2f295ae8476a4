"""What the methods of peft share: targets, and the files of an adapter. Its functions import torch and peft."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.model.base_models import BaseModel
from tasks.tuning.layer_names import ATTENTION_LAYERS
from tasks.tuning.method_params import EXPERIMENTS, Targets

if TYPE_CHECKING:
    from peft import TaskType

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
BASE_PREFIX = "base_model.model."
"""Peft writes it before the names of the base model's modules."""


def task_type(base: BaseModel) -> TaskType:
    """Return peft's name of the kind of model that ``base`` is."""
    from peft import TaskType

    return TaskType.SEQ_2_SEQ_LM if base.kind == "seq2seq" else TaskType.CAUSAL_LM


def add_adapter(model: Any, config: Any, base: BaseModel, key: str, targets: list[str] | str | None) -> Any:
    """Add the adapter that peft's ``config`` describes to ``model``.

    Args:
        model: the base model.
        config: holds ``targets`` as its target modules.
        base: what ``model`` is.
        key: the parameter that holds ``targets``, for errors.
        targets: names of layers; ``all-linear``; None for peft's choice.

    Raises:
        TunesmithError: the model has no such layers, or peft does not know the architecture.
    """
    import torch
    from peft import get_peft_model

    modules = dict(model.named_modules())
    linear = (name.split(".")[-1] for name, module in modules.items() if isinstance(module, torch.nn.Linear))
    known = ", ".join(sorted(set(linear)))
    # Of several names, peft accepts that some match no layer.
    for target in targets if isinstance(targets, list) else []:
        if not any(f".{name}".endswith(f".{target}") for name in modules):
            raise TunesmithError(
                f"{EXPERIMENTS}: {key}: {target!r} must be a layer of {base.spec}; its linear layers: {known}"
            )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise TunesmithError(
            f"{EXPERIMENTS}: {key}: {targets} does not fit {base.spec}; name some of its linear layers: {known} "
            f"({str(error).split('.')[0]})"
        ) from None


def target_modules(model: Any, targets: Targets, key: str) -> list[str] | str | None:
    """Return ``target_modules`` of a peft config; peft does not know ``attention``, for which names are looked up.

    Raises:
        TunesmithError: the model has no attention with a known name; ``key`` is the parameter that it names.
    """
    if targets != "attention":
        return targets
    import torch
    from transformers.pytorch_utils import Conv1D

    linear = [name.split(".") for name, m in model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)]
    names = set()
    for parts in linear:
        # The name starts at the attention module: GPT-2 has a `c_proj` in the feed-forward block as well.
        attention = [depth for depth, part in enumerate(parts[:-1]) if part in ATTENTION_LAYERS]
        names |= {".".join(parts[depth:]) for depth in attention[:1]}
    if not names:
        raise TunesmithError(
            f"{EXPERIMENTS}: {key}: attention must have a name that is known here; {type(model).__name__} has none of "
            f"{', '.join(sorted(ATTENTION_LAYERS))}; write all-linear, or some of its linear layers: "
            f"{', '.join(sorted({parts[-1] for parts in linear}))}"
        )
    return sorted(names)


def save(model: Any, params: Any, folder: Path) -> None:
    """Write the adapter of ``model``: its weights and ``CONFIG``. Equal adapters are equal files on every machine."""
    name = params.base_model.name
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    # Peft writes the path of this machine's cache, and sets in an order that changes from process to process.
    config = files.read_json(folder / CONFIG) | {"base_model_name_or_path": name}
    files.write_json(folder / CONFIG, {k: sorted(v) if isinstance(v, list) else v for k, v in config.items()})


def load_merged(model: Any, folder: Path) -> Any:
    """Load the adapter in ``folder`` and merge it into the weights of ``model``."""
    return load_beside(model, folder).merge_and_unload()


def load_beside(model: Any, folder: Path) -> Any:
    """Load the adapter in ``folder`` beside the weights of ``model``."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(folder))
