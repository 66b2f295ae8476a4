"""Parameters of evaluation. Light: nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.core.params import Params, load, parse, read_yaml
from tasks.evaluate.predict_params import PredictParams
from tasks.inference.params import GenerationParams, SamplingParams
from tasks.metrics.params import IntervalParams


class ScoreParams(Params):
    """``build/experiments/X/score.yaml``.

    Attributes:
        intervals: settings of the scores' bootstrap intervals.
    """

    intervals: IntervalParams = IntervalParams()


class EvaluateParams(Params):
    """``evaluate`` of ``params/evaluation.yaml``, which experiments patch under ``evaluation``.

    Attributes:
        shots: number of training rows, with their completions, that precede the question in each prompt (Brown et al.
            2020).
        generation: settings of greedy or beam generation.
        sampling: settings of the completions that are sampled in addition.
        intervals: settings of the scores' bootstrap intervals.
        threads: processor threads; floating-point sums depend on their number.
    """

    shots: int = Field(default=0, ge=0, le=32)
    generation: GenerationParams = GenerationParams()
    sampling: SamplingParams = SamplingParams()
    intervals: IntervalParams = IntervalParams()
    threads: int = Field(default=2, ge=1)


def by_stage(evaluate: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the keys of ``EvaluateParams`` into those of ``PredictParams`` and ``ScoreParams``.

    A key that ``evaluate`` lacks stays out, so that a new default reruns no stage. The seed of the intervals also
    chooses the examples in the prompt; without examples, a new seed reruns ``score@X`` alone.
    """
    predict = {key: value for key, value in evaluate.items() if key != "intervals"}
    score = {key: value for key, value in evaluate.items() if key == "intervals"}
    seed = (evaluate.get("intervals") or {}).get("seed")
    if evaluate.get("shots") and seed is not None:
        predict["shots_seed"] = seed
    return predict, score


def resolved(folder: Path) -> tuple[PredictParams, ScoreParams]:
    """Read ``predict.yaml`` and ``score.yaml`` of a folder in ``build/experiments``.

    A workspace that an earlier version built has ``evaluate.yaml`` instead.
    """
    older = folder / "evaluate.yaml"
    if not (folder / "predict.yaml").exists() and older.exists():
        predict, score = by_stage(read_yaml(older))
        return parse(PredictParams, predict, older), parse(ScoreParams, score, older)
    return load(PredictParams, folder / "predict.yaml"), load(ScoreParams, folder / "score.yaml")
