"""The frame of every DVC stage: guarded inputs, atomic outputs, readable errors, no orphaned process.

DVC hashes parameters and dependencies *after* a command, and a killed ``dvc`` leaves its child running. So a stage
hashes its inputs when it starts, and again before it renames its outputs. It ends itself if the ``dvc`` or the flow
that started it has ended.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from tasks.core import files
from tasks.core.errors import TunesmithError, described
from tasks.core.faults import MemoryShortError, TransientError, exit_code, is_transient, ran_out_of_memory
from tasks.core.params import read_yaml, value_at

logger = logging.getLogger("tunesmith")

PARENT_VARIABLE = "TUNESMITH_PARENT_PID"
"""Environment variable with the process id of the flow: its stages end when it ends."""

RESTORE_VARIABLE = "TUNESMITH_RESTORE_ONLY"
"""Environment variable with which a stage refuses to run: DVC must restore its outputs, which another clone built."""

_DISK_FULL = "the disk is full; free space (`tunesmith clean`, `dvc gc -w`)"
_FORBIDDEN = "not accessible ({reason}); give this user access"
_IN_THE_WAY = "a file is where a folder is needed, or a folder where a file is needed ({reason}); move it away"
_REMEDIES = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EFBIG: "the file is larger than this user or this disk may have it ({reason}); see `ulimit -f`",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENAMETOOLONG: "the name is too long for this disk; choose a shorter one",
    errno.EIO: "the disk cannot be read or written ({reason}); check it",
    errno.EMFILE: "too many files are open; raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine; end other programs",
}


@dataclass(frozen=True)
class Stage:
    """A running stage, with the hashes of its inputs when it started.

    Attributes:
        address: the name in ``dvc.yaml``, such as ``train@lora``.
        inputs: path (relative to the workspace) or ``file: key`` → hash; empty outside a DVC workspace.
    """

    address: str
    root: Path
    inputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, address: str, root: Path) -> Stage:
        """Hash the inputs of the stage ``address`` now."""
        return cls(address, root, _hash_inputs(address, root))

    def data_inputs(self) -> dict[str, str]:
        """The hashed inputs without the code, for manifests."""
        return {name: value for name, value in self.inputs.items() if not name.startswith("tasks/")}

    @contextmanager
    def outputs(self, *targets: Path) -> Iterator[tuple[Path, ...]]:
        """Yield a temporary path for each target; rename all of them if the block succeeds.

        Raises:
            TunesmithError: an input changed meanwhile. The new outputs are discarded then: DVC would record them with
                inputs that did not produce them.
        """
        temporaries = tuple(files.temporary(target) for target in targets)
        try:
            yield temporaries
            self._refuse_changed_inputs()
            for path, target in zip(temporaries, targets, strict=True):
                files.rename(path, target)
        except BaseException:
            for path in temporaries:
                files.remove(path)
            raise

    def _refuse_changed_inputs(self) -> None:
        now = _hash_inputs(self.address, self.root)
        changed = sorted(k for k in self.inputs.keys() | now.keys() if self.inputs.get(k) != now.get(k))
        if changed:
            raise TunesmithError(
                f"{self.address}: inputs must not change while a stage runs; changed: {', '.join(changed)}. "
                "Its outputs were discarded; run again to build them from the new inputs"
            )


def _hash_inputs(address: str, root: Path) -> dict[str, str]:
    """Hash the dependencies and parameters of ``address`` in ``dvc.yaml``, which DVC's own resolver reads.

    ``dvc.lock`` is not read: another ``dvc`` may be writing it, and this process does not hold its repository lock.
    """
    if not (root / "dvc.yaml").exists():
        return {}
    from dvc.dvcfile import load_file
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            definition = load_file(repo, str(root / "dvc.yaml")).resolver.resolve_one(address)[address]
    except DvcException as error:
        raise TunesmithError(f"dvc.yaml: {address}: {' '.join(str(error).split())}") from None
    hashes = {name: _hash_path(root / name) for name in definition.get("deps", [])}
    for entry in definition.get("params", []):
        for file, keys in entry.items():
            values = read_yaml(root / file)
            hashes |= {f"{file}: {key}": files.digest(value_at(values, key)) for key in keys or values}
    return hashes


def _hash_path(path: Path) -> str:
    return files.sha256(path) if path.exists() else "missing"


def main(address: str, work: Callable[[Stage], None]) -> None:
    """Run ``work``, as ``step`` does, as the stage ``address`` of the workspace in the current folder."""

    def started() -> Stage:
        if os.environ.get(RESTORE_VARIABLE):
            raise TunesmithError(
                "another clone built it, but DVC's run cache has no result with these inputs and parameters; compare "
                "the commits and dvc.lock of both clones, or run it here with `tunesmith run`"
            )
        return Stage.start(address, Path.cwd())

    step(address, lambda: work(started()))


def quieten_bitsandbytes() -> None:
    """Silence a warning of bitsandbytes, which peft imports for every method: it advises a package to download."""
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def step(name: str, work: Callable[[], None]) -> None:
    """Run ``work`` as this process's main task: a stage, or a step outside the DAG.

    The process exits on a ``TunesmithError`` (one line per problem on stderr) with its ``exit_code``, with 130 on
    SIGINT, with 143 on SIGTERM.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    for noisy in ("dvc", "httpx", "alembic", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    quieten_bitsandbytes()
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent process may ignore it
    _end_with_parents()
    try:
        with readable_errors():
            work()
    except TunesmithError as error:
        sys.stderr.write("".join(f"{name}: error: {line}\n" for line in str(error).splitlines()))
        sys.exit(exit_code(error))
    except Terminated:
        sys.stderr.write(f"{name}: error: ended by SIGTERM; nothing half-written was left\n")
        raise
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted; nothing half-written was left\n")
        sys.exit(130)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn errors of the operating system (disk, permissions, names, memory) and of networks into one line."""
    try:
        yield
    except TunesmithError:
        raise
    except OSError as error:
        if error.errno not in _REMEDIES:
            _raise_known(error)
            raise
        reason = " ".join(str(error.strerror or os.strerror(error.errno)).split())
        raise TunesmithError(
            f"{error.filename or 'workspace'}: {_REMEDIES[error.errno].format(reason=reason)}"
        ) from None
    except Exception as error:
        # safetensors and torch raise no OSError for errors of the disk; they quote or hide its number.
        quoted = re.search(r"\(os error (\d+)\)", str(error))
        number = int(quoted.group(1)) if quoted else errno.ENOSPC if "PytorchStreamWriter" in str(error) else None
        if number not in _REMEDIES:
            _raise_known(error)
            raise
        reason = " ".join(str(error).split())
        raise TunesmithError(f"weights: {_REMEDIES[number].format(reason=reason)}") from None


def _raise_known(error: Exception) -> None:
    """Raise in its stead the TunesmithError for memory that ran out or for a network's fault, if it is one."""
    if ran_out_of_memory(error):
        raise MemoryShortError(f"memory ran out ({described(error)})") from None
    if is_transient(error):
        raise TransientError(f"the network or a server failed ({described(error)}); run again later") from error


class Terminated(SystemExit):
    """The process received SIGTERM; temporary files are removed before it exits."""


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle a signal by raising ``Terminated``.

    Raises:
        Terminated: with the exit code that a shell gives for the signal.
    """
    raise Terminated(128 + number)


def _end_with_parents() -> None:
    """Watch the ``dvc`` and the flow that started this process, and end it when one of them ends.

    SIGTERM comes first, so that temporary files are removed; SIGKILL follows after 20 s.

    Raises:
        SystemExit: the flow has already ended.
    """
    watched = [p for p in psutil.Process().parents() if _is_dvc(p)]
    if flow := os.environ.get(PARENT_VARIABLE):
        try:
            watched.append(psutil.Process(int(flow)))
        except psutil.NoSuchProcess:
            raise SystemExit(128 + signal.SIGTERM) from None
    if not watched:
        return

    def watch() -> None:
        while all(map(_is_alive, watched)):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two calls
        return False


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return any(Path(part).name == "dvc" for part in process.cmdline()[:4])
    except psutil.Error:
        return False
