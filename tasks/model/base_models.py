"""Base models: the embedded one, a hub id at a pinned revision, a local folder, or a registered version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tasks.core import files
from tasks.core.errors import TunesmithError, described
from tasks.core.params import Params
from tasks.model.embedded import EMBEDDED, converted, embedded_folder, embedded_revision, gguf_file, quieten
from tasks.model.registered import folder_of, is_registered, read_ancestors, refuse_unpinned

if TYPE_CHECKING:
    import torch


class BaseModelParams(Params):
    """``base_model`` of ``params/training.yaml``.

    Attributes:
        name: ``embedded:smollm2-135m-instruct``, a local folder (relative to the workspace, starting with
            ``.`` or ``/``, or an existing folder), a hub id, or a registered model (``models:/NAME@ALIAS`` or
            ``models:/NAME/VERSION``).
        revision: commit hash of a hub id (40 hex digits); required there. Of a registered version, the start of the
            hash of its weights, which ``params/bases.yaml`` pins.
        trust_remote_code: run code that comes with a hub model.
    """

    name: str
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    trust_remote_code: bool = False


@dataclass(frozen=True)
class BaseModel:
    """A base model on this disk.

    Attributes:
        spec: the name in the parameters, which is the same on every machine.
        folder: folder of its files on this machine.
        revision: hub revision, package version of the embedded model, or start of the hash of a registered version's
            weights; None for a local folder.
        weights_sha256: hash of its safetensors files. Of a registered version, the hash of what it was built from,
            since merging rounds differently on other processors.
        kind: ``causal`` (decoder only) or ``seq2seq`` (encoder-decoder).
        ancestors: the registered versions that it comes from, the newest first (``tasks.model.registered``).
    """

    spec: str
    folder: Path
    revision: str | None
    weights_sha256: str
    kind: Literal["causal", "seq2seq"]
    trust_remote_code: bool = False
    ancestors: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    def record(self) -> dict[str, Any]:
        """Return the fields for a manifest; none differs between machines."""
        record = {
            "spec": self.spec,
            "revision": self.revision,
            "weights_sha256": self.weights_sha256,
            "kind": self.kind,
            "trust_remote_code": self.trust_remote_code,
        }
        return record | ({"ancestors": list(self.ancestors)} if self.ancestors else {})


def find(params: BaseModelParams, root: Path) -> BaseModel:
    """Return the base model that ``params`` names; download or convert it on first use.

    Raises:
        TunesmithError: the package of the embedded model is missing, the folder has no model, the hub does not answer,
            a hub id has no revision, or the weights are not safetensors.
    """
    if params.name.startswith("embedded:"):
        folder, revision = converted(params.name), embedded_revision()
    elif is_registered(params.name):
        return _registered(params)
    elif is_local(params.name, root):
        folder, revision = _local(root / params.name, params.name), None
    else:
        folder, revision = _hub(params), params.revision
    return BaseModel(
        spec=params.name,
        folder=folder,
        revision=revision,
        weights_sha256=_weights_sha256(folder),
        kind=_kind(folder),
        trust_remote_code=params.trust_remote_code,
    )


def refuse_missing(params: BaseModelParams, root: Path) -> None:
    """Check quickly that a base model is available; nothing is hashed, converted or downloaded.

    Raises:
        TunesmithError: the package of the embedded model is missing, the folder has no model, or a hub id has no
            revision.
    """
    if params.name.startswith("embedded:"):
        embedded_folder(params.name)
        gguf_file()
    elif is_registered(params.name):
        refuse_unpinned(params.name, params.revision)
    elif is_local(params.name, root):
        folder = _local(root / params.name, params.name)
        _kind(folder)
        _weights(folder)
    else:
        _refuse_hub_id_without_revision(params)


def find_on_disk(params: BaseModelParams, root: Path) -> BaseModel | None:
    """Return the base model if its files are on this disk, ready to read the tokenizer; its weights are not hashed.

    Raises:
        TunesmithError: the name or the local folder is wrong.
    """
    if params.name.startswith("embedded:"):
        folder, revision = embedded_folder(params.name), embedded_revision()
    elif is_registered(params.name):
        if params.revision is None or not folder_of(params.name, params.revision).exists():
            return None
        return _registered(params)
    elif is_local(params.name, root):
        folder, revision = _local(root / params.name, params.name), None
    else:
        from huggingface_hub import try_to_load_from_cache

        _refuse_hub_id_without_revision(params)
        config = try_to_load_from_cache(params.name, "config.json", revision=params.revision)
        if not isinstance(config, str):
            return None
        folder, revision = Path(config).parent, params.revision
    if not (folder / "config.json").exists():
        return None
    return BaseModel(params.name, folder, revision, "", _kind(folder), params.trust_remote_code)


def find_config(path: Path) -> BaseModel:
    """Return a model by its ``config.json`` or the folder of that file; enough to plan with, as no weights are needed.

    Raises:
        TunesmithError: the path is neither.
    """
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name != "config.json":
        raise TunesmithError(f"{path}: must be config.json or a folder with it; it is neither; give one of these")
    return BaseModel(str(path), folder.resolve(), None, "", _kind(folder))


def from_record(record: dict[str, Any], root: Path) -> BaseModel:
    """Return the base model that a manifest records.

    Raises:
        TunesmithError: as ``find``, or the weights differ from the recorded ones.
    """
    base = find(params_of(record), root)
    if base.weights_sha256 != record["weights_sha256"]:
        raise TunesmithError(
            f"base model {record['spec']}: the weights must be those that the model was trained on; their hash is "
            f"{base.weights_sha256[:12]}, the recorded one is {record['weights_sha256'][:12]}; restore them or train "
            "again"
        )
    return base


def params_of(record: dict[str, Any]) -> BaseModelParams:
    """The parameters that name the base model of a manifest."""
    revision = None if record["spec"].startswith("embedded:") else record["revision"]
    return BaseModelParams(name=record["spec"], revision=revision, trust_remote_code=record["trust_remote_code"])


def load_model(base: BaseModel, dtype: torch.dtype, folder: Path | None = None, **kwargs: Any) -> Any:
    """Load the model in ``folder`` (the base's own by default) as the base's kind; ``kwargs`` go to
    ``from_pretrained``."""
    quieten()
    return _loader(base).from_pretrained(
        folder or base.folder, dtype=dtype, use_safetensors=True, trust_remote_code=base.trust_remote_code, **kwargs
    )


def untrained(base: BaseModel, dtype: torch.dtype) -> Any:
    """Build a model from the base's config, without reading weights."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base.folder, trust_remote_code=base.trust_remote_code)
    return _loader(base).from_config(config, dtype=dtype, trust_remote_code=base.trust_remote_code)


def _loader(base: BaseModel) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM if base.kind == "seq2seq" else AutoModelForCausalLM


def load_tokenizer(base: BaseModel, folder: Path | None = None) -> Any:
    """Load the tokenizer in ``folder`` (the base's own by default).

    Raises:
        TunesmithError: it has no end token, so generation could not stop.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder or base.folder, trust_remote_code=base.trust_remote_code)
    if tokenizer.eos_token_id is None:
        raise TunesmithError(
            f"base model {base.spec}: its tokenizer must have an end token (eos_token); it has none; set eos_token in "
            "tokenizer_config.json, or name another base model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _kind(folder: Path) -> Literal["causal", "seq2seq"]:
    if not (folder / "config.json").exists():
        raise TunesmithError(f"{folder}: a base model must have config.json; it has none; name another base model")
    config = files.read_json(folder / "config.json")
    return "seq2seq" if config.get("is_encoder_decoder") else "causal"


def _weights(folder: Path) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise TunesmithError(
            f"{folder}: a base model must have safetensors weights; it has none (pickles are not read); convert them, "
            "or name another base model"
        )
    return weights


def _weights_sha256(folder: Path) -> str:
    return hashlib.sha256("".join(files.sha256(path) for path in _weights(folder)).encode()).hexdigest()


def _registered(params: BaseModelParams) -> BaseModel:
    """The base model that ``tasks.ancestry`` has built from a registered version."""
    refuse_unpinned(params.name, params.revision)
    revision = str(params.revision)
    folder = folder_of(params.name, revision)
    weights, ancestors = read_ancestors(folder, params.name)
    return BaseModel(params.name, folder, revision, weights, _kind(folder), params.trust_remote_code, ancestors)


def is_local(name: str, root: Path) -> bool:
    """Whether ``base_model.name`` is a folder on this machine, not a hub id or the embedded model."""
    return name.startswith((".", "/")) or (root / name).is_dir()


def _local(folder: Path, name: str) -> Path:
    if not (folder / "config.json").exists():
        what = "it has none" if folder.is_dir() else "there is no such folder"
        raise TunesmithError(
            f"base_model.name: {name}: a local base model must be a folder with config.json; {what}; correct the name "
            "or bring the folder back"
        )
    return folder.resolve()


def _refuse_hub_id_without_revision(params: BaseModelParams) -> None:
    if params.revision is None:
        raise TunesmithError(
            f"base_model: {params.name}: a hub id needs `revision` (a commit hash), so that a later run uses the same "
            "weights; it has none; add it, or name an existing folder"
        )


def _hub(params: BaseModelParams) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    _refuse_hub_id_without_revision(params)
    patterns = [
        "*.json",
        "*.safetensors",
        "*.model",
        "*.txt",
        "*.jinja",
        *(["*.py"] if params.trust_remote_code else []),
    ]
    try:
        return Path(snapshot_download(params.name, revision=params.revision, allow_patterns=patterns))
    except HfHubHTTPError as error:
        raise TunesmithError(
            f"base_model: the hub has no {params.name} at {params.revision}: {described(error)}"
        ) from None
    except (OSError, ValueError) as error:
        raise TunesmithError(
            f"base_model: the hub must be reachable to fetch {params.name} ({type(error).__name__}), and no copy is "
            f"cached; connect to the network, or use a local folder or {EMBEDDED}"
        ) from None
