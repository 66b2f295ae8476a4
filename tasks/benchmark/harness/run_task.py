"""Run one task on one model with lm-eval, and read its outputs row by row."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lm_eval.evaluator import evaluate

from tasks.benchmark.harness.build import Built
from tasks.benchmark.harness.suites import TaskDefinition
from tasks.benchmark.params import BenchmarkSettings
from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.core.params import value_at
from tasks.text.rows import Row


@dataclass(frozen=True)
class Measured:
    """Outputs and scores of a model on a task.

    Attributes:
        samples: lm-eval's samples, one per row, in order.
        scores: metric → lm-eval's score.
    """

    samples: list[Row]
    scores: dict[str, float]


def measure(lm: Any, built: Built, settings: BenchmarkSettings) -> Measured:
    """Run ``built`` on ``lm``.

    Raises:
        TunesmithError: a log-probability is NaN, or lm-eval's task lacks a metric that the suite names.
    """
    _seed(built, settings.seed)
    name = built.definition.name
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars that no argument turns off
        output = evaluate(
            lm,
            {"tasks": {name: built.task}, "groups": {}, "group_map": {}},
            samples=None if built.rows is None else {name: built.rows},
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=settings.chat_template,
            fewshot_as_multiturn=settings.chat_template,
        )
    scores = {key.split(",")[0]: value for key, value in output["results"][name].items() if "," in key}
    missing = [metric for metric in built.definition.metrics if metric not in scores]
    if missing:
        known = ", ".join(key for key in scores if not key.endswith("_stderr"))
        raise TunesmithError(f"{name}: lm-eval's task has no metric {missing[0]!r}; it has: {known}; correct the suite")
    return Measured(output["samples"][name], {metric: float(scores[metric]) for metric in built.definition.metrics})


def requests(lm: Any, built: Built, settings: BenchmarkSettings) -> list[Any]:
    """The requests that ``measure`` will make."""
    _seed(built, settings.seed)
    with contextlib.redirect_stderr(io.StringIO()):
        built.task.build_all_requests(
            samples=built.rows,
            rank=0,
            world_size=1,
            apply_chat_template=settings.chat_template,
            fewshot_as_multiturn=settings.chat_template,
            chat_template=lm.apply_chat_template if settings.chat_template else None,
            tokenizer_name=lm.tokenizer_name if settings.chat_template else "",
        )
    return list(built.task.instances)


def _seed(built: Built, seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    built.task.set_fewshot_seed(seed)


def sample_rows(built: Built, measured: Measured) -> list[Row]:
    """Rows of ``results.SAMPLES``.

    ``score`` is the mean over the row's metrics. A number counts as it is; a pair counts 1 if both sides are equal,
    else 0. Correlations have no score per row.
    """
    return [_sample(built, sample) for sample in measured.samples]


def _sample(built: Built, sample: Row) -> Row:
    definition, doc = built.definition, sample["doc"]
    choices = built.task.doc_to_choice(doc) if built.task.OUTPUT_TYPE == "multiple_choice" else None
    answers = sample["filtered_resps"]
    values = {metric: sample[metric] for metric in definition.metrics}
    if choices is not None:
        logprobs = [float(value) for value, _ in answers]
        prediction = choices[int(np.argmax(logprobs))]
    else:
        logprobs, prediction = None, str(answers[0])
    return {
        "suite": definition.suite,
        "task": definition.name,
        "doc_id": int(sample["doc_id"]),
        "doc_hash": sample["doc_hash"],
        "group": group_of(definition, doc),
        "prompt_hash": sample["prompt_hash"],
        "question": str(built.task.doc_to_text(doc)),
        "choices": choices,
        "logprobs": logprobs,
        "greedy": None if choices is None else [bool(greedy) for _, greedy in answers],
        "target": _text(sample["target"], choices),
        "prediction": prediction,
        "values": {metric: _plain(value) for metric, value in values.items()},
        "score": _score(definition.metrics, values),
    }


def group_of(definition: TaskDefinition, doc: Row) -> str | None:
    """The group of a row, as a hash; None for a row that is a group by itself."""
    if not definition.grouped_by:
        return None
    return digest([value_at(doc, column) for column in definition.grouped_by])[:16]


def _text(target: Any, choices: list[str] | None) -> str:
    if choices is not None:
        numbers = [target] if isinstance(target, int) else target
        if isinstance(numbers, list) and all(isinstance(number, int) for number in numbers):
            return " | ".join(choices[number] for number in numbers)
    return " | ".join(target) if isinstance(target, list) else str(target)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _score(measures: Mapping[str, str], values: dict[str, Any]) -> float | None:
    alone = [_alone(value) for metric, value in values.items() if measures[metric] not in ("pearson", "spearman")]
    return float(np.mean(alone)) if alone else None


def _alone(value: Any) -> float:
    if not isinstance(value, tuple | list):
        return float(value)
    first, second = value
    # (question, right), or (right answer, answer)
    return float(second if isinstance(first, str) else first == second)
