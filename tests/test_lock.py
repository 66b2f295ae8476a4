"""The lock holds the versions that were tried together, and a reason for each excluded newer version."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flows.commands.versions import as_tried, pins
from tasks.core.errors import TunesmithError

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
BESIDE_THE_LOCK = {"torch"}  # pip installs it first, in the build of the machine


def requirements() -> dict[str, Requirement]:
    """All that pyproject.toml asks for, with what the tests and the checks need."""
    project = tomllib.loads(PROJECT)["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def test_every_pin_is_within_the_ranges_of_pyproject() -> None:
    locked = pins(ROOT / "requirements.lock")
    assert len(locked) > 100 and not BESIDE_THE_LOCK & locked.keys()
    for name, requirement in requirements().items():
        if name not in BESIDE_THE_LOCK:
            assert requirement.specifier.contains(locked[name]), f"{requirement}: the lock has {locked[name]}"
    assert locked["sqlalchemy"].startswith("2.0.") and locked["fastapi"].startswith("0.139.")


def test_a_range_that_excludes_newer_versions_has_a_reason() -> None:
    bounded = {name for name, requirement in requirements().items() if "<" in str(requirement.specifier)}
    assert bounded == {"fastapi", "sqlalchemy"}
    for name in bounded:
        assert re.search(rf'^    "{name}<[\d.]+", # .*Prefect 3\.8\.8', PROJECT, re.MULTILINE), name


def test_the_lock_keeps_the_tried_versions_unless_more_is_requested() -> None:
    def commands(target: str) -> str:
        return subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    assert "uv pip compile" in commands("lock") and "--upgrade" not in commands("lock")
    assert "--upgrade" in commands("lock-upgrade")


def test_installed_versions_are_compared_with_the_tried_ones(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    installed = pins(ROOT / "requirements.lock")["rich"]
    lock.write_text(f"rich=={installed}\n")
    assert as_tried(lock) == "as tried"
    lock.write_text("rich==0.1  # why\n")
    assert as_tried(lock) == f"other than tried, within the allowed ranges: rich {installed} (0.1)"
    with pytest.raises(TunesmithError) as caught:
        as_tried(lock, ["rich<1", "typer", 'rich<1; extra == "dev"', "no-such-package"])
    assert str(caught.value).splitlines() == [
        f"rich must be <1; {installed} is installed",
        "no-such-package must be installed; it is not",
        f"`{sys.executable} -m pip install --no-deps -r {lock}` installs the tested ones",
    ]
