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
                f"{folder}: a model is signed only if its weights are those that were evaluated ({weights[:12]}); they "
                f"are {stored[:12]}; restore the files of run {run_id} from a backup"
            )
        signature = sign(folder)
        if here is None:
            client.log_artifact(run_id, str(signature), MODEL)
