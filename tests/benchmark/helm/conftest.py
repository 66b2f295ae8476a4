from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.files import write_rows
from tasks.core.paths import Paths
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.text.rows import RENDERED
from tests.train.training_workspace import PAIRS, rows, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, memorised: Paths) -> Iterator[Paths]:
    """A workspace with the models ``base`` (untrained) and ``full`` (knows ``PAIRS`` by heart); read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        paths = Paths(Path(shutil.copytree(memorised.root, tmp_path_factory.mktemp("helm") / "workspace")))
        train(paths, "base", {"method": "none"})
        write_rows(paths.mixture("demo") / "train.parquet", rows(PAIRS), RENDERED)
        yield paths


@pytest.fixture(scope="session")
def base(trained: Paths) -> Predictor:
    generation = GenerationParams(max_new_tokens=8, token_budget=2048, precision="fp32")
    return Predictor.load(trained.model("base"), generation, trained.root)
