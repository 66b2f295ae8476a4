"""Fixtures of the parameter files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.core.paths import Paths
from tests.resolve.parameter_files import ROOT


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return Paths(tmp_path)
