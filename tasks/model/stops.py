"""The tokens at which a model stops generating."""

from __future__ import annotations

from typing import Any

from tasks.model.rendering import Renderer
from tasks.model.unwrap import unwrapped


def stop_tokens(model: Any, renderer: Renderer) -> list[int]:
    """Return the end tokens of the rendering, and those that the model's own ``generation_config`` names.

    Llama 3 and Gemma, for example, name there the tokens that close a turn.
    """
    return sorted({*renderer.stops, *_own(model)})


def name_stops(model: Any, renderer: Renderer) -> None:
    """Name all stop tokens in the model's ``generation_config``, so that other programs stop there as well."""
    stops = stop_tokens(model, renderer)
    if len(stops) > 1:
        unwrapped(model).generation_config.eos_token_id = stops


def _own(model: Any) -> list[int]:
    own = getattr(unwrapped(model).generation_config, "eos_token_id", None)
    return [own] if isinstance(own, int) else list(own or [])
