"""The work of ``tunesmith reproduce``: build the state of a registered version again, and compare the weights."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from flows.by_hand import load_registration
from flows.commands.registered import address_of
from flows.subprocesses import allow, stop_all, stream
from flows.workspace import ROOT_VARIABLE
from tasks.ancestry.build import ensure_built
from tasks.core import files
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.lineage.seen import rows_of_run
from tasks.lineage.traces import withheld_rows
from tasks.model.base_models import params_of
from tasks.model.registered import find_version
from tasks.serving.package import MODEL
from tasks.tracking.client import VARIABLE, open_store, readable_mlflow
from tasks.tracking.state import GIT, LOCK, PATCH, has_commit, read_state
from tasks.tracking.tag_names import NAME
from tasks.train import halved

Say = Callable[[str], None]

_FIELDS = {
    "params": "parameters",
    "versions": "library versions",
    "computed": "device or precision",
    "base_model": "base model",
}
"""Fields of a manifest that explain other weights → what they are for a reader."""

_DVC = [sys.executable, "-m", "dvc"]


def reproduce(root: Path, model: str | None, say: Say, keep: Path | None = None) -> bool:
    """Build the version ``model`` again, in a temporary worktree; return whether the weights are equal.

    Sources come from DVC's cache or its remote, where these have them; every other stage on the way runs again.

    Args:
        model: as for ``tunesmith explain``; None means the champion.
        say: prints a line.
        keep: a new folder for the worktree, which then stays; None removes it.

    Raises:
        TunesmithError: the state, the commit or the data is not available, or a stage fails.
    """
    keep = None if keep is None else keep.resolve()
    params = load_registration(root)
    with tempfile.TemporaryDirectory() as temporary:
        tracker = open_store(root)
        with readable_mlflow(tracker.uri):
            address = address_of(model, params, tracker.client)
            version = find_version(tracker.client, address)
            state = read_state(tracker.client, str(version.run_id), Path(temporary))
            manifest = _manifest(tracker.client, str(version.run_id), Path(temporary))
        experiment = str(version.tags.get(NAME))
        say(f"{address} is version {version.version}, experiment {experiment}")
        if state is None:
            raise TunesmithError(
                f"{address}: its run has no state (dvc.lock, parameters, commit); an earlier release registered it, so "
                "it cannot be reproduced; `dvc repro` builds the present state"
            )
        for difference in environment_differences(manifest):
            say(f"note: {difference}; the weights may differ")
        git = files.read_json(state / GIT)
        _refuse_lost_commit(root, git, address)
        code = _code_differences(git)
        for difference in [*code, *_forgotten(version, tracker.client, root)]:
            say(f"note: {difference}")
        with _worktree(root, git["commit"], keep) as tree:
            _restore(root, state, tree, say)
            ensure_built(params_of(manifest["base_model"]), root)
            say(f"building train@{experiment} in {tree}")
            _build(tree, experiment, say, halved.was_halved(manifest))
            rebuilt = files.read_json(Paths(tree).model(experiment) / "manifest.json")
    equal = bool(rebuilt["weights_sha256"] == manifest["weights_sha256"])
    if equal:
        say(f"the weights are equal: sha256 {manifest['weights_sha256']}")
    else:
        say(f"the weights differ: sha256 {rebuilt['weights_sha256']} now, {manifest['weights_sha256']} registered")
        changed = _changed_inputs(manifest, rebuilt)
        for name in changed:
            say(f"  different: {name}")
        if not changed and not code:
            say("  inputs, parameters, versions and device are the same; processors may round differently")
    return equal


def environment_differences(manifest: dict[str, Any]) -> list[str]:
    """What differs between this machine and that of the training: library versions, device, and bf16."""
    from tasks.core import device

    lines = []
    for package, trained in (manifest.get("versions") or {}).items():
        try:
            here = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            here = "not installed"
        if here != trained:
            lines.append(f"{package} is {here} here and was {trained}")
    computed = manifest.get("computed") or {}
    here_device = device.device().type
    if computed.get("device") not in (None, here_device):
        lines.append(f"this machine computes on {here_device}; the training ran on {computed['device']}")
    precision = (manifest["params"].get("training") or {}).get("precision", "auto")
    if "bf16" in computed and computed["bf16"] != device.use_bf16(precision):
        here, before = ("off", "on") if computed["bf16"] else ("on", "off")
        lines.append(f"bf16 is {here} here and was {before} in the training")
    return lines


def _code_differences(git: dict[str, Any]) -> list[str]:
    """How the code of the training may differ from the stored one."""
    trained_at = git.get("trained_at") or ""
    differences = []
    if trained_at.removesuffix("-dirty") not in ("", git["commit"]):
        differences.append(f"it was trained at {trained_at} and registered at {git['commit']}; the code may differ")
    if git["untracked"]:
        differences.append(f"code files that git did not know were not stored: {', '.join(git['untracked'])}")
    return differences


def _forgotten(version: ModelVersion, client: Any, root: Path) -> list[str]:
    """A line if the version was trained on rows that ``tunesmith forget`` withholds now."""
    withheld = {row_id for row_ids in withheld_rows(Paths(root)).values() for row_id in row_ids}
    rows = set(rows_of_run(client, str(version.run_id)).column("row_id").to_pylist()) & withheld
    if not rows:
        return []
    return [f"it was trained on {counted(len(rows), 'row')} that you withhold now; this trains on them again"]


def _manifest(client: Any, run_id: str, folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = files.read_json(
        Path(client.download_artifacts(run_id, f"{MODEL}/manifest.json", str(folder)))
    )
    return manifest


def _refuse_lost_commit(root: Path, git: dict[str, Any], address: str) -> None:
    commit = git["commit"]
    if commit is None:
        raise TunesmithError(
            f"{address}: the model was not built in a git repository, so no commit is stored; commit the workspace to "
            "git and train again"
        )
    if not has_commit(root, commit):
        raise TunesmithError(
            f"{address}: the model was built from commit {commit}, which this repository lacks; run `git fetch --all`"
        )


@contextmanager
def _worktree(root: Path, commit: str, keep: Path | None) -> Iterator[Path]:
    """A worktree of the repository at ``commit``; removed afterwards, unless it is kept."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = keep or Path(temporary) / "workspace"
        _command(["git", "worktree", "add", "--detach", "--force", str(tree), commit], root)
        try:
            yield tree
        finally:
            if keep is None:
                _command(["git", "worktree", "remove", "--force", str(tree)], root)


