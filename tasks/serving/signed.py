"""Sign the model of a registered version, where MLflow keeps it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.paths import folder_of_uri
from tasks.model.registered import files_hash
from tasks.model.signatures import sign
from tasks.serving.package import MODEL
from tasks.tracking.tag_names import SYNCED

SIGNED = "tunesmith.signed"
"""Tag of a run whose model is signed: the value of the tag ``SYNCED`` at that time."""


def sign_model(client: Any, run_id: str, weights: str) -> None:
    """Sign the model in the run ``run_id``.

    Args:
        weights: hash of the weights that were evaluated; no others are signed.

    Raises:
        TunesmithError: the model has other weights, or the key cannot be used.
    """
    with tempfile.TemporaryDirectory() as temporary:
        here = folder_of_uri(client.get_run(run_id).info.artifact_uri)
        folder = here / MODEL if here else Path(client.download_artifacts(run_id, MODEL, temporary))
        if (stored := files_hash(folder)) != weights:
            raise TunesmithError(
                f"{folder}: Tunesmith signs only evaluated weights (sha256 {weights[:12]}); this folder has other "
                f"weights (sha256 {stored[:12]}); restore the files of run {run_id} from a backup"
            )
        signature = sign(folder)
        if here is None:
            client.log_artifact(run_id, str(signature), MODEL)
    client.set_tag(run_id, SIGNED, _synced(client, run_id))


def is_signed(client: Any, run_id: str) -> bool:
    """Whether the model in the run was signed once."""
    return SIGNED in client.get_run(run_id).data.tags


def is_stale(client: Any, run_id: str) -> bool:
    """Whether ``sync`` has changed the files of a signed model since it was signed."""
    return bool(client.get_run(run_id).data.tags[SIGNED] != _synced(client, run_id))


def _synced(client: Any, run_id: str) -> str:
    return str(client.get_run(run_id).data.tags.get(SYNCED, ""))
