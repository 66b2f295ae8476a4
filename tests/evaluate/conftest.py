from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.files import write_rows
from tasks.core.paths import Paths
from tasks.text.rows import RENDERED
from tests.evaluate.evaluation import EVALUATE, add_scoring, write_params
from tests.train.training_workspace import LORA, PAIRS, rows, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, memorised: Paths) -> Iterator[Paths]:
    """A workspace with the models ``base`` (untrained), ``full`` (knows ``PAIRS`` by heart) and ``lora``; read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        paths = Paths(Path(shutil.copytree(memorised.root, tmp_path_factory.mktemp("evaluate") / "workspace")))
        train(paths, "base", {"method": "none"})
        train(paths, "lora", LORA | {"training": {"epochs": 3, "learning_rate": 1e-2}})
        paths.evaluation_set.mkdir(parents=True)
        write_rows(paths.evaluation_set / "test.parquet", rows(PAIRS), RENDERED)
        write_rows(paths.evaluation_set / "validation.parquet", rows(PAIRS[:3]), RENDERED)
        add_scoring(paths, "rouge")
        for name in ("base", "full", "lora"):
            write_params(paths, name, EVALUATE)
        yield paths


@pytest.fixture(scope="session")
def evaluated(trained: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """``base``, ``base_2`` (two examples in its prompts) and ``lora``, evaluated in two templates; read only."""
    from tests.evaluate.evaluated_workspace import evaluated_workspace

    root = tmp_path_factory.mktemp("evaluated") / "workspace"
    return evaluated_workspace(Paths(Path(shutil.copytree(trained.root, root))))


@pytest.fixture(scope="session")
def registered(evaluated: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The same with ``lora`` as version 1, the champion, and ``base_2`` as version 2; read only."""
    from tests.evaluate.evaluated_workspace import register

    root = tmp_path_factory.mktemp("registered") / "workspace"
    return register(Paths(Path(shutil.copytree(evaluated.root, root))))


@pytest.fixture
def paths(trained: Paths, tmp_path: Path) -> Paths:
    """A copy of the trained workspace to change."""
    return Paths(Path(shutil.copytree(trained.root, tmp_path / "copy")))
