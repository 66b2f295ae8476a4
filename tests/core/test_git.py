"""Git in a workspace: outside a repository, without git, and with names that are not UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.person import VARIABLE, person_name
from tasks.core import git
from tasks.core.errors import TunesmithError
from tasks.core.facts import git_commit


def test_outside_a_repository_and_without_git_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert git.text(tmp_path, "rev-parse", "HEAD") == "" and git_commit(tmp_path) is None
    with pytest.raises(TunesmithError, match="`git rev-parse` failed: fatal: not a git repository"):
        git.run(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.text(tmp_path, "rev-parse", "HEAD") == "" and git_commit(tmp_path) is None
    assert person_name(tmp_path), "the user of the system"
    with pytest.raises(TunesmithError, match=r"`git rev-parse` failed: .*No such file or directory: 'git'"):
        git.run(tmp_path, "rev-parse", "HEAD")


def test_a_name_that_is_not_utf_8_survives(tmp_path: Path) -> None:
    git.run(tmp_path, "init", "--quiet")
    name = b"caf\xe9 .txt"
    (tmp_path / os.fsdecode(name)).touch()
    listed = git.text(tmp_path, "ls-files", "--others", "-z")
    assert os.fsencode(listed.rstrip("\0")) == name and (tmp_path / listed.rstrip("\0")).exists()
