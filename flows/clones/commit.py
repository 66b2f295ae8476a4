"""Code and parameters travel between clones by git commit: which commit a clone is at, and what it changed since."""

from __future__ import annotations

from pathlib import Path

from tasks.core import git
from tasks.core.errors import TunesmithError

_TRAVELS = ("tasks", "flows", "params", "dvc.yaml")
"""What a stage's code and parameters consist of."""

_BY_HASH = ("params/bases.yaml",)
"""Pins of base models: only ``resolve`` reads them, and its outputs travel through DVC."""


def commit_of(root: Path) -> str:
    """The commit of the clone.

    Raises:
        TunesmithError: it is not a git repository, or has no commit.
    """
    try:
        return git.run(root, "rev-parse", "HEAD").decode().strip()
    except TunesmithError as error:
        raise TunesmithError(f"{root}: must be a clone of a git repository with a commit ({error})") from None


def refuse_changes(root: Path) -> None:
    """Raise TunesmithError if code or parameters differ from the commit, since other clones could not have them."""
    command = ("status", "--porcelain", "--untracked-files=all", "--", *_TRAVELS)
    status = git.run(root, *command).decode(errors="replace")
    changed = [path for line in status.splitlines() if (path := line[3:]) not in _BY_HASH]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise TunesmithError(
            f"{root}: code and parameters must be committed, since workers in other clones get them by commit; not "
            f"committed: {', '.join(changed[:5])}{more}; commit and push them"
        )


def refuse_other_commit(root: Path, commit: str) -> None:
    """Raise TunesmithError unless the clone is at ``commit``, with unchanged code and parameters."""
    own = commit_of(root)
    if own != commit:
        raise TunesmithError(
            f"{root}: this clone must be at the commit of the flow, {commit[:12]}; it is at {own[:12]}; "
            f"run `git fetch && git checkout {commit[:12]}` in it, and start its worker again"
        )
    refuse_changes(root)


def restore_lock(root: Path) -> None:
    """Make ``dvc.lock`` that of the commit again, so that another commit can be checked out."""
    if git.run(root, "ls-files", "dvc.lock"):
        git.run(root, "checkout", "--quiet", "HEAD", "--", "dvc.lock")
    else:
        (root / "dvc.lock").unlink(missing_ok=True)
