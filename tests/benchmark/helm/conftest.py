from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.benchmark.helm.params import HelmParams, MemorisationParams
from tasks.core.files import write_rows
from tasks.core.paths import Paths
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.metrics.params import IntervalParams
from tasks.text.rows import RENDERED
from tests.train.training_workspace import PAIRS, rows, train

INTERVALS = IntervalParams(resamples=200)
PARAMS = HelmParams(
    rows=8,
    token_budget=2048,
    max_new_tokens=8,
    precision="fp32",
    intervals=INTERVALS,
    memorisation=MemorisationParams(rows=4, prefix_tokens=4, new_tokens=12, span_tokens=4),
    threads=1,
)


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
