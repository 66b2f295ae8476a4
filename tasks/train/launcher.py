"""Train in several processes: the stage starts them with ``accelerate launch``, and the main one writes files.

gloo connects CPU processes, NCCL connects GPUs. See ``docs/distributed.md``.
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
from tasks.core.faults import MEMORY_EXIT, TRANSIENT_EXIT, MemoryShortError, TransientError, exit_code
from tasks.core.stage import PARENT_VARIABLE, Stage, Terminated, main, readable_errors, step
from tasks.model import distributed
from tasks.model.base_models import BaseModel
from tasks.tuning.params import ExperimentParams, LauncherParams, TrainedParams

HANDED_VARIABLE = "TUNESMITH_LAUNCHED_BY"
"""Variable with the folder in which the stage gives its inputs to a launched process, and gets an error back."""

RANK_VARIABLE, ADDRESS_VARIABLE, PORT_VARIABLE = (
    "TUNESMITH_MACHINE_RANK",
    "TUNESMITH_MAIN_PROCESS_IP",
    "TUNESMITH_MAIN_PROCESS_PORT",
)
"""Variables of a training on several nodes: the rank of this node, and the address of the first one."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

_NOISY = (
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
    "torch.distributed.elastic.multiprocessing.errors.handlers",
    "torchelastic-events-null",
)

Work = Callable[[Stage], None]


