"""Parameters of evaluation: which stage each key reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core.params import write_yaml
from tasks.evaluate.params import EvaluateParams, ScoreParams, by_stage, resolved
from tasks.evaluate.predict_params import PredictParams
from tasks.inference.params import GenerationParams
from tasks.metrics.params import IntervalParams

INTERVALS = {"resamples": 200, "seed": 3}


@pytest.mark.parametrize(
    ("evaluate", "predict", "score"),
    [
        ({}, {}, {}),
        ({"threads": 1, "intervals": INTERVALS}, {"threads": 1}, {"intervals": INTERVALS}),
        ({"shots": 0, "intervals": INTERVALS}, {"shots": 0}, {"intervals": INTERVALS}),
        # The seed of the intervals chooses the examples too.
        ({"shots": 2, "intervals": INTERVALS}, {"shots": 2, "shots_seed": 3}, {"intervals": INTERVALS}),
        ({"shots": 2, "intervals": {"resamples": 5}}, {"shots": 2}, {"intervals": {"resamples": 5}}),
        ({"shots": 2}, {"shots": 2}, {}),
    ],
)
def test_each_key_reaches_the_stage_that_uses_it(
    evaluate: dict[str, Any], predict: dict[str, Any], score: dict[str, Any]
) -> None:
    assert by_stage(evaluate) == (predict, score)


def test_no_key_of_evaluation_is_lost() -> None:
    assert EvaluateParams.model_fields.keys() == (PredictParams.model_fields.keys() - {"shots_seed"}) | (
        ScoreParams.model_fields.keys()
    )


def test_a_folder_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    evaluate = {"shots": 1, "generation": {"max_new_tokens": 7}, "intervals": INTERVALS}
    expected = (
        PredictParams(shots=1, shots_seed=3, generation=GenerationParams(max_new_tokens=7)),
        ScoreParams(intervals=IntervalParams(resamples=200, seed=3)),
    )
    write_yaml(tmp_path / "evaluate.yaml", evaluate)
    assert resolved(tmp_path) == expected
    for stage, params in zip(("predict", "score"), by_stage(evaluate), strict=True):
        write_yaml(tmp_path / f"{stage}.yaml", params)
    (tmp_path / "evaluate.yaml").unlink()
    assert resolved(tmp_path) == expected
