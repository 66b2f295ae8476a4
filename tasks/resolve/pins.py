"""Pins of registered base models: the version and the weights that an experiment's ``models:/NAME@ALIAS`` stands for.

``params/bases.yaml`` holds one pin per experiment under ``registered``. ``tunesmith run`` writes it (``flows.bases``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tasks.core.params import Params, load, parse, read_yaml
from tasks.core.paths import Paths
from tasks.model.base_models import BaseModelParams
from tasks.model.registered import ADDRESS, SCHEME

SECTION = "registered"


class Pin(Params):
    """``registered.EXPERIMENT`` of ``params/bases.yaml``.

    Attributes:
        model: the address as the parameters name it; a pin for another address counts as none.
        version: number of the version.
        revision: start of the hash of its weights (40 hex digits).
        original: the original base model of its ancestors, which is untuned.
    """

    model: str
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
    return {name: parse(Pin, entry, path, f"{SECTION}.{name}") for name, entry in entries.items()}


def pinned(base: dict[str, Any], name: str, own_base: bool, trained: bool, pins: Pins) -> dict[str, Any]:
    """The ``base_model`` of an experiment with the pinned version; unchanged if it is not registered or not pinned.

    Args:
        name: the experiment.
        own_base: whether the experiment names the base model itself, not only the defaults.
        trained: whether the experiment trains. One that does not, and names no base itself, evaluates the original
            base: it is what all generations are compared with.
    """
    if not trained and not own_base:
        return default_base(base, pins)
    pin = pins.get(name)
    if pin is None or pin.model != base["name"]:
        return base
    parts = ADDRESS.fullmatch(pin.model)
    assert parts is not None
    return base | {"name": f"{SCHEME}{parts['name']}/{pin.version}", "revision": pin.revision}


def default_base(base: dict[str, Any], pins: Pins) -> dict[str, Any]:
    """The original base model of a registered ``base``; unchanged if it is not registered or not pinned."""
    same = next((pin for pin in pins.values() if pin.model == base["name"]), None)
    return same.original.model_dump(exclude_none=True) if same else base


def load_default_base(paths: Paths) -> BaseModelParams:
    """``defaults.base_model`` of ``params/training.yaml``; of a registered model, the original base.

    Raises:
        TunesmithError: the parameters are wrong.
    """
    file = paths.params / "training.yaml"
    given = load(BaseModelParams, file, "defaults", "base_model")
    return BaseModelParams.model_validate(default_base(given.model_dump(exclude_none=True), load_pins(paths)))
