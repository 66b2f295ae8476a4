"""Log-probabilities of choices against the model's own logits."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.benchmark.helm.choices import per_token, probabilities, score_questions
from tasks.benchmark.helm.energy import metered
from tasks.benchmark.helm.measure_texts import measure_pairs
from tasks.benchmark.helm.scenarios import Instance, Question, load_scenarios
from tasks.core.errors import TunesmithError
from tasks.inference.predict import Predictor
from tests.benchmark.helm.settings import PARAMS


def by_hand(predictor: Predictor, prompt: str, choice: str) -> float:
    """Sum of the log-probabilities of the choice's tokens, without the end token, one row alone."""
    row = predictor.renderer.encode(prompt, choice)
    ids = row.prompt + row.completion[:-1]
    with torch.no_grad():
        logprobs = predictor.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(len(row.prompt), len(ids)))


def test_sums_equal_the_models_own_logits_in_any_batch(base: Predictor) -> None:
    questions = [
        Question("my lamp", ("a", "b", "c"), 0),  # one token each: one pass
        Question("a longer prompt about a lamp and a parcel", ("b", "c"), 1),
        Question("the parcel", ("it is late", "a", "the new lamp is broken"), 2),
    ]
    encoded = [len(base.renderer.encode(q.prompt, q.choices[0]).completion) - 1 for q in questions]
    assert encoded[:2] == [1, 1] and encoded[2] > 1
    scored = score_questions(base, questions, 256)
    for question, logprobs in zip(questions, scored.logprobs, strict=True):
        assert logprobs == pytest.approx([by_hand(base, question.prompt, c) for c in question.choices], abs=1e-4)
    assert scored.lengths[:2] == [[1, 1, 1], [1, 1]] and scored.lengths[2][0] == encoded[2]
    alone = score_questions(base, questions[1:2], 16)
    assert alone.logprobs[0] == pytest.approx(scored.logprobs[1], abs=1e-5)
    assert all(second > 0 for second in scored.seconds)
    assert scored.tokens[0] == len(base.renderer.prompt("my lamp")) + 1
    assert score_questions(base, [], 256).logprobs == []


def test_separate_choices_are_ranked_per_token_as_helm_does() -> None:
    # Sums -6 and -4: the short choice is likelier. Per token -2 and -4: HELM predicts the long one.
    assert per_token([-6.0, -4.0], [3, 1]) == [-2.0, -4.0]
    assert probabilities(per_token([-6.0, -4.0], [3, 1]))[0] == pytest.approx(math.e**2 / (math.e**2 + 1))


def test_probabilities_are_normalised_over_the_choices() -> None:
    assert probabilities([math.log(0.1), math.log(0.3)]) == pytest.approx([0.25, 0.75])
    assert probabilities([-2000.0, -2000.0]) == [0.5, 0.5]


def test_nan_and_empty_choices_are_refused(base: Predictor) -> None:
    with pytest.raises(TunesmithError, match="every choice must have text"):
        score_questions(base, [Question("a lamp", ("a", ""), 0)], 256)
    weights = base.model.get_output_embeddings().weight.data
    kept = weights.clone()
    try:
        weights.fill_(float("nan"))
        for choices in (("a", "b"), ("it is late", "the new lamp")):
            with pytest.raises(TunesmithError, match="log-probabilities of choices must be finite; the model gives"):
                score_questions(base, [Question("a lamp", choices, 0)], 256)
        pair = Instance("f:1", {"more": "a lamp", "less": "a parcel", "group": "age"}, {}, "f:1")
        with pytest.raises(TunesmithError, match="f:1: log-probabilities of sentences must be finite"):
            measure_pairs(load_scenarios()["crows_pairs"], [pair], base, PARAMS)
    finally:
        weights.copy_(kept)


def test_an_empty_sentence_is_refused(base: Predictor) -> None:
    pair = Instance("f:1", {"more": "", "less": "a parcel", "group": "age"}, {}, "f:1")
    with pytest.raises(TunesmithError, match="every sentence of a pair must have text"):
        measure_pairs(load_scenarios()["crows_pairs"], [pair], replace(base), PARAMS)


def test_energy_is_counted_or_has_a_reason(tmp_path: Path) -> None:
    with metered(tmp_path / "none") as meter:
        pass
    assert meter == {"na": f"the kernel shows no energy counter under {tmp_path / 'none'}"}
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("10000000\n")
    (zone / "energy_uj").write_text("9000000\n")
    with metered(tmp_path) as meter:
        (zone / "energy_uj").write_text("1000001\n")  # it began again at its largest value
    assert meter["joules"] == pytest.approx(2.000002, abs=1e-6)
    (zone / "energy_uj").unlink()
    with metered(tmp_path) as meter:
        pass
    assert "cannot be read" in meter["na"]
