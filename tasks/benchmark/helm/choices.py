"""Log-probabilities of choices, in batches by token budget, with the time of each row."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tasks.benchmark.helm.scenarios import Question
from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.inference.predict import Predictor
from tasks.model.batches import collate, token_budget_batches
from tasks.model.encoded import Encoded
from tasks.model.likelihood import likelihood, supervised_logits


@dataclass(frozen=True)
class Scored:
    """Scores of the choices of each question.

    Attributes:
        logprobs: summed log-probability (nats) of each choice.
        lengths: tokens of each choice.
        seconds: the question's share of its batch's seconds.
        tokens: tokens that the model read.
        generated: for joint questions, the next token that the model generates, as text, and its probability.
    """

    logprobs: list[list[float]]
    lengths: list[list[int]]
    seconds: list[float]
    tokens: list[int]
    generated: list[tuple[str, float]] | None = None


def score_questions(predictor: Predictor, questions: Sequence[Question], budget: int) -> Scored:
    """Score every choice after its prompt; the end token does not count.

    If all choices of a question are one token long, one pass over its prompt scores them all.

    Raises:
        TunesmithError: a choice without text, or a log-probability that is not finite.
    """
    encoded = [[_without_end(predictor, q.prompt, choice) for choice in q.choices] for q in questions]
    single = [i for i, rows in enumerate(encoded) if all(len(row.completion) == 1 for row in rows)]
    others = sorted(set(range(len(encoded))) - set(single))
    logprobs: list[list[float]] = [[] for _ in encoded]
    seconds, tokens = [0.0] * len(encoded), [sum(map(len, rows)) for rows in encoded]
    for i in single:
        tokens[i] = len(encoded[i][0])
    batches = [(_one_pass, [single[j] for j in b]) for b in token_budget_batches([tokens[i] for i in single], budget)]
    batches += [(_each, [others[j] for j in b]) for b in token_budget_batches([tokens[i] for i in others], budget)]
    for score, batch in batches:
        start = time.perf_counter()
        scores = score(predictor, [encoded[i] for i in batch], budget)
        taken, whole = time.perf_counter() - start, sum(tokens[i] for i in batch)
        for i, values in zip(batch, scores, strict=True):
            logprobs[i], seconds[i] = values, taken * tokens[i] / whole
    for question, values in zip(questions, logprobs, strict=True):
        refuse_not_finite(question, values)
    return Scored(logprobs, [[len(row.completion) for row in rows] for rows in encoded], seconds, tokens)


def per_token(logprobs: Sequence[float], lengths: Sequence[int]) -> list[float]:
    """Mean log-probability per token of each choice, by which HELM ranks separate choices.

    (``BasicReferenceMetric`` in HELM's ``metrics/basic_metrics.py``. ``lm-eval`` ranks by the sum for its ``acc``.)
    """
    return [total / length for total, length in zip(logprobs, lengths, strict=True)]


def _without_end(predictor: Predictor, prompt: str, choice: str) -> Encoded:
    row = predictor.renderer.encode(prompt, choice)
    if len(row.completion) < 2:
        raise TunesmithError(f"helm: every choice must have text; one of {prompt[-80:]!r} has none; correct the row")
    return Encoded(row.prompt, row.completion[:-1])


def _each(predictor: Predictor, rows: list[list[Encoded]], budget: int) -> list[list[float]]:
    nll = iter(log_likelihoods(predictor, [one for choices in rows for one in choices], budget))
    return [[next(nll) for _ in choices] for choices in rows]


def log_likelihoods(predictor: Predictor, rows: Sequence[Encoded], budget: int) -> list[float]:
    """Log-likelihoods of the completions, in nats."""
    renderer = predictor.renderer
    scored = likelihood(
        predictor.model, rows, renderer.kind, renderer.tokenizer.pad_token_id, budget, device.autocast("fp32")
    )
    return [-value for value in scored.nll]


def _one_pass(predictor: Predictor, rows: list[list[Encoded]], budget: int) -> list[list[float]]:
    """Score one-token choices: one forward pass per prompt, read at its last position."""
    logprobs_BV = next_token_logprobs(predictor, [choices[0].prompt for choices in rows])
    return [[float(logprobs_BV[i, choice.completion[0]]) for choice in choices] for i, choices in enumerate(rows)]


@torch.no_grad()
def next_token_logprobs(predictor: Predictor, prompts: Sequence[list[int]]) -> Tensor:
    """Log-probabilities (nats) of the token after each prompt, in one batch; shape: (prompts, vocabulary), float64."""
    model, renderer = predictor.model, predictor.renderer
    model.eval()
    where, pad = next(model.parameters()).device, renderer.tokenizer.pad_token_id
    # Any token as completion: only the logits before it are read.
    batch: dict[str, Tensor] = collate([Encoded(prompt, [pad]) for prompt in prompts], renderer.kind, pad)
    with device.autocast("fp32"):
        logits: Any = supervised_logits(model, {k: v.to(where) for k, v in batch.items()}, renderer.kind)[0]
    return logits.float().log_softmax(-1).double().cpu()


def refuse_not_finite(question: Question, values: list[float]) -> None:
    """Raise TunesmithError unless all ``values``, log-probabilities of the choices, are finite."""
    if not all(map(math.isfinite, values)):
        raise TunesmithError(
            f"helm: log-probabilities of choices must be finite; the model gives {values} after "
            f"{question.prompt[-80:]!r}; its weights hold NaN or overflow: train again, or set `precision: fp32`"
        )


def probabilities(logprobs: Sequence[float]) -> list[float]:
    """``exp(logprobs)`` normalised over the choices."""
    highest = max(logprobs)
    weights = [math.exp(value - highest) for value in logprobs]
    return [weight / sum(weights) for weight in weights]
