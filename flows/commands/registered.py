"""Find the folder of a registered model by ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths, folder_of_uri
from tasks.model.registered import ADDRESS, SCHEME
from tasks.register.params import RegistrationParams
from tasks.serving.package import MODEL
from tasks.tracking.client import Tracker, open_store, readable_mlflow
from tasks.tracking.tag_names import NAME


def champion_address(paths: Paths) -> str:
    """``models:/NAME@ALIAS`` of ``params/registration.yaml``."""
    params = load(RegistrationParams, paths.params / "registration.yaml", "registration")
    return f"{SCHEME}{params.model_name}@{params.alias}"


@contextmanager
def registered_model(paths: Paths, address: str, note: Callable[[str], None]) -> Iterator[Path]:
    """The folder of a registered model: MLflow's own, or a temporary copy if MLflow keeps it on another machine.

    Raises:
        TunesmithError: the address is malformed, or no version has it.
    """
    tracker = open_store(paths.root)
    with tempfile.TemporaryDirectory() as temporary:
        with readable_mlflow(tracker.uri):
            version = version_of(tracker, address)
            run = tracker.client.get_run(str(version.run_id))
            note(f"{address} is version {version.version}, the model of experiment {version.tags.get(NAME)}")
            here = folder_of_uri(run.info.artifact_uri)
            folder = here / MODEL if here else tracker.client.download_artifacts(run.info.run_id, MODEL, temporary)
        yield Path(folder)


def version_of(tracker: Tracker, address: str) -> ModelVersion:
    """The version with this address.

    Raises:
        TunesmithError: the address is malformed, or no version has it.
    """
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise TunesmithError(f"a registered model is models:/NAME@ALIAS or models:/NAME/VERSION; this is {address!r}")
    try:
        if parts["alias"]:
            return tracker.client.get_model_version_by_alias(parts["name"], parts["alias"])
        return tracker.client.get_model_version(parts["name"], parts["version"])
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise TunesmithError(
            f"{address}: no version of a registered model has this address in MLflow at {tracker.uri}; `tunesmith "
            "champion` shows the champion; `tunesmith predict --experiment X` uses the model of X"
        ) from None
