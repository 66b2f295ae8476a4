"""Multiple-choice scenarios: accuracy, calibration, robustness, fairness; and the bias scores of BBQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from tasks.benchmark.helm import perturb
from tasks.benchmark.helm.bias import BBQAnswer, bbq_score, bbq_target
from tasks.benchmark.helm.calibration import (
    calibration_floor,
    coverage_accuracy_area,
    expected_calibration_error,
    selective_accuracy,
)
from tasks.benchmark.helm.choices import Scored, per_token, probabilities, score_questions
from tasks.benchmark.helm.energy import metered
from tasks.benchmark.helm.intervals import Cell, mean_cell, statistic_cell
from tasks.benchmark.helm.joint import Joint, score_letters
from tasks.benchmark.helm.measured import Measured, efficiency
from tasks.benchmark.helm.params import HelmParams
from tasks.benchmark.helm.scenarios import Instance, Question, QuestionRenderer, Scenario, variants
from tasks.inference.predict import Predictor
from tasks.text.rows import Row

ORIGINAL = "original"

Answer = tuple[BBQAnswer, str]
"""An answer and the independent group of its row."""


def measure_choice(
    scenario: Scenario,
    instances: Sequence[Instance],
    renderer: QuestionRenderer,
    predictor: Predictor,
    params: HelmParams,
) -> Measured:
    """Accuracy and calibration on the original rows; robustness and fairness on these and their perturbations.

    A row counts only if it is right in all variants, so only rows that are right in the original are perturbed.
    ``details``: per perturbation, whether the metric ``counts`` it (HELM's), the share of these rows that stay correct
    (``kept``), and the number of rows that it changes.
    """
    measured, rows = _original(instances, renderer, predictor, params)
    right = [instance for instance, row in zip(instances, rows, strict=True) if row["score"]]
    changed = _perturbed(scenario, right, renderer, predictor, params)
    for name, counted in perturb.HELMS.items():
        wrong = {variant: _wrong(changed, variant) for variant in perturb.names(name, params.exact)}
        lost = set().union(*(wrong[variant] for variant in counted))
        worst = [row["score"] if row["instance"] not in lost else 0.0 for row in rows]
        measured.cells[name] = mean_cell(worst, params.intervals, _groups(instances))
        measured.details[name] = {
            variant: {
                "counts": variant in counted,
                "kept": mean_cell([float(one.id not in ids) for one in right], params.intervals, _groups(right)),
                "changed_rows": sum(row["variant"] == variant for row in changed),
            }
            for variant, ids in wrong.items()
        }
    return Measured(measured.cells, measured.details, rows + changed)


def measure_bbq(
    scenario: Scenario,
    instances: Sequence[Instance],
    renderer: QuestionRenderer,
    predictor: Predictor,
    params: HelmParams,
) -> Measured:
    """As ``measure_choice`` without perturbations, with the bias score of ambiguous contexts as cell ``bias``.

    ``details.bbq``: accuracy and bias score of both kinds of context, the share of "unknown" predictions, the number of
    rows without a single stereotyped answer (they count for accuracy only), and the scores of each category.
    """
    measured, rows = _original(instances, renderer, predictor, params)
    answers: list[Answer] = []
    categories: list[str] = []
    for instance, row in zip(instances, rows, strict=True):
        row["group"] = str(instance.row.get("category", ""))
        if (answer := _bbq_answer(instance, row)) is not None:
            answers.append((answer, instance.group))
            categories.append(row["group"])
    measured.cells["bias"] = _bbq_cell(answers, True, params)
    measured.details["bbq"] = {
        **_bbq_details(answers, rows, instances, params),
        "target_unknown": len(instances) - len(answers),
        "by_category": {
            category: {
                name: _bbq_cell([a for a, c in zip(answers, categories, strict=True) if c == category], which, params)
                for name, which in (("ambiguous", True), ("disambiguated", False))
            }
            for category in sorted(set(categories))
        },
    }
    return Measured(measured.cells, measured.details, rows)


def _original(
    instances: Sequence[Instance], renderer: QuestionRenderer, predictor: Predictor, params: HelmParams
) -> tuple[Measured, list[Row]]:
    questions = [renderer.question(instance) for instance in instances]
    with metered() as energy:
        scored = _score(renderer, predictor, questions, params.token_budget)
    rows = _rows(instances, ORIGINAL, questions, scored)
    groups = _groups(instances)
    correct = np.array([row["score"] for row in rows])
    confidence = np.array([row["confidence"] for row in rows])
    floor, floor_95 = calibration_floor(confidence, params.seed)
    cells = {"accuracy": mean_cell(list(correct), params.intervals, groups)}

    def of_confidence(measure: Any, largest: float | None = None) -> Cell:
        def statistic(rows: np.ndarray) -> float | None:
            value: float | None = measure(confidence[rows], correct[rows])
            return value

        return statistic_cell(groups, statistic, params.intervals, "no row to measure", largest)

    cells["calibration"] = of_confidence(expected_calibration_error, 1.0)
    cells["calibration"] |= {"floor": floor, "floor_95": floor_95}
    details: dict[str, Any] = {
        "selective_accuracy_10": of_confidence(selective_accuracy),
        "coverage_accuracy_area": of_confidence(coverage_accuracy_area),
        "chance": float(np.mean([1 / len(question.choices) for question in questions])),
        "majority": float(np.bincount([row["answer"] for row in rows]).max() / len(rows)),
        "predicted": _times_predicted(rows),
    }
    if scored.generated is None:
        by_sum = [float(int(np.argmax(row["logprobs"])) == row["answer"]) for row in rows]
        details["accuracy_by_sum"] = mean_cell(by_sum, params.intervals, groups)
    else:
        details["no_choice"] = sum(row["predicted"] is None for row in rows)
    cells["efficiency"], details["efficiency"] = efficiency(
        scored.seconds, scored.tokens, energy, params.intervals, groups
    )
    return Measured(cells, details), rows


def _groups(instances: Sequence[Instance]) -> list[str]:
    return [instance.group for instance in instances]


def _times_predicted(rows: Sequence[Row]) -> list[int]:
    """How often each choice was predicted, by its index."""
    times = [0] * max(len(row["choices"]) for row in rows)
    for row in rows:
        if row["predicted"] is not None:
            times[row["predicted"]] += 1
    return times


def _score(renderer: QuestionRenderer, predictor: Predictor, questions: Sequence[Question], budget: int) -> Scored:
    return (score_letters if isinstance(renderer, Joint) else score_questions)(predictor, questions, budget)


def _rows(instances: Sequence[Instance], variant: str, questions: Sequence[Question], scored: Scored) -> list[Row]:
    rows: list[Row] = []
    for i, (instance, question) in enumerate(zip(instances, questions, strict=True)):
        means = per_token(scored.logprobs[i], scored.lengths[i])
        chances = probabilities(means)
        predicted: int | None = int(np.argmax(means))
        text, confidence = scored.generated[i] if scored.generated else (None, max(chances))
        if text is not None:
            predicted = question.choices.index(text) if text in question.choices else None
        rows.append(
            {
                "instance": instance.id,
                "independent_group": instance.group,
                "variant": variant,
                "prompt": question.prompt,
                "choices": list(question.choices),
                "logprobs": scored.logprobs[i],
                "choice_tokens": scored.lengths[i],
                "probabilities": chances,
                "answer": question.answer,
                "predicted": predicted,
                "confidence": confidence,
                "completion": text,
                "score": float(predicted == question.answer),
                "seconds": scored.seconds[i],
                "tokens": scored.tokens[i],
            }
        )
    return rows


def _perturbed(
    scenario: Scenario,
    instances: Sequence[Instance],
    renderer: QuestionRenderer,
    predictor: Predictor,
    params: HelmParams,
) -> list[Row]:
    """Score the rows that a perturbation changes. The others have the prediction of the original."""
    questions: list[tuple[Instance, str, Question]] = []
    robustness, fairness = (perturb.names(metric, params.exact) for metric in ("robustness", "fairness"))
    for variant, columns in variants(scenario, robustness, fairness):
        for instance in instances:
            values = perturb.perturbed(
                instance.values, columns, variant, params.perturbations, params.seed, instance.id
            )
            if any(values[column] != str(instance.values[column]) for column in columns):
                questions.append((instance, variant, renderer.question(instance, values)))
    scored = _score(renderer, predictor, [question for _, _, question in questions], params.token_budget)
    rows = _rows([instance for instance, _, _ in questions], "", [question for _, _, question in questions], scored)
    return [row | {"variant": variant} for row, (_, variant, _) in zip(rows, questions, strict=True)]


def _wrong(changed: list[Row], variant: str) -> set[str]:
    """Instances whose prediction is wrong under one perturbation."""
    return {row["instance"] for row in changed if row["variant"] == variant and not row["score"]}


def _bbq_answer(instance: Instance, row: Row) -> BBQAnswer | None:
    target = bbq_target(instance.row)
    if target is None:
        return None
    unknown = [i for i in range(3) if "unknown" in map(str.lower, instance.row["answer_info"][f"ans{i}"])]
    chosen: Literal["target", "other", "unknown", "none"] = "target" if row["predicted"] == target else "other"
    if row["predicted"] is None:
        chosen = "none"
    return BBQAnswer(
        ambiguous=instance.row["context_condition"] == "ambig",
        negative=instance.row["question_polarity"] == "neg",
        chosen="unknown" if row["predicted"] in unknown else chosen,
        correct=bool(row["score"]),
    )


def _bbq_cell(answers: Sequence[Answer], ambiguous: bool, params: HelmParams) -> Cell:
    return statistic_cell(
        [group for _, group in answers],
        lambda rows: bbq_score([answers[i][0] for i in rows], ambiguous, params.exact),
        params.intervals,
        f"no row with {'an ambiguous' if ambiguous else 'a disambiguated'} context",
    )


def _bbq_details(
    answers: Sequence[Answer], rows: Sequence[Row], instances: Sequence[Instance], params: HelmParams
) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for name, condition in (("ambiguous", "ambig"), ("disambiguated", "disambig")):
        mine = [r for r, i in zip(rows, instances, strict=True) if i.row["context_condition"] == condition]
        scores, groups = [row["score"] for row in mine], [row["independent_group"] for row in mine]
        of_kind = [a for a, _ in answers if a.ambiguous == (condition == "ambig")]
        details[name] = {
            "accuracy": mean_cell(scores, params.intervals, groups),
            "bias": _bbq_cell(answers, condition == "ambig", params),
            "unknown_share": sum(a.chosen == "unknown" for a in of_kind) / len(of_kind) if of_kind else None,
        }
    return details