def config(launcher: LauncherParams) -> dict[str, Any]:
    """Build the file for ``accelerate launch --config_file``; ``infra/`` holds it for eight GPUs per node.

    The type is ``MULTI_GPU`` on CPUs too: accelerate's launcher of CPU processes needs MPI, and each process detects
    its own device. The launcher leaves the precision to ``training.precision``.
    """
    settings: dict[str, Any] = {
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
        settings["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_offload_params": False,
            "fsdp_cpu_ram_efficient_loading": False,
        }
    return settings


def launches_others(params: ExperimentParams) -> bool:
    """Whether this process launches the processes that train, and does not train itself.

    Raises:
        TunesmithError: this process was launched, but the number of processes differs from the parameters.
    """
    expected = params.processes
    if distributed.is_launched() and distributed.world_size() != expected:
        raise TunesmithError(
            "launcher.processes: the number of launched processes must equal the parameter, since sums depend on it; "
            f"{distributed.world_size()} processes were launched, launcher.processes is {expected}; correct one of "
            "them (params/experiments.yaml, or --num_processes of accelerate)"
        )
    return expected > 1 and not distributed.is_launched()


def check_shardable(params: TrainedParams, base: BaseModel) -> None:
    """Check that FSDP can shard the base model.

    In an encoder-decoder, encoder, decoder and output layer share one matrix. ``fsdp2_prepare_model`` of accelerate
    1.15 puts only two such modules into one group.

    Raises:
        TunesmithError: the base is an encoder-decoder and the strategy is ``fsdp``.
    """
    if params.sharded and base.kind == "seq2seq":
        raise TunesmithError(
            f"launcher.strategy: fsdp shards decoders; {base.spec} is an encoder-decoder; use strategy ddp in "
            "params/experiments.yaml"
        )


def start(name: str, work: Work) -> None:
    """Run ``python -m tasks.train NAME``, as the stage or as a process that the stage launched."""
    folder = os.environ.get(HANDED_VARIABLE)
    if folder is None:
        main(f"train@{name}", work)
    else:
        step(f"train@{name}", lambda: _run_launched(Path(folder), work))


def _run_launched(folder: Path, work: Work) -> None:
    """Do ``work`` for the stage that launched this process; leave an error in ``folder``, for the stage to report."""
    handed = files.read_json(folder / "stage.json")
    try:
        with readable_errors():
            work(Stage(handed["address"], Path(handed["root"]), handed["inputs"]))
    except Exception as error:
        known = isinstance(error, TunesmithError)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        handed = {
            "known": known,
            "message": message,
            "code": exit_code(error) if isinstance(error, TunesmithError) else 1,
        }
        files.write_json(folder / f"error-{distributed.rank()}.json", handed)
        if not known:
            logging.getLogger("tunesmith").exception("process %d", distributed.rank())
        sys.exit(1)
    except (Terminated, KeyboardInterrupt):
        sys.exit(128 + signal.SIGTERM)


def launch(name: str, params: TrainedParams, stage: Stage) -> None:
    """Start this node's share of ``params.launcher.processes``, and wait for them; they end when this process ends.

    Raises:
        TunesmithError: there are too few CPUs or GPUs, or a process failed: with its error.
        Terminated, KeyboardInterrupt: a signal ended them all.
    """
    launcher = params.launcher
    assert launcher is not None
    _refuse_too_many(launcher)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as handed:
        folder = Path(handed)
        files.write_json(folder / "accelerate.json", config(launcher))
        files.write_json(folder / "stage.json", asdict(stage) | {"root": str(stage.root)})
        node = _node_arguments(launcher)
        variables = {
            HANDED_VARIABLE: handed,
            PARENT_VARIABLE: str(os.getpid()),
            "OMP_NUM_THREADS": str(threads(params)),
            "PYTHONPATH": os.pathsep.join([str(Path(tasks.__file__).parents[1]), *_python_path()]),
        }
        arguments = ["--config_file", str(folder / "accelerate.json"), *node, "--module", "tasks.train", name]
        with _environment(variables), _handlers():
            _accelerate(arguments, folder, launcher)


def threads(params: ExperimentParams) -> int:
    """Count the threads of each process: the processes of a node share the threads of the experiment."""
    return max(1, params.threads // params.processes_per_node)


def _accelerate(arguments: list[str], folder: Path, launcher: LauncherParams) -> None:
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # They log many lines about what becomes one error below.
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except SignalException as ended:
        if ended.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise Terminated(128 + ended.sigval) from None
    except ChildFailedError as failed:
        errors = {int(path.stem.split("-")[1]): files.read_json(path) for path in sorted(folder.glob("error-*.json"))}
        raise _kind(errors)(_error(errors, failed, launcher)) from None


def _kind(errors: dict[int, dict[str, Any]]) -> type[TunesmithError]:
    """The kind of the error: memory that ran out in one process, or only transient faults."""
    codes = {entry["code"] for entry in errors.values()}
    if MEMORY_EXIT in codes:
        return MemoryShortError
    return TransientError if codes == {TRANSIENT_EXIT} else TunesmithError


def _error(errors: dict[int, dict[str, Any]], failed: Any, launcher: LauncherParams) -> str:
    """Pick the error of the first process that knows its cause; others often fail because that one is gone."""
    if known := [entry["message"] for _, entry in sorted(errors.items()) if entry["known"]]:
        return str(known[0])
    index, failure = failed.get_first_failure()
    process = f"process {index} of {launcher.processes}"
    if index in errors:
        return f"{process}: {' '.join(errors[index]['message'].split())}"
    if failure.exitcode < 0:
        return (
            f"{process} was killed (signal {-failure.exitcode}); if memory is short (signal 9), lower "
            "training.token_budget or launcher.processes"
        )
    return f"{process} ended with exit code {failure.exitcode} and without an error; see the log above"


def _refuse_too_many(launcher: LauncherParams) -> None:
    per_node = launcher.processes // launcher.nodes
    if torch.cuda.is_available():
        available, what = torch.cuda.device_count(), "GPUs that this process may use"
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        available, what = cores, "CPUs"
    if per_node > available:
        raise TunesmithError(
            f"launcher.processes: a node must have a GPU or a CPU for each of its processes; it would run {per_node} "
            f"and has {available} {what}; lower launcher.processes (now {launcher.processes}), or raise launcher.nodes "
            f"(now {launcher.nodes}), in params/experiments.yaml"
        )


def _node_arguments(launcher: LauncherParams) -> list[str]:
    if launcher.nodes == 1:
        return ["--machine_rank", "0", "--main_process_port", "0"]  # a free port: others train on this node too
    variables = {name: os.environ.get(name, "") for name in (RANK_VARIABLE, ADDRESS_VARIABLE)}
    for name, value in variables.items():
        if not value:
            raise TunesmithError(
                f"{name}: a training on {launcher.nodes} nodes needs {' and '.join(variables)}; this one is not set; "
                "set it on each node (docs/distributed.md)"
            )
    rank = variables[RANK_VARIABLE]
    if rank not in map(str, range(launcher.nodes)):
        raise TunesmithError(
            f"{RANK_VARIABLE}: must be a number from 0 to {launcher.nodes - 1}, a different one on each node; it is "
            f"{rank!r}; correct it on this node"
        )
    port = os.environ.get(PORT_VARIABLE, "29500")
    return ["--machine_rank", rank, "--main_process_ip", variables[ADDRESS_VARIABLE], "--main_process_port", port]


def holds_lock() -> bool:
    """Whether this process holds the lock of its experiment: the one stage process of the first node."""
    if HANDED_VARIABLE in os.environ or not distributed.is_main():
        return False
    return os.environ.get(RANK_VARIABLE, "0") == "0"


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set ``variables`` for the processes that the block starts; remove those that the launcher adds as well."""
    before = dict(os.environ)
    os.environ |= variables
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


@contextmanager
def _handlers() -> Iterator[None]:
    """Restore the handlers of signals: the launcher sets its own, which end the processes that it started."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
