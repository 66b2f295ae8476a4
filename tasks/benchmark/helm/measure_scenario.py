"""Measure one scenario on a loaded model, by its kind."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.benchmark.helm.joint import Joint
from tasks.benchmark.helm.measure_choices import measure_bbq, measure_choice
from tasks.benchmark.helm.measure_texts import measure_generation, measure_pairs
from tasks.benchmark.helm.measured import Measured
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import Instance, Question, QuestionRenderer, Scenario
from tasks.core.errors import TunesmithError
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor


def generation_params(params: HelmParams) -> GenerationParams:
    """The generation settings of scenarios."""
    return GenerationParams(
        max_new_tokens=params.max_new_tokens, token_budget=params.token_budget, precision=params.precision
    )


def measure_scenario(
    scenario: Scenario,
    drawn: Sequence[Instance],
    renderer: QuestionRenderer | None,
    predictor: Predictor,
    params: HelmParams,
) -> tuple[Measured, int]:
    """Return the results on the drawn rows that fit the model's context, and the number of rows that do not.

    Args:
        renderer: renders the questions; None for sentence pairs.

    Raises:
        TunesmithError: no row fits, a row is wrong, or a log-probability is not finite.
    """
    if isinstance(renderer, Joint):
        renderer = renderer.fitted(predictor)
    instances = _fitting(drawn, renderer, predictor, params)
    dropped = len(drawn) - len(instances)
    if renderer is None:
        return measure_pairs(scenario, instances, predictor, params), dropped
    by_kind = {"choice": measure_choice, "bbq": measure_bbq, "generation": measure_generation}
    return by_kind[scenario.kind](scenario, instances, renderer, predictor, params), dropped


def _fitting(
    drawn: Sequence[Instance], renderer: QuestionRenderer | None, predictor: Predictor, params: HelmParams
) -> Sequence[Instance]:
    """Rows that fit the model's context with a prompt 1.5 times as long, since perturbations lengthen it."""
    context = predictor.context
    if renderer is None or context is None:
        return drawn

    kept = [one for one in drawn if _fits(renderer.question(one), renderer, predictor, context, params)]
    if not kept:
        raise TunesmithError(
            f"no row fits the model's context of {context} tokens; use another model for this scenario"
        )
    return kept


def _fits(
    question: Question, renderer: QuestionRenderer, predictor: Predictor, context: int, params: HelmParams
) -> bool:
    if isinstance(renderer, Joint):
        return renderer.fits(question)
    longest = max((len(choice) for choice in question.choices), default=params.max_new_tokens)
    return 1.5 * len(predictor.renderer.prompt(question.prompt)) + longest <= context
