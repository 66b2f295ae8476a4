"""Build the folder of a base model that is a registered version, once per machine: its adapter is merged into its base.

The files come from MLflow. The folder is a whole model in fp32 (``tasks.model.registered``), so that every method can
tune it.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from tasks.core import files
from tasks.core.errors import TunesmithError, described
from tasks.core.paths import folder_of_uri, tracking_uri
from tasks.model.base_models import BaseModel, BaseModelParams, from_record, load_tokenizer, params_of
from tasks.model.chat import CHAT_DATE
from tasks.model.registered import ANCESTORS, files_hash, find_version, folder_of, is_registered, refuse_unpinned
from tasks.model.rendering import Renderer
from tasks.model.signatures import verify
from tasks.model.stops import name_stops
from tasks.model.unwrap import unwrapped
from tasks.text.training_rows import NAME as TRAINING_ROWS
from tasks.tuning import methods

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("tunesmith")

MODEL = "model"
"""Folder of a run's artifacts that holds its model."""

Manifest = dict[str, Any]


def ensure_built(params: BaseModelParams, root: Path) -> None:
    """Build the base model that ``params`` names, if it is a registered version that this machine has not built yet.

    Raises:
        TunesmithError: the version is not pinned, is lost or has other weights, or its method cannot be merged.
    """
    if not is_registered(params.name):
        return
    refuse_unpinned(params.name, params.revision)
    folder = folder_of(params.name, str(params.revision))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / ANCESTORS).exists():
            logger.info("building the base model %s in %s (once)", params.name, folder)
            with tempfile.TemporaryDirectory() as temporary, files.replacing(folder) as output:
                model = _downloaded(params, root, Path(temporary))
                _build(params.name, model, root, output)


def mergeable(method: str) -> bool:
    """Whether a model of this method can be a base model: all that it learnt is in weights of the base's layers."""
    record = methods.named(method)
    return record.merges or record.saves_whole_model


def refuse_unmergeable(name: str, method: str) -> None:
    """Refuse a version as base model if its method adds parts outside the base's weights.

    Raises:
        TunesmithError: names the methods that can be merged.
    """
    if not mergeable(method):
        raise TunesmithError(
            f"base_model.name: {name}: a base model must be tuned by a method whose result is in the weights "
            f"({', '.join(mergeable_methods())}); it was tuned by {method}, which adds parts beside them; tune another "
            "version further"
        )


def mergeable_methods() -> list[str]:
    """Names of the methods for which ``mergeable`` is true."""
    return [name for name in methods.names() if mergeable(name)]


def version_manifest(name: str, client: MlflowClient, folder: Path) -> tuple[int, str, Manifest]:
    """The number, the run and the manifest of the version with the address ``name``.

    Raises:
        TunesmithError: no version has the address, or its files are lost.
    """
    from mlflow.exceptions import MlflowException

    try:
        version = find_version(client, name)
    except TunesmithError as error:
        raise TunesmithError(
            f"base_model.name: {error}; correct the name, or train on another base model first"
        ) from None
    run_id = str(version.run_id)
    try:
        path = client.download_artifacts(run_id, f"{MODEL}/manifest.json", str(folder))
    except (MlflowException, OSError) as error:
        raise TunesmithError(
            f"base_model.name: {name}: the files of the version must be artifacts of its run {run_id}; manifest.json "
            f"is lost ({described(error)}); restore the run's folder from a backup"
        ) from None
    return int(version.version), run_id, files.read_json(Path(path))


def _downloaded(params: BaseModelParams, root: Path, folder: Path) -> Path:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(root))
    _, run_id, manifest = version_manifest(params.name, client, folder)
    if not manifest["weights_sha256"].startswith(str(params.revision)):
        raise TunesmithError(
            f"base_model.name: {params.name}: the weights must be those that params/bases.yaml pins "
            f"({str(params.revision)[:12]}); MLflow at {tracking_uri(root)} has {manifest['weights_sha256'][:12]}; use "
            "the store in which the model was registered, or remove the pin and run `tunesmith run`"
        )
    refuse_unmergeable(params.name, manifest["method"])
    here = folder_of_uri(client.get_run(run_id).info.artifact_uri)
    model = here / MODEL if here else Path(client.download_artifacts(run_id, MODEL, str(folder)))
    verify(model)
    weights = files_hash(model)
    if weights != manifest["weights_sha256"]:
        raise TunesmithError(
            f"base_model.name: {params.name}: the weights in MLflow must have sha256 "
            f"{manifest['weights_sha256'][:12]} (manifest.json); they have {weights[:12]}; restore the model's files "
            f"in run {run_id}"
        )
    return model


def _build(name: str, model: Path, root: Path, output: Path) -> None:
    import torch

    from tasks.tuning.load import load_tuned

    manifest = files.read_json(model / "manifest.json")
    ensure_built(params_of(manifest["base_model"]), root)
    base = from_record(manifest["base_model"], root)
    whole = methods.named(manifest["method"]).saves_whole_model
    tokenizer = load_tokenizer(base, model if whole else None)
    date = manifest["fingerprint"]["fields"].get("date", CHAT_DATE)
    save_whole(load_tuned(model, base, manifest, torch.float32), Renderer(tokenizer, base.kind, date), output)
    if (model / TRAINING_ROWS).exists():
        shutil.copy(model / TRAINING_ROWS, output / TRAINING_ROWS)
    files.write_json(output / ANCESTORS, _ancestors(name, manifest, base) | {"files_sha256": files_hash(output)})


def save_whole(model: Any, renderer: Renderer, folder: Path) -> None:
    """Write a merged model with its tokenizer and stop tokens, so that every program can load the folder."""
    merged = unwrapped(model).cpu()
    name_stops(merged, renderer)
    merged.save_pretrained(folder)
    renderer.tokenizer.save_pretrained(folder)


def _ancestors(name: str, manifest: Manifest, base: BaseModel) -> dict[str, Any]:
    own = {field: manifest[field] for field in ("experiment", "method", "key", "weights_sha256")}
    below = {field: value for field, value in base.record().items() if field != "ancestors"}
    return {
        "weights_sha256": files.digest([manifest["weights_sha256"], base.weights_sha256]),
        "ancestors": [{"model": name, **own, "base": below}, *base.ancestors],
    }