def _restore(root: Path, state: Path, tree: Path, say: Say) -> None:
    """Bring the worktree into the stored state, with the data of the sources from the workspace's cache or remote."""
    if (state / PATCH).exists():
        _command(["git", "apply", "--whitespace=nowarn", str((state / PATCH).resolve())], tree)
    for name in ("params", "data"):
        if (state / name).is_dir():
            shutil.copytree(state / name, tree / name, dirs_exist_ok=True)
    if (state / LOCK).exists():
        shutil.copy(state / LOCK, tree / LOCK)
    if (root / ".dvc/config.local").exists():
        shutil.copy(root / ".dvc/config.local", tree / ".dvc/config.local")
    cache = _command([*_DVC, "cache", "dir"], root).strip()
    _command([*_DVC, "cache", "dir", "--local", str((root / cache).resolve())], tree)
    for line in _command([*_DVC, "remote", "list"], root).splitlines():
        name, address, *_ = line.split("\t")
        if Path(address).is_absolute():  # DVC resolves a relative address by the folder of the configuration
            _command([*_DVC, "remote", "modify", "--local", name, "url", address], tree)
    for pointer in sorted(str(path.relative_to(tree)) for path in (tree / "data/sources").glob("*.dvc")):
        _check_out(pointer, tree)
    _link_bases(root, tree)
    lock = read_yaml(tree / LOCK) if (tree / LOCK).exists() else {}
    sources = read_yaml(tree / "params/sources.yaml").get("sources") or {}
    source_stages = {}
    for address, stage in lock.get("stages", {}).items():
        if address.partition("@")[2] not in sources:  # such as a removed source, until `tunesmith clean`
            continue
        # A split reads its earlier assignments, so that groups stay where they are.
        if address.startswith("split@"):
            _check_out(address, tree)
        outs = [out["path"] for out in stage.get("outs", [])]
        if outs and all(out.startswith("data/sources/") for out in outs):
            try:
                _check_out(address, tree)
                source_stages[address] = stage
            except TunesmithError:
                say(f"{address}: neither DVC's cache nor its remote has the data; the stage runs again")
    if lock:
        write_yaml(tree / LOCK, lock | {"stages": source_stages})  # what the lock does not name runs


def _check_out(target: str, tree: Path) -> None:
    """Put the data of a stage or a ``.dvc`` file into the worktree, from the cache, else from the remote."""
    try:
        _command([*_DVC, "checkout", "--quiet", target], tree)
    except TunesmithError:
        try:
            _command([*_DVC, "pull", "--quiet", target], tree)
        except TunesmithError as error:
            raise TunesmithError(
                f"reproduce: {target}: DVC's cache or its remote must have this data; neither has it ({error}); run "
                "`dvc fetch --all-commits` in the workspace, or restore the remote"
            ) from None


def _link_bases(root: Path, tree: Path) -> None:
    """Link local base models that git does not know into the worktree; the manifest names their weights' hash."""
    bases = read_yaml(tree / "params/training.yaml").get("base_models") or {}
    for folder in map(Path, bases.values()):
        if not folder.is_absolute() and (root / folder).is_dir() and not (tree / folder).exists():
            (tree / folder).parent.mkdir(parents=True, exist_ok=True)
            (tree / folder).symlink_to((root / folder).resolve(), target_is_directory=True)


def _build(tree: Path, experiment: str, say: Say, was_halved: bool) -> None:
    """Run the stages that ``dvc.lock`` does not name, up to the training, without the workspace's MLflow store."""
    for name in (VARIABLE, "PREFECT_API_URL", "PREFECT_HOME"):
        os.environ.pop(name, None)
    command = [*_DVC, "repro", "--no-run-cache", "--no-commit", f"train@{experiment}"]
    environment = {ROOT_VARIABLE: str(tree), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if was_halved:
        environment[halved.HALVE_VARIABLE] = "1"
    allow()
    try:
        lines: list[str] = []

        def show(line: str) -> None:
            lines.append(line)
            say(f"  {line}")

        if stream(command, tree, show, environment):
            raise TunesmithError(f"reproduce: a stage failed: {lines[-1] if lines else 'no output'}")
    finally:
        stop_all()


def _changed_inputs(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What explains other weights: inputs, parameters, versions, or the processor's way to compute."""
    inputs = [name for name in sorted(before["inputs"]) if after["inputs"].get(name) != before["inputs"][name]]
    return [*inputs, *(words for name, words in _FIELDS.items() if after[name] != before[name])]


def _command(command: list[str], folder: Path) -> str:
    """Run a command; return what it printed."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = (ended.stderr or ended.stdout).strip().splitlines()
        raise TunesmithError(f"reproduce: `{' '.join(command[:4])} …` failed: {reason[-1] if reason else 'no output'}")
    return ended.stdout
