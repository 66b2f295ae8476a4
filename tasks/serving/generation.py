"""Settings of generation that a client of a served model may change: the ``params`` of its signature."""

from __future__ import annotations

from typing import Any

from mlflow.types import DataType, ParamSchema, ParamSpec

from tasks.core.params import parse
from tasks.inference.params import GenerationParams, SamplingParams

_WHERE = "params"


def param_schema(generation: GenerationParams) -> ParamSchema:
    """The parameters, with those of the evaluation as defaults; temperature 0 is greedy, as in the evaluation."""
    sampling = SamplingParams()
    return ParamSchema(
        [
            ParamSpec("max_new_tokens", DataType.long, generation.max_new_tokens),
            ParamSpec("num_beams", DataType.long, generation.num_beams),
            ParamSpec("temperature", DataType.double, 0.0),
            ParamSpec("top_p", DataType.double, sampling.top_p),
            ParamSpec("seed", DataType.long, sampling.seed),
        ]
    )


def generation_of(
    evaluated: GenerationParams, params: dict[str, Any]
) -> tuple[GenerationParams, SamplingParams | None]:
    """The settings of one request; those that ``params`` lacks keep the evaluation's values.

    At temperature 0, ``top_p`` and ``seed`` have no effect.

    Raises:
        TunesmithError: a value is out of its range.
    """
    own = {name: params[name] for name in ("max_new_tokens", "num_beams") if params.get(name) is not None}
    generation = parse(GenerationParams, evaluated.model_dump() | own, _WHERE)
    if not params.get("temperature"):
        return generation, None
    drawn = {name: params[name] for name in ("temperature", "top_p", "seed") if params.get(name) is not None}
    return generation, parse(SamplingParams, drawn, _WHERE)
