"""The work of ``tunesmith sign``: sign a version that was registered without a key."""

from __future__ import annotations

from pathlib import Path

from flows.by_hand import load_registration
from flows.commands.registered import address_of
from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError
from tasks.model.registered import find_version
from tasks.model.signatures import SIGNING_KEY, signing_key
from tasks.serving.signed import sign_model
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tracking.tag_names import WEIGHTS


def sign_version(root: Path, version: str | None) -> str:
    """Sign a version (None: the champion), and return its address.

    Raises:
        TunesmithError: no key is configured, there is no such version, or its files have changed since its evaluation.
    """
    if signing_key() is None:
        raise TunesmithError(f"sign: the environment variable {SIGNING_KEY} must name a private key; it is not set")
    tracker = open_store(root)
    with workspace_lock(root, "tunesmith sign"), readable_mlflow(tracker.uri):
        address = address_of(version, load_registration(root), tracker.client)
        signed = find_version(tracker.client, address)
        sign_model(tracker.client, str(signed.run_id), str(signed.tags[WEIGHTS]))
    return f"models:/{signed.name}/{signed.version}"
