"""The work of ``tunesmith merge``: write a registered adapter as a whole model, with the proof as lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flows.by_hand import load_registration
from flows.commands.registered import address_of, registered_model
from tasks.core.paths import Paths
from tasks.serving.merge import Compared, merge
from tasks.tracking.client import open_store, readable_mlflow

Say = Callable[[str], None]


def merge_version(root: Path, version: str | None, output: Path, note: Say) -> list[str]:
    """Merge a version (None: the champion) into the new folder ``output``; return the lines of the proof.

    Raises:
        TunesmithError: there is no such version, or as ``tasks.serving.merge.merge``.
    """
    params = load_registration(root)
    tracker = open_store(root)
    with readable_mlflow(tracker.uri):
        address = address_of(version, params, tracker.client)
    with registered_model(Paths(root), address, note) as folder:
        result = merge(folder, root, output)
    lines = [
        f"{output}: {_mb(result.whole_bytes)}; the adapter is {_mb(result.adapter_bytes)}",
        f"merged against unmerged: {_shown(result.proof)}",
    ]
    if result.drift is not None:
        lines += [
            "training quantised the base; the merged model has the dequantised weights, as training computed with them",
            f"against the original, unquantised base: {_shown(result.drift)}",
        ]
    return lines


def _shown(compared: Compared) -> str:
    return (
        f"{compared.same_outputs} of {compared.prompts} greedy outputs are equal; log probabilities differ by at most "
        f"{compared.largest:.2g} nats"
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
