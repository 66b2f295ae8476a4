"""Base models of the tests of methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import save_gpt2
from tests.train.training_workspace import PAIRS


@pytest.fixture(scope="session")
def bases(tiny_llama: Path, tiny_t5: Path) -> dict[str, Path]:
    return {"llama": tiny_llama, "t5": tiny_t5}


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gpt2(tmp_path_factory.mktemp("gpt2"), [text for pair in PAIRS for text in pair])
