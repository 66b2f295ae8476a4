"""Several processes for one training: the stage starts them with ``accelerate launch``, and the main one writes.

They are connected by gloo between processors and by NCCL between GPUs. See ``docs/distributed.md``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import tasks
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.stage import PARENT_VARIABLE, Stage, Terminated, main, readable_errors, step
from tasks.model import distributed
from tasks.model.base_models import BaseModel
from tasks.tuning.params import LauncherParams, TrainParams

HANDED_VARIABLE = "TUNESMITH_LAUNCHED_BY"
"""The folder through which a launched process gets the stage, and gives back its error."""

RANK_VARIABLE, ADDRESS_VARIABLE, PORT_VARIABLE = (
    "TUNESMITH_MACHINE_RANK",
    "TUNESMITH_MAIN_PROCESS_IP",
    "TUNESMITH_MAIN_PROCESS_PORT",
)
"""Of a training on several nodes: this node's number, and where the processes find the first node."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

_NOISY = (
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
    "torch.distributed.elastic.multiprocessing.errors.handlers",
    "torchelastic-events-null",
)

Work = Callable[[Stage], None]


def config(launcher: LauncherParams) -> dict[str, Any]:
    """What ``accelerate launch --config_file`` reads; ``infra/`` holds it for eight GPUs a node.

    ``MULTI_GPU`` on processors too: accelerate's launcher of CPU processes needs MPI, and each process sees for itself
    what it computes on. Precision is the parameter ``training.precision``, and no business of the launcher.
    """
    found: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP" if launcher.strategy == "fsdp" else "MULTI_GPU",
        "num_machines": launcher.nodes,
        "num_processes": launcher.processes,
        "mixed_precision": "no",
        "use_cpu": False,
        "same_network": True,
        "rdzv_backend": "static",
        "main_training_function": "main",
    }
    if launcher.strategy == "fsdp":
        found["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_offload_params": False,
            "fsdp_cpu_ram_efficient_loading": False,
        }
    return found


def stands_for_others(params: TrainParams) -> bool:
    """Whether this process trains by launching others, and not itself.

    Raises:
        TunesmithError: it was launched, among another number of processes than the parameters say.
    """
    wanted = params.launcher.processes if params.launcher else 1
    if distributed.is_launched() and distributed.world_size() != wanted:
        raise TunesmithError(
            f"launcher.processes: what is launched must be what the parameters say, since sums depend on it; "
            f"{distributed.world_size()} processes were launched, launcher.processes is {wanted}; correct one of them "
            "(params/experiments.yaml, or --num_processes of accelerate)"
        )
    return wanted > 1 and not distributed.is_launched()


def refuse_unshardable(params: TrainParams, base: BaseModel) -> None:
    """Raises TunesmithError for an encoder-decoder with ``fsdp``: encoder, decoder and output layer share one matrix,
    and ``fsdp2_prepare_model`` of accelerate 1.15 puts only two such modules into one group."""
    if params.sharded and base.kind == "seq2seq":
        raise TunesmithError(
            f"launcher.strategy: fsdp shards decoders; {base.spec} is an encoder-decoder; use strategy ddp in "
            "params/experiments.yaml"
        )


def begin(name: str, work: Work) -> None:
    """``python -m tasks.train NAME``: the stage itself, or one of the processes that the stage launched."""
    folder = os.environ.get(HANDED_VARIABLE)
    if folder is None:
        main(f"train@{name}", work)
    else:
        step(f"train@{name}", lambda: _as_handed(Path(folder), work))


def _as_handed(folder: Path, work: Work) -> None:
    """Do ``work`` for the stage that launched this process, which speaks for all: an error goes there."""
    handed = files.read_json(folder / "stage.json")
    try:
        with readable_errors():
            work(Stage(handed["address"], Path(handed["root"]), handed["inputs"]))
    except Exception as error:
        known = isinstance(error, TunesmithError)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        files.write_json(folder / f"error-{distributed.rank()}.json", {"known": known, "message": message})
        if not known:
            logging.getLogger("tunesmith").exception("process %d", distributed.rank())
        sys.exit(1)
    except (Terminated, KeyboardInterrupt):
        sys.exit(128 + signal.SIGTERM)


