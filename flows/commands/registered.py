"""Find the folder of a registered model by ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient

from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths, folder_of_uri
from tasks.gate.params import RegistrationParams
from tasks.model.registered import SCHEME, find_version
from tasks.model.signatures import verify
from tasks.serving.package import MODEL
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tracking.tag_names import NAME, WEIGHTS


def champion_address(paths: Paths) -> str:
    """``models:/NAME@ALIAS`` of ``params/registration.yaml``."""
    params = load(RegistrationParams, paths.params / "registration.yaml", "registration")
    return f"{SCHEME}{params.model_name}@{params.alias}"


@contextmanager
def registered_model(paths: Paths, address: str, note: Callable[[str], None]) -> Iterator[Path]:
    """The folder of a registered model: MLflow's own, or a temporary copy if MLflow keeps it on another machine.

    Raises:
        TunesmithError: the address is malformed, no version has it, or its signature is invalid.
    """
    tracker = open_store(paths.root)
    with tempfile.TemporaryDirectory() as temporary:
        with readable_mlflow(tracker.uri):
            version = find_version(tracker.client, address)
            run = tracker.client.get_run(str(version.run_id))
            note(f"{address} is version {version.version}, the model of experiment {version.tags.get(NAME)}")
            here = folder_of_uri(run.info.artifact_uri)
            folder = here / MODEL if here else tracker.client.download_artifacts(run.info.run_id, MODEL, temporary)
        verify(Path(folder), version.tags.get(WEIGHTS))
        yield Path(folder)


def address_of(model: str | None, params: RegistrationParams, client: MlflowClient) -> str:
    """The address of what a user types: nothing (the champion), ``3``, ``NAME@ALIAS``, or an experiment.

    An experiment stands for its newest version.

    Raises:
        TunesmithError: ``model`` is none of these, or no version of the experiment is registered.
    """
    name = params.model_name
    if model is None:
        return f"{SCHEME}{name}@{params.alias}"
    if model.startswith(SCHEME):
        return model
    if model.isdecimal():
        return f"{SCHEME}{name}/{model}"
    if "@" in model:
        return f"{SCHEME}{model}"
    versions = {int(one.version): str(one.tags.get(NAME)) for one in client.search_model_versions(f"name = '{name}'")}
    own = [number for number, experiment in versions.items() if experiment == model]
    if not own:
        known = ", ".join(f"{number} ({experiment})" for number, experiment in sorted(versions.items()))
        raise TunesmithError(
            f"{model}: a version is a number, NAME@ALIAS, models:/NAME/VERSION, or an experiment with a registered "
            f"version; versions of {name}: {known or 'none yet'}"
        )
    return f"{SCHEME}{name}/{max(own)}"
