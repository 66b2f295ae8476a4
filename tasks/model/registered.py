"""Base models that are versions of a registered model: their address, their folder, and the models before them.

``tasks.ancestry`` builds the folder: a merged model with its tokenizer, the list of its training rows, and
``ancestors.json``, which holds ``weights_sha256`` (hash of what the model was built from), ``files_sha256`` (hash of
the merged files) and ``ancestors``, sorted from the newest version to the oldest. An ancestor has ``model``
(``models:/NAME/VERSION``), ``experiment``, ``method``, ``key``, ``weights_sha256`` and ``base``, the record of the
model that it was tuned from.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import user_cache

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SCHEME = "models:/"
ANCESTORS = "ancestors.json"
PINS = "params/bases.yaml"

ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")


def is_registered(name: str) -> bool:
    """Whether ``base_model.name`` is the address of a registered model."""
    return name.startswith(SCHEME)


def has_alias(name: str) -> bool:
    """Whether the address names an alias, which may move, and not a version."""
    parts = ADDRESS.fullmatch(name)
    return parts is not None and parts["alias"] is not None


def refuse_malformed(name: str) -> None:
    """Raise TunesmithError unless ``name`` is models:/NAME@ALIAS or models:/NAME/VERSION."""
    if ADDRESS.fullmatch(name) is None:
        raise TunesmithError(
            f"base_model.name: a registered model is models:/NAME@ALIAS or models:/NAME/VERSION; this is {name!r}"
        )


def find_version(client: MlflowClient, address: str) -> ModelVersion:
    """The version with this address.

    Raises:
        TunesmithError: the address is malformed, or no version has it. The error lists the versions that there are.
    """
    from mlflow.exceptions import MlflowException

    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise TunesmithError(f"a registered model is models:/NAME@ALIAS or models:/NAME/VERSION; this is {address!r}")
    name = parts["name"]
    try:
        if parts["alias"]:
            return client.get_model_version_by_alias(name, parts["alias"])
        return client.get_model_version(name, parts["version"])
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise TunesmithError(
            f"{address}: MLflow at {client.tracking_uri} must have a version with this address; it has none; "
            f"{_versions(client, name)}"
        ) from None


def _versions(client: MlflowClient, name: str) -> str:
    """The versions of the registered model ``name``, with their aliases."""
    numbers = sorted(int(one.version) for one in client.search_model_versions(f"name = '{name}'"))
    if not numbers:
        return f"there is no version of {name} yet"
    aliases: dict[int, list[str]] = {}
    for alias, number in client.get_registered_model(name).aliases.items():
        aliases.setdefault(int(number), []).append(alias)
    shown = [f"{number}" + (f" ({', '.join(aliases[number])})" if number in aliases else "") for number in numbers]
    return f"versions of {name}: {', '.join(shown)}"


def refuse_unpinned(name: str, revision: str | None) -> None:
    """Refuse a registered model that ``params/bases.yaml`` does not pin.

    Raises:
        TunesmithError: it has no revision, or the address has no version.
    """
    refuse_malformed(name)
    if revision is None:
        raise TunesmithError(
            f"base_model.name: {name}: {PINS} must name the version and its weights, so that a later run uses the "
            "same; it does not; `tunesmith run` pins them"
        )


def folder_of(name: str, revision: str) -> Path:
    """The folder of a version in the user's cache, which may not exist yet."""
    return user_cache() / "registered" / f"{name.removeprefix(SCHEME).replace('/', '-')}-{revision[:16]}"


def original_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of the original base model, which is untuned, from the record of any base model."""
    ancestors = record.get("ancestors")
    original: dict[str, Any] = ancestors[-1]["base"] if ancestors else record
    return original


def files_hash(folder: Path) -> str:
    """Hash of the weight files in ``folder``."""
    return files.digest([files.sha256(path) for path in sorted(folder.glob("*.safetensors"))])


def read_ancestors(folder: Path, name: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Read ``ancestors.json``: the hash and the ancestors.

    Raises:
        TunesmithError: the folder has not been built here, or its weights have changed since.
    """
    path = folder / ANCESTORS
    if not path.exists():
        raise TunesmithError(
            f"base_model.name: {name}: the merged model must be in {folder}; it is not; `tunesmith run` builds it from "
            "MLflow"
        )
    content = files.read_json(path)
    if files_hash(folder) != content["files_sha256"]:
        raise TunesmithError(
            f"base_model.name: {name}: the weights in {folder} must be as they were built; they have changed; remove "
            "the folder, and it is built again"
        )
    return content["weights_sha256"], tuple(content["ancestors"])
