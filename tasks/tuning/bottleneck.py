"""Bottleneck adapters (Houlsby et al. 2019): a narrow layer after attention and after feed-forward.

Peft does not have this method. The files have peft's names, so that code which copies adapters copies these as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.tuning.layer_names import ATTENTION, FEED_FORWARD
from tasks.tuning.peft_adapters import CONFIG, WEIGHTS
from tasks.tuning.weights import save_weights

_NAME = "bottleneck"


class Bottleneck(nn.Module):
    """``x + up(gelu(down(x)))`` over the last axis; the identity before training."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.normal_(self.down.weight, std=0.01)
        for weight in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(weight)

    def forward(self, hidden: Tensor) -> Tensor:
        added: Tensor = self.up(nn.functional.gelu(self.down(hidden)))
        return hidden + added.to(hidden.dtype)


def attach(model: Any, size: int, targets: list[str] | None, where: str) -> None:
    """Add a bottleneck after every module of ``model`` whose name is in ``targets``, and freeze all other weights.

    Args:
        model: the base model.
        size: width of the bottlenecks.
        targets: last parts of the names of modules; None for attention and feed-forward of a known architecture.
        where: file and key of ``targets``, for errors.

    Raises:
        TunesmithError: the model has no such module, or its architecture is not known.
    """
    model.requires_grad_(False)
    modules = _target_modules(model, targets, where)
    width = model.config.get_text_config().hidden_size
    device = model.get_input_embeddings().weight.device
    for module in modules:
        module.add_module(_NAME, Bottleneck(width, size).to(device))
        module.bottleneck_hook = module.register_forward_hook(_through_bottleneck)


def detach(model: Any) -> None:
    """Remove the bottlenecks that ``attach`` added."""
    for module in [m for m in model.modules() if hasattr(m, _NAME)]:
        module.bottleneck_hook.remove()
        del module.bottleneck_hook
        delattr(module, _NAME)


def _through_bottleneck(module: Any, args: Any, output: Any) -> Any:
    if isinstance(output, tuple):  # attention returns its output first
        return (module.bottleneck(output[0]), *output[1:])
    return module.bottleneck(output)


def _target_modules(model: Any, targets: list[str] | None, where: str) -> list[Any]:
    modules = [(name.split(".")[-1], module) for name, module in model.named_modules() if name]
    present = {name for name, _ in modules}
    if targets is None:
        wanted = (ATTENTION | FEED_FORWARD) & present
        if not (wanted & ATTENTION and wanted & FEED_FORWARD):
            raise TunesmithError(
                f"{where}: the attention and feed-forward modules of {type(model).__name__} are not known; name "
                f"modules here, out of: {', '.join(sorted(present))}"
            )
    else:
        wanted = set(targets)
        if missing := sorted(wanted - present):
            raise TunesmithError(
                f"{where}: {missing[0]!r} must be a module of {type(model).__name__}; there are: "
                f"{', '.join(sorted(present))}"
            )
    return [module for name, module in modules if name in wanted]


def save(model: Any, settings: dict[str, Any], folder: Path) -> None:
    """Write the bottlenecks of ``model`` to ``folder``; ``settings`` are the ``size`` and ``targets`` of ``attach``."""
    save_weights(model, folder / WEIGHTS)
    files.write_json(folder / CONFIG, {"peft_type": "BOTTLENECK", **settings})


def load(model: Any, folder: Path) -> None:
    """Add the bottlenecks in ``folder`` to ``model``.

    Raises:
        TunesmithError: the file holds the bottlenecks of another model.
    """
    settings = files.read_json(folder / CONFIG)
    attach(model, settings["size"], settings["targets"], str(folder / CONFIG))
    weights = load_file(folder / WEIGHTS)
    own = {n for n, _ in model.named_parameters() if f".{_NAME}." in n}
    if own != set(weights):
        raise TunesmithError(
            f"{folder / WEIGHTS}: must hold the bottlenecks of {type(model).__name__}; it holds those of "
            "another model; restore the file (`dvc checkout`) or train again"
        )
    model.load_state_dict(weights, strict=False)
