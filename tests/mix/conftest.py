from __future__ import annotations

from pathlib import Path

import pytest

from tests.mix.splits import Write, writer


@pytest.fixture
def workspace(tmp_path: Path) -> Write:
    return writer(tmp_path)