def launch(name: str, params: TrainParams, stage: Stage) -> None:
    """Train in ``params.launcher.processes`` processes, this node's share of which start here; they end with this one.

    Raises:
        TunesmithError: there are too few processors, or a process failed: with its error.
        Terminated, KeyboardInterrupt: a signal ended them all.
    """
    launcher = params.launcher
    assert launcher is not None
    _refuse_too_many(launcher)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as handed:
        folder = Path(handed)
        files.write_json(folder / "accelerate.json", config(launcher))
        files.write_json(folder / "stage.json", asdict(stage) | {"root": str(stage.root)})
        where = _node(launcher)
        variables = {
            HANDED_VARIABLE: handed,
            PARENT_VARIABLE: str(os.getpid()),
            "OMP_NUM_THREADS": str(threads(params)),
            "PYTHONPATH": os.pathsep.join([str(Path(tasks.__file__).parents[1]), *_python_path()]),
        }
        arguments = ["--config_file", str(folder / "accelerate.json"), *where, "--module", "tasks.train", name]
        with _environment(variables), _handlers():
            _accelerate(arguments, folder, launcher)


def threads(params: TrainParams) -> int:
    """Of each process: those of the experiment are shared out among the processes of a node."""
    each = params.launcher.processes // params.launcher.nodes if params.launcher else 1
    return max(1, params.threads // each)


def _accelerate(arguments: list[str], folder: Path, launcher: LauncherParams) -> None:
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # They tell in many lines what becomes one error below.
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except SignalException as ended:
        if ended.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise Terminated(128 + ended.sigval) from None
    except ChildFailedError as failed:
        raise TunesmithError(_error(folder, failed, launcher)) from None


def _error(folder: Path, failed: Any, launcher: LauncherParams) -> str:
    """The error of the first process that knew what was wrong; others often fail since that one was gone."""
    found = {int(path.stem.split("-")[1]): files.read_json(path) for path in sorted(folder.glob("error-*.json"))}
    if known := [entry["message"] for _, entry in sorted(found.items()) if entry["known"]]:
        return str(known[0])
    index, failure = failed.get_first_failure()
    place = f"process {index} of {launcher.processes}"
    if index in found:
        return f"{place}: {' '.join(found[index]['message'].split())}"
    how = f"by signal {-failure.exitcode}" if failure.exitcode < 0 else f"with code {failure.exitcode}"
    return (
        f"{place}: every process must end well; this one was ended {how}; "
        "where memory is short (signal 9), lower training.token_budget or launcher.processes"
    )


def _refuse_too_many(launcher: LauncherParams) -> None:
    here = launcher.processes // launcher.nodes
    if torch.cuda.is_available():
        found, what = torch.cuda.device_count(), "GPUs that this process may use"
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        found, what = cores, "processors"
    if here > found:
        raise TunesmithError(
            f"launcher.processes: a node must have a GPU or a processor for each of its processes; it would run {here} "
            f"and has {found} {what}; lower launcher.processes (now {launcher.processes}), or raise launcher.nodes "
            f"(now {launcher.nodes}), in params/experiments.yaml"
        )


def _node(launcher: LauncherParams) -> list[str]:
    if launcher.nodes == 1:
        return ["--machine_rank", "0", "--main_process_port", "0"]  # a free port: others train on this node too
    given = {name: os.environ.get(name, "") for name in (RANK_VARIABLE, ADDRESS_VARIABLE)}
    for name, value in given.items():
        if not value:
            raise TunesmithError(
                f"{name}: a training on {launcher.nodes} nodes must know {' and '.join(given)}; it is not set; see "
                "docs/distributed.md"
            )
    rank = given[RANK_VARIABLE]
    if rank not in map(str, range(launcher.nodes)):
        raise TunesmithError(
            f"{RANK_VARIABLE}: must be a number from 0 to {launcher.nodes - 1}, another on each node; it is {rank!r}"
        )
    port = os.environ.get(PORT_VARIABLE, "29500")
    return ["--machine_rank", rank, "--main_process_ip", given[ADDRESS_VARIABLE], "--main_process_port", port]


def holds_lock() -> bool:
    """Whether this process is the one of its training that keeps other trainings of the experiment away."""
    if HANDED_VARIABLE in os.environ or not distributed.is_main():
        return False
    return os.environ.get(RANK_VARIABLE, "0") == "0"


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Of the processes that are started meanwhile; the launcher leaves some of its own behind, too."""
    before = dict(os.environ)
    os.environ |= variables
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


@contextmanager
def _handlers() -> Iterator[None]:
    """Put signals' handlers back: the launcher sets its own, which end the processes that it started."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
