"""The work of ``tunesmith doctor``: check what a run needs, before it is needed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from flows.bases import available_base
from flows.commands.deep_check import check_outputs
from flows.commands.plan import gate_differs
from flows.commands.services import dvc_remote, load_beside_us, prefect_server
from flows.commands.versions import as_tried
from flows.leases import gpus
from flows.preflight import preflight
from flows.server_logs import failures, log_of
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.model.base_models import BaseModelParams, is_local
from tasks.resolve.bases import base_models, named
from tasks.tracking.client import open_store

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "datasets",
    "mlflow",
    "prefect",
    "dvc",
    "rouge-score-rs",
    "text2num",
    "sacrebleu",
)
_GB = 1e9
_LEAST_DISK_GB, _LEAST_MEMORY_GB = 5, 8


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    subject: str
    result: str
    ok: bool = True


def examine(root: Path, say: Callable[[str], None] = lambda line: None, deep: bool = False) -> list[Finding]:
    """All findings. Those that are not ``ok`` have a remedy. ``say`` gets each step that takes a while.

    With ``deep``, the content of every output is hashed.
    """

    def announced(line: str, finding: Callable[[], Finding]) -> Finding:
        say(line)
        return finding()

    return [
        Finding("Python", sys.version.split()[0], sys.version_info[:2] == (3, 11)),
        *(_package(name) for name in _PACKAGES),
        _tried("versions", as_tried),
        announced("looking at the machine", _processor),
        announced("measuring the load", lambda: Finding("load", load_beside_us())),
        _memory(),
        _gpu(),
        _disk(root),
        announced("checking params/", lambda: _tried("parameters", lambda: _parameters(root))),
        *_base_models(root, say),
        announced("opening the tracking store", lambda: _tried("tracking store", lambda: open_store(root).uri)),
        announced("asking the Prefect server", lambda: _tried("Prefect API", prefect_server)),
        announced("asking DVC's remote", lambda: _tried("DVC remote", lambda: dvc_remote(root))),
        *(_server(root, name) for name in ("Prefect", "MLflow")),
        *([_tried("outputs", lambda: check_outputs(root, say))] if deep else []),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "not installed; `make` installs it from the lock", ok=False)


def _processor() -> Finding:
    from tasks.core.device import bf16_is_fast

    return Finding("processor", f"{os.cpu_count()} cores, computing in {'bf16' if bf16_is_fast() else 'fp32'}")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    text = f"{memory.available / _GB:.1f} GB free of {memory.total / _GB:.1f} GB"
    enough = memory.available > _LEAST_MEMORY_GB * _GB
    return Finding(
        "memory", text if enough else f"{text}; full fine-tuning of the demo needs {_LEAST_MEMORY_GB}", enough
    )


def _gpu() -> Finding:
    import torch

    if not gpus():
        return Finding("GPU", "none; training uses the processor")
    if not torch.cuda.is_available():
        return Finding(
            "GPU", f"{len(gpus())} seen, but torch {torch.__version__} cannot use it; reinstall torch", ok=False
        )
    return Finding("GPU", ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / _GB
    enough = free > _LEAST_DISK_GB
    text = f"{free:.1f} GB free"
    return Finding(
        "disk", text if enough else f"{text}; at least {_LEAST_DISK_GB} are needed: `tunesmith clean`", enough
    )


def _parameters(root: Path) -> str:
    preflight(Paths(root))
    registration = load(RegistrationParams, Paths(root).params / "registration.yaml", "registration")
    if notes := gate_differs(Paths(root), registration):
        return f"all files of params/ can be read, but {'; '.join(notes)}"
    return "all files of params/ are in order"


def _base_models(root: Path, say: Callable[[str], None]) -> list[Finding]:
    """One finding per base model, with the names of the experiments that use it."""
    try:
        bases = base_models(Paths(root))
    except TunesmithError:
        return []  # the parameters are wrong; the finding about them says so

    def examine(params: BaseModelParams, experiments: list[str]) -> str:
        base = named(experiments, lambda: available_base(params, root))
        if changed := [name for name in experiments if _trained_on(root, name) not in (None, base.weights_sha256)]:
            stages = " ".join(f"train@{name}" for name in changed)
            again = "`tunesmith run` trains these experiments again"
            if not is_local(params.name, root):  # no stage depends on the files of such a model
                again = f"run `dvc repro --force --single-item {stages}` and then `tunesmith run`"
            raise TunesmithError(
                f"{base.spec}: its weights changed since {', '.join(changed)} ran. Restore them, or {again}"
            )
        return f"{base.spec}, {base.kind}, weights {base.weights_sha256[:12]}; used by {', '.join(experiments)}"

    findings = []
    for params, experiments in bases:
        say(f"finding the base model {params.name}")
        findings.append(_tried("base model", partial(examine, params, experiments)))
    return findings


def _server(root: Path, name: str) -> Finding:
    """Failures of a server's services in the log of the last ``tunesmith ui``."""
    log = log_of(root, name)
    if not log.exists():
        return Finding(f"{name} server", "not started here yet")
    if errors := failures(log):
        return Finding(f"{name} server", "\n".join(failure.line(name, log) for failure in errors), ok=False)
    return Finding(f"{name} server", "no failure in the log of the last `tunesmith ui`")


def _trained_on(root: Path, experiment: str) -> str | None:
    """Hash of the base weights that the experiment's model records; None if it has no model."""
    manifest = Paths(root).model(experiment) / "manifest.json"
    return str(read_json(manifest)["base_model"]["weights_sha256"]) if manifest.exists() else None


def _tried(subject: str, examination: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, examination())
    except TunesmithError as error:
        return Finding(subject, str(error), ok=False)
