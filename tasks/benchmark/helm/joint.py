"""HELM's joint multiple choice (``helm.exact``): choices by letters in the prompt, after examples.

Prompts: HELM's ``adaptation/adapters/multiple_choice_joint_adapter.py``; examples: ``sample_examples`` and
``_make_prompt_fit`` of ``adaptation/adapters/in_context_learning_adapter.py``; confidence: ``max_prob`` of
``metrics/evaluate_reference_metrics.py``. The code here is our own.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

from tasks.benchmark.helm.choices import Scored, next_token_logprobs, refuse_not_finite
from tasks.benchmark.helm.scenarios import Instance, Question, QuestionRenderer, Scenario, instances_of
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.inference.predict import Predictor
from tasks.model.batches import token_budget_batches
from tasks.model.rendering import Renderer

EXAMPLES = 5
"""Examples in a prompt, as HELM has for MMLU and BBQ."""

LETTERS = "ABCDEFGHIJ"


class Joint(QuestionRenderer):
    """Renders the rows of one scenario as HELM's joint multiple choice.

    Args:
        data: folder of the scenarios' files.
        drawn: rows that are measured; none of them is an example.
        seed: seed that draws the examples.

    Raises:
        TunesmithError: there is no row for examples, or a row lacks a column.
    """

    def __init__(
        self, name: str, scenario: Scenario, library: Path, data: Path, drawn: Sequence[Instance], seed: int
    ) -> None:
        super().__init__(name, scenario, library)
        assert scenario.joint is not None
        self._name, self._joint = name, scenario.joint
        self._fits: Callable[[str], bool] = lambda _: True
        measured = {instance.id for instance in drawn}
        pools: dict[str, list[Instance]] = {self._group(instance): [] for instance in drawn}
        for one in instances_of(name, scenario, data, self._joint.examples):
            if one.id not in measured and self._group(one) in pools:
                pools[self._group(one)].append(one)
        for group, pool in pools.items():
            if not pool:
                raise TunesmithError(
                    f"{name}: helm.exact needs example rows that are not measured{f', of {group}' if group else ''}; "
                    f"{' or '.join(self._joint.examples or scenario.files)} in {data} has none; add such rows, lower "
                    "helm.rows, or set helm.exact to false"
                )
        self._examples = {group: self._sampled(pool, seed) for group, pool in pools.items()}

    @property
    def template(self) -> str:
        return files.canonical_json([self._joint.model_dump(), self._examples])

    def fitted(self, predictor: Predictor) -> Joint:
        """The same, with as many examples per prompt as fit the model's context besides one new token."""
        fitted = copy.copy(self)
        if (context := predictor.context) is not None:
            limit = context
            fitted._fits = lambda prompt: len(continued(predictor.renderer, prompt)) < limit
        return fitted

    def fits(self, question: Question) -> bool:
        """Whether a prompt that ``question`` gave fits the model's context."""
        return self._fits(question.prompt)

    def question(self, instance: Instance, values: Mapping[str, object] | None = None) -> Question:
        """The question of a row after its examples; its choices are letters.

        Raises:
            TunesmithError: as ``QuestionRenderer.question``.
        """
        question = super().question(instance, values)
        group = self._group(instance)
        columns = {**instance.row, **(values or instance.values), self._joint.per or "": group}
        head, last = self._joint.instructions.format_map(columns) + "\n", self._block(columns)
        examples = self._examples[group]
        prompts = ("\n".join([head, *examples[:count], last]) for count in range(len(examples), -1, -1))
        # If not even the question alone fits, it is left out as too long.
        prompt = next((prompt for prompt in prompts if self._fits(prompt)), "\n".join([head, last]))
        return replace(question, prompt=prompt, choices=tuple(LETTERS[: len(self._joint.choices)]))

    def _group(self, instance: Instance) -> str:
        """What the examples of a row have in common with it; HELM writes subjects with spaces."""
        if self._joint.per is None:
            return ""
        if self._joint.per not in instance.row:
            raise TunesmithError(
                f"{instance.id}: with helm.exact scenario {self._name} needs the column {self._joint.per!r}; the row "
                f"has {', '.join(sorted(instance.row))}; add it, or set helm.exact to false"
            )
        return str(instance.row[self._joint.per]).replace("_", " ")

    def _block(self, columns: Mapping[str, object], letter: str = "") -> str:
        choices = "".join(f"{a}. {columns[c]}\n" for a, c in zip(LETTERS, self._joint.choices, strict=False))
        answer = f"Answer: {letter}\n" if letter else "Answer:"
        return f"{self._joint.input.format_map(columns)}\n{choices}{answer}"

    def _sampled(self, pool: Sequence[Instance], seed: int) -> list[str]:
        """Blocks of examples: one per correct answer, the most frequent answers first, then a second of each."""
        random = Random(f"{seed}/examples")
        by_answer: dict[str, list[str]] = {}
        for instance in pool:
            answer = super().question(instance).answer
            assert answer is not None
            block = self._block({**instance.row, **instance.values}, LETTERS[answer])
            by_answer.setdefault(str(instance.values[self._joint.choices[answer]]), []).append(block)
        turns = cycle(sorted(by_answer, key=lambda text: (-len(by_answer[text]), random.random())))
        chosen: list[str] = []
        while len(chosen) < min(EXAMPLES, len(pool)):
            if blocks := by_answer[next(turns)]:
                chosen.append(blocks.pop(random.randrange(len(blocks))))
        return chosen


def continued(renderer: Renderer, text: str) -> list[int]:
    """Tokens of a text that a model is to continue: a user message for a chat model, else the text alone."""
    return renderer.prompt(text) if renderer.chats else renderer.text(text)


def score_letters(predictor: Predictor, questions: Sequence[Question], budget: int) -> Scored:
    """The token that greedy decoding generates after each prompt, and the log-probabilities of the letters.

    Raises:
        TunesmithError: a log-probability is not finite.
    """
    tokenizer = predictor.renderer.tokenizer
    prompts = [continued(predictor.renderer, question.prompt) for question in questions]
    sizes = [len(prompt) for prompt in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    seconds, generated = [0.0] * len(prompts), [("", 0.0)] * len(prompts)
    for batch in token_budget_batches(sizes, budget):
        start = time.perf_counter()
        logprobs_BV = next_token_logprobs(predictor, [prompts[i] for i in batch])
        taken, whole = time.perf_counter() - start, sum(sizes[i] for i in batch)
        for row, i in zip(logprobs_BV, batch, strict=True):
            logprobs[i] = [max(float(row[token]) for token in _tokens(tokenizer, a)) for a in questions[i].choices]
            refuse_not_finite(questions[i], logprobs[i])
            best = int(row.argmax())
            generated[i] = (tokenizer.decode([best]).strip(), float(row[best].exp()))
            seconds[i] = taken * sizes[i] / whole
    return Scored(logprobs, [[1] * len(values) for values in logprobs], seconds, sizes, generated)


def _tokens(tokenizer: Any, letter: str) -> set[int]:
    """Tokens of a letter at the start of a text and after a space."""
    return {int(tokenizer(form, add_special_tokens=False)["input_ids"][-1]) for form in (letter, f" {letter}")}
