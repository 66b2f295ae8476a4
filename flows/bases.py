"""Pin registered base models in ``params/bases.yaml``: at first use, and when data or parameters change."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tasks.ancestry.build import refuse_unmergeable, version_manifest
from tasks.core.files import replacing
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.model.base_models import params_of
from tasks.model.registered import is_registered, original_of, refuse_malformed
from tasks.resolve.check import load_experiments
from tasks.resolve.pins import SECTION, Pin, load_pins
from tasks.tracking.client import open_store, readable_mlflow

Say = Callable[[str], None]

_HEAD = """\
# The versions of registered base models that experiments are tuned from. `tunesmith run` writes this file; commit it.
"""


def users(paths: Paths) -> dict[str, list[str]]:
    """Address of each registered base model → the experiments whose parameters name it."""
    experiments: dict[str, list[str]] = {}
    for name, resolved in load_experiments(paths, pins={}).items():
        base = str(resolved.train["base_model"]["name"])
        if is_registered(base):
            refuse_malformed(base)
            experiments.setdefault(base, []).append(name)
    return experiments


def pin_bases(root: Path, say: Say, training: Collection[str] | None = None) -> bool:
    """Pin what is not pinned yet; with ``training``, also update the pins of these experiments' bases.

    A promotion moves the alias. If that alone updated the pin, each run would tune its predecessor's champion further
    on the same rows. So a pin is updated only if data or parameters make an experiment train.

    Returns: whether a pin has changed.

    Args:
        say: gets a line per pin that changes, or that stays although its alias has moved.
        training: experiments that this run will train; None updates no pin.

    Raises:
        TunesmithError: MLflow has no version with an address, or it cannot be a base model.
    """
    paths = Paths(root)
    used, pins = users(paths), load_pins(paths)
    wanted = (
        used if training is not None else {address: names for address, names in used.items() if address not in pins}
    )
    if not wanted:
        return False
    changed = False
    tracker = open_store(root)
    with readable_mlflow(tracker.uri):
        for address, names in wanted.items():
            pin, before = _current_pin(address, tracker.client), pins.get(address)
            if pin == before:
                continue
            if before is not None and not set(names) & set(training or ()):
                say(
                    f"{address} is now version {pin.version}; these experiments keep version {before.version} as their "
                    f"base until their data or parameters change: {', '.join(names)}"
                )
                continue
            say(f"{address}: version {pin.version} is the base of {', '.join(names)}; commit params/bases.yaml")
            pins[address], changed = pin, True
    if changed:
        _write(paths.params / "bases.yaml", pins)
    return changed


def _current_pin(address: str, client: Any) -> Pin:
    with tempfile.TemporaryDirectory() as temporary:
        version, _, manifest = version_manifest(address, client, Path(temporary))
    refuse_unmergeable(address, manifest["method"])
    original = params_of(original_of(manifest["base_model"]))
    return Pin(version=version, revision=manifest["weights_sha256"][:40], original=original)


def _write(path: Path, pins: dict[str, Pin]) -> None:
    entries = {address: pin.model_dump(exclude_none=True) for address, pin in sorted(pins.items())}
    with replacing(path) as temporary:
        write_yaml(temporary, {SECTION: entries})
        temporary.write_text(_HEAD + temporary.read_text(encoding="utf-8"), encoding="utf-8")
