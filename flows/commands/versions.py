"""Whether the installed packages are those that Tunesmith was tried with."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from tasks.core.errors import TunesmithError

_LOCK = Path(__file__).parents[2] / "requirements.lock"


def as_tried(lock: Path = _LOCK, ranges: Iterable[str] | None = None) -> str:
    """Compare the installed packages with ``ranges``, and with the lock if the file exists.

    Args:
        ranges: requirements such as ``sqlalchemy<2.1``; those of pyproject.toml by default.

    Raises:
        TunesmithError: a package is outside its range; one line per package.
    """
    ranges = requires("tunesmith") or [] if ranges is None else ranges
    if lines := [line for line in map(_outside, ranges) if line]:
        remedy = f"`{sys.executable} -m pip install --no-deps -r {lock}` installs the tested ones"
        raise TunesmithError("\n".join([*lines, remedy]))
    others = [line for name, tried in pins(lock).items() if (line := _other(name, tried))] if lock.exists() else []
    return f"other than tried, within the allowed ranges: {', '.join(others)}" if others else "as tried"


def pins(lock: Path) -> dict[str, str]:
    """Package → version of the lines ``package==version``."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in lock.read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


def _outside(line: str) -> str | None:
    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} must be installed; it is not"
    if requirement.specifier.contains(Version(installed).public, prereleases=True):
        return None
    return f"{requirement.name} must be {requirement.specifier}; {installed} is installed"


def _other(name: str, tried: str) -> str | None:
    try:
        installed = version(name)
    except PackageNotFoundError:
        return None  # needed by a package that is not imported here, or by the tests
    return None if installed == tried else f"{name} {installed} ({tried})"
