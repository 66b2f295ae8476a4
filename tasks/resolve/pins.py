"""Pins of registered base models: version and weights that ``models:/NAME@ALIAS`` stands for until a run moves it.

``params/bases.yaml`` holds them under ``registered``, by address. ``tunesmith run`` writes the file (``flows.bases``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tasks.core.params import Params, parse, read_yaml
from tasks.core.paths import Paths
from tasks.model.base_models import BaseModelParams
from tasks.model.registered import ADDRESS, SCHEME

SECTION = "registered"


class Pin(Params):
    """``registered.ADDRESS`` of ``params/bases.yaml``.

    Attributes:
        version: number of the version.
        revision: start of the hash of its weights (40 hex digits).
        original: the original base model of its ancestors, which is untuned.
    """

    version: int = Field(ge=1)
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    original: BaseModelParams


Pins = Mapping[str, Pin]


def load_pins(paths: Paths) -> dict[str, Pin]:
    """Read ``params/bases.yaml``; no pins if the workspace has no such file.

    Raises:
        TunesmithError: an entry is wrong.
    """
    path = paths.params / "bases.yaml"
    entries = (read_yaml(path).get(SECTION) or {}) if path.exists() else {}
    return {address: parse(Pin, entry, path, f"{SECTION}.{address}") for address, entry in entries.items()}


def pinned(train: dict[str, Any], own_base: bool, trained: bool, pins: Pins) -> dict[str, Any]:
    """``train`` with the pinned version in ``base_model``; unchanged if the base is not registered or not pinned.

    Args:
        own_base: whether the experiment names the base model itself, not only the defaults.
        trained: whether the experiment trains. One that does not, and names no base itself, evaluates the original
            base: it is what all generations are compared with.
    """
    base = train["base_model"]
    pin = pins.get(base["name"])
    if pin is None:
        return train
    if not trained and not own_base:
        return train | {"base_model": pin.original.model_dump(exclude_none=True)}
    parts = ADDRESS.fullmatch(base["name"])
    assert parts is not None
    return train | {"base_model": base | {"name": f"{SCHEME}{parts['name']}/{pin.version}", "revision": pin.revision}}
