"""Pin registered base models in ``params/bases.yaml``: at first use, and when data or parameters change."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tasks.ancestry.build import ensure_built, refuse_unmergeable, version_manifest
from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.model.base_models import BaseModel, BaseModelParams, find, params_of
from tasks.model.registered import has_alias, is_registered, original_of, refuse_malformed
from tasks.resolve.check import load_experiments, mapping
from tasks.resolve.pins import SECTION, Pin, load_pins
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tuning.untrained import is_trained

Say = Callable[[str], None]

_HEAD = """\
# The versions of registered base models that experiments are tuned from. `tunesmith run` writes this file; commit it.
"""


def available_base(params: BaseModelParams, root: Path) -> BaseModel:
    """The base model; a registered version is built, and a hub model fetched, if this machine has not done so.

    Raises:
        TunesmithError: as ``find`` and ``ensure_built``.
    """
    ensure_built(params, root)
    return find(params, root)


def users(paths: Paths) -> dict[str, str]:
    """Experiment → address of its registered base model, as its parameters name it.

    Experiments that train nothing and take the base of the defaults are left out: they evaluate the original base.
    """
    entries, addresses = mapping(paths.params / "experiments.yaml", "experiments"), {}
    for name, resolved in load_experiments(paths, pins={}).items():
        base = str(resolved.train["base_model"]["name"])
        if is_registered(base) and (is_trained(entries[name]["method"]) or entries[name].get("base_model")):
            refuse_malformed(base)
            addresses[name] = base
    return addresses


def pin_bases(
    root: Path, say: Say, within: Collection[str] | None = None, changed: Collection[str] | None = None
) -> bool:
    """Pin what is not pinned yet; with ``changed``, also update the pins of these experiments.

    A promotion moves the alias. If that alone updated the pin, each run would tune its predecessor's champion further
    on the same rows. So a pin is updated only if data or parameters make the experiment train. An experiment that
    trains nothing follows the alias.

    Args:
        say: gets a line per pin that changes, or that stays although its alias has moved.
        within: the experiments of this run; None means all.
        changed: experiments whose data or parameters make them train; None updates no pin.

    Returns: whether a pin has changed.

    Raises:
        TunesmithError: MLflow has no version for an experiment without a pin, or it cannot be a base model.
    """
    paths = Paths(root)
    used, pins = users(paths), load_pins(paths)
    file = paths.params / "bases.yaml"
    new = {
        name: address
        for name, address in used.items()
        if (within is None or name in within)
        and (name not in pins or pins[name].model != address or (changed is not None and has_alias(address)))
    }
    if not new:
        if not file.exists():
            _write(file, pins)
        return False
    entries, updated = mapping(paths.params / "experiments.yaml", "experiments"), False
    tracker = open_store(root)
    with readable_mlflow(tracker.uri):
        for name, address in new.items():
            before = pins.get(name)
            known = before is not None and before.model == address
            try:
                pin = _current_pin(address, tracker.client)
            except TunesmithError as error:
                if not known:
                    raise
                say(f"{name}: the pinned base stays: {error}")
                continue
            if pin == before:
                continue
            if known and before is not None and is_trained(entries[name]["method"]) and name not in (changed or ()):
                say(
                    f"{name}: {address} is now version {pin.version}; its base stays version {before.version} until "
                    "its data or parameters change"
                )
                continue
            say(f"{name}: its base is version {pin.version} of {address}; commit params/bases.yaml")
            pins[name], updated = pin, True
    if updated:
        _write(file, {name: pin for name, pin in pins.items() if name in used})
    return updated


def _current_pin(address: str, client: Any) -> Pin:
    with tempfile.TemporaryDirectory() as temporary:
        version, _, manifest = version_manifest(address, client, Path(temporary))
    refuse_unmergeable(address, manifest["method"])
    original = params_of(original_of(manifest["base_model"]))
    return Pin(model=address, version=version, revision=manifest["weights_sha256"][:40], original=original)


def _write(path: Path, pins: dict[str, Pin]) -> None:
    entries = {name: pin.model_dump(exclude_none=True) for name, pin in sorted(pins.items())}
    with replacing(path) as temporary:
        write_yaml(temporary, {SECTION: entries})
        temporary.write_text(_HEAD + temporary.read_text(encoding="utf-8"), encoding="utf-8")
