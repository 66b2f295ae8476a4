"""The work of ``tunesmith sign``: sign a version that was registered without a key."""

from __future__ import annotations

from pathlib import Path

from flows.by_hand import load_registration
from flows.commands.registered import address_of
from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError
from tasks.model.registered import find_version
from tasks.model.signatures import SIGNING_KEY, signing_key
from tasks.serving.package import make_servable
from tasks.serving.signed import sign_model
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tracking.tag_names import WEIGHTS


def sign_version(root: Path, version: str | None) -> str:
    """Sign a version (None: the champion), and return its address.

    Raises:
        TunesmithError: no key is configured, there is no such version, or its weights are not those of its tag.
    """
    if signing_key() is None:
        raise TunesmithError(
            f"sign: the environment variable {SIGNING_KEY} must name the PEM file of a private key, but is not set; "
            "docs/predict.md, Signatures, shows how to make a key"
        )
    tracker = open_store(root)
    with workspace_lock(root, "tunesmith sign"), readable_mlflow(tracker.uri):
        address = address_of(version, load_registration(root), tracker.client)
        signed = find_version(tracker.client, address)
        if WEIGHTS not in signed.tags:
            raise TunesmithError(f"sign: {address}: the gate must have registered the version; it has no tag {WEIGHTS}")
        make_servable(tracker.client, str(signed.run_id))  # an earlier release's code does not verify
        sign_model(tracker.client, str(signed.run_id), signed.tags[WEIGHTS])
    return f"models:/{signed.name}/{signed.version}"
