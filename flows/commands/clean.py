"""``tunesmith clean``: remove what no parameter names any more. DVC itself keeps it, and its entry in dvc.lock."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil
from dvc.repo import Repo, lock_repo
from ruamel.yaml import YAML

from flows.dag import read_dag
from flows.dvc_lock import run_dvc
from flows.workspace import workspace_lock
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.resolve.check import mapping
from tasks.sweep.trials_file import read_trials

logger = logging.getLogger("tunesmith")

_STEPS = ("train", "predict", "benchmark")
"""Steps with a folder in ``runs/X``; of earlier versions there may be ``evaluate`` besides."""


def clean(root: Path, dry_run: bool, cache: bool, checkpoints: bool) -> list[str]:
    """Remove orphaned outputs, their entries in dvc.lock, and half-written files of dead processes.

    Registered versions are in the MLflow store, so they stay.

    Args:
        dry_run: remove nothing.
        checkpoints: also remove checkpoints, from which an interrupted training would resume.
        cache: also remove from DVC's cache what neither the workspace nor a commit refers to.

    Returns:
        One line per removed file, folder or entry.
    """
    with workspace_lock(root, "tunesmith clean"):
        entries = _orphaned_entries(root)
        orphans = [*_orphans(Paths(root)), *_half_written(root), *_old_reports(Paths(root))]
        orphans += sorted(Paths(root).checkpoints.glob("*")) if checkpoints else []
        lines = [f"{'would remove' if dry_run else 'removed'} {path.relative_to(root)}" for path in orphans]
        lines += [f"{'would drop' if dry_run else 'dropped'} {entry} from dvc.lock" for entry in entries]
        if not dry_run:
            for path in orphans:
                files.remove(path)
            drop_entries(root, entries)
            if cache:
                lines.append(_collect_cache(root))
        return lines or ["nothing to remove"]


def _orphans(paths: Paths) -> list[Path]:
    experiments = mapping(paths.params / "experiments.yaml", "experiments")
    mixtures = mapping(paths.params / "mixtures.yaml", "mixtures")
    sources = mapping(paths.params / "sources.yaml", "sources")
    bases = mapping(paths.params / "training.yaml", "base_models")
    kept = {
        paths.root / "models": set(experiments),
        paths.root / "runs": set(experiments),
        paths.predictions("X").parent: set(experiments),
        paths.reports: set(experiments),
        paths.cards: set(experiments),
        paths.benchmark("X").parent: set(experiments),
        paths.trial("X").parent: set(read_trials(paths)),
        paths.helm: {*experiments, "table.md", "table.html", "table.png"},
        paths.mixtures: set(mixtures),
        paths.bases: {f"{name}.json" for name in ("none", *bases)},
        paths.splits: set(sources),
        paths.raw("").parent: {f"{name}.parquet" for name in sources},
        paths.rendered("").parent: {f"{name}.parquet" for name in sources},
        paths.scorings: {f"{name}.json" for name in sources},
        **{paths.root / "runs" / name: set(_STEPS) for name in experiments},
    }
    orphans = [p for folder, names in kept.items() for p in folder.glob("[!.]*") if p.name not in names]
    return sorted(orphans)  # names that begin with a dot are temporary: see below


def _old_reports(paths: Paths) -> list[Path]:
    """Reports of registered versions on earlier test rows (``tasks.register.version_scores``)."""
    test = paths.evaluation_set / "test.parquet"
    reports = list((paths.state / "versions").glob("[!.]*/metrics.json"))
    if not reports or not test.exists():
        return []
    from tasks.evaluate.report import rows_digest

    present = rows_digest(files.read_rows(test))
    return sorted(path.parent for path in reports if files.read_json(path).get("test_sha256") != present)


def _half_written(root: Path) -> list[Path]:
    """Temporary outputs of processes that are gone; a plain ``dvc repro`` may be writing others at this moment."""
    folders = ("data", "models", "runs", "reports", "build")
    unfinished = [p for folder in folders for p in (root / folder).rglob(f".*{files.TEMPORARY}")]
    return sorted(p for p in unfinished if not psutil.pid_exists(int(p.name.split(".")[-2])))


def _orphaned_entries(root: Path) -> list[str]:
    if not (root / "dvc.lock").exists():
        return []
    known = set(read_dag(root, logger.warning).graph) | {f"trial@{name}" for name in read_trials(Paths(root))}
    lock = YAML(typ="safe").load((root / "dvc.lock").read_text())
    return sorted(set(lock.get("stages", {})) - known)


def drop_entries(root: Path, entries: list[str]) -> None:
    """Remove these stages from dvc.lock, which need not hold them."""
    if not entries or not (root / "dvc.lock").exists():
        return
    yaml = YAML()
    with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
        lock = yaml.load((root / "dvc.lock").read_text())
        if not {*entries} & {*lock["stages"]}:
            return
        for entry in entries:
            lock["stages"].pop(entry, None)
        with files.replacing(root / "dvc.lock") as temporary, temporary.open("w") as file:
            yaml.dump(lock, file)


def _collect_cache(root: Path) -> str:
    done = run_dvc(root, ["gc", "--workspace", "--all-commits", "--force"], logger.warning)
    if done.returncode != 0:
        raise TunesmithError(f"dvc gc: {' '.join(done.stdout.split())}")
    return "dvc gc: removed from the cache what neither the workspace nor a commit refers to"
