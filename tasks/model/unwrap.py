"""Access the model of ``transformers`` inside its wrappers, and restrict its output layer to some positions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def unwrapped(model: Any) -> Any:
    """Return the model of ``transformers`` without the wrappers of peft and of distributed training."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def output_only_at(model: Any, positions: Tensor) -> Iterator[None]:
    """Compute the output layer only at ``positions`` (B, T), a mask."""

    def keep(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        # Virtual tokens of a soft prompt come before the tokens of the rows.
        hidden_BTH = args[0][:, -positions.shape[1] :]
        return (hidden_BTH[positions],)

    handle = unwrapped(model).get_output_embeddings().register_forward_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()
