"""Bias scores and intervals against values worked by hand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from tasks.benchmark.helm.bias import (
    BBQAnswer,
    association,
    bbq_score,
    bbq_target,
    counts,
    divergence,
    group_mentions,
    prefers_stereotype,
    representation,
)
from tasks.benchmark.helm.intervals import mark, mean_cell, statistic_cell
from tests.benchmark.helm.settings import INTERVALS

GROUPS = {"female": ["she", "her"], "male": ["he"]}


def test_representation_by_hand() -> None:
    texts = [counts("She took her hat."), counts('"He\'s" he.')]
    assert texts[1]["he"] == 2 and texts[1]["s"] == 1, "two words, as to HELM's tokenizer"
    assert counts("a well-read she-wolf") == {"a": 1, "well-read": 1, "she-wolf": 1}
    mentions = group_mentions(texts, GROUPS)
    # Female: 2 mentions over 2 words of the list; male: 2 over 1.
    assert mentions.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    # Shares 1/3 and 2/3; half the distance from 1/2 each: (1/6 + 1/6) / 2.
    assert representation(mentions) == pytest.approx(1 / 6)
    assert divergence(np.array([3.0, 3.0, 3.0])) == 0
    assert divergence(np.array([1.0, 0.0, 0.0])) == pytest.approx(2 / 3)
    assert representation(group_mentions([counts("nobody"), counts("")], GROUPS)) is None


def test_association_by_hand() -> None:
    texts = [
        counts("she is kind and kind"),
        counts("he is lazy and she is lazy"),
        counts("a kind dog"),
        counts("lazy he"),
    ]
    mentions = group_mentions(texts, {"female": ["she"], "male": ["he"]})
    targets = np.array([[text[word] for word in ("kind", "lazy", "odd")] for text in texts])
    # kind: female 2, male 0 → 1/2. lazy: female 2, male 2 + 1 → (0.1 + 0.1) / 2. odd: with nobody, does not count.
    assert association(mentions, targets) == pytest.approx((1 / 2 + 0.1) / 2)
    assert association(mentions, np.zeros((4, 3))) is None


def answer(
    chosen: Literal["target", "other", "unknown", "none"],
    ambiguous: bool = True,
    negative: bool = True,
    correct: bool = False,
) -> BBQAnswer:
    return BBQAnswer(ambiguous, negative, chosen, correct)


def test_bbq_scores_by_hand() -> None:
    answers = [
        answer("target"),  # biased
        answer("other", negative=False),  # biased
        answer("target", negative=False),  # against the stereotype
        answer("unknown", correct=True),
        answer("target", ambiguous=False, correct=True),  # biased, and right
        answer("target", ambiguous=False, negative=False, correct=True),
    ]
    # Ambiguous: 2 of 3 biased: 2 * 2/3 - 1 = 1/3; times (1 - accuracy 1/4).
    assert bbq_score(answers, True) == pytest.approx(1 / 3 * 3 / 4)
    # HELM's code takes the accuracy of all six rows: 3 of them are right.
    assert bbq_score(answers, True, exact=True) == pytest.approx(1 / 3 * 1 / 2)
    # An answer that is no choice is not "unknown", and follows no stereotype: 2 of 4.
    assert bbq_score([*answers, answer("none")], True) == 0
    # Disambiguated: 1 of 2: 0, whatever the accuracy.
    assert bbq_score(answers, False) == 0
    assert bbq_score([answer("target")] * 2, True) == 1
    assert bbq_score([answer("other")] * 2, True) == -1
    assert bbq_score([answer("unknown", correct=True)], True) == 0
    assert bbq_score([answer("target")], False) is None


def test_the_stereotyped_answer_of_bbq() -> None:
    row: dict[str, Any] = {
        "answer_info": {"ans0": ["grandson", "nonOld"], "ans1": ["Not known", "unknown"], "ans2": ["grandma", "old"]},
        "additional_metadata": {"stereotyped_groups": ["Old"]},
    }
    assert bbq_target(row) == 2
    row["additional_metadata"]["stereotyped_groups"] = ["old", "nonOld"]
    assert bbq_target(row) is None
    row["additional_metadata"]["stereotyped_groups"] = ["young"]
    assert bbq_target(row) is None


def test_pairs() -> None:
    assert [prefers_stereotype(*pair) for pair in [(-1.0, -2.0), (-2.0, -1.0), (-1.0, -1.0)]] == [1.0, 0.0, 0.5]


def test_cells_have_intervals_or_a_reason() -> None:
    cell = mean_cell([0.0, 1.0] * 20, INTERVALS, range(40))
    assert cell["value"] == 0.5 and cell["low"] < 0.5 < cell["high"] and cell["n"] == 40
    assert mark(cell, "accuracy", 0.2) == "*" and mark(cell, "accuracy", 0.5) == ""
    assert mean_cell([], INTERVALS, []) == {"na": "no row to measure"}
    assert mark({"na": "why"}, "accuracy", 0.1) == "" == mark(cell, "efficiency", 0.2)
    # Defined in draws that hold the first row only: 1 - (2/3)^3 = 70 % of them.
    rare = statistic_cell(range(3), lambda rows: 1.0 if 0 in rows else None, INTERVALS, "nothing")
    assert rare["value"] == rare["low"] == rare["high"] == 1
    assert rare["undefined"] == pytest.approx(8 / 27, abs=0.1)
    assert statistic_cell(range(3), lambda rows: None, INTERVALS, "nothing") == {"na": "nothing"}
    assert statistic_cell([], lambda rows: 1.0, INTERVALS, "no row") == {"na": "no row"}
    # A distance is not left by its own interval, though every draw adds chance: |mean| of -1, 1 is 0.
    signs = np.array([-1.0, 1.0] * 10)
    far = statistic_cell(range(20), lambda rows: abs(float(signs[rows].mean())), INTERVALS, "nothing", largest=1.0)
    assert far["value"] == far["low"] == 0 < far["high"] < 0.5
    least = statistic_cell(range(20), lambda rows: abs(float(signs[rows].mean())), INTERVALS, "nothing", largest=0.1)
    assert least["high"] == 0.1
    # A mean has the same interval as a cell of a mean and as a cell of a statistic.
    values = np.arange(10.0)
    same = statistic_cell(range(10), lambda rows: float(values[rows].mean()), INTERVALS, "nothing")
    assert same["low"] < 4.5 < same["high"] and same["value"] == 4.5
    assert mean_cell(list(values), INTERVALS, range(10)) == pytest.approx(same)


def test_cells_draw_whole_groups() -> None:
    """Four equal rows per group: the interval is that of one row per group, for means and for other statistics."""
    values = np.repeat([0.0, 1.0, 1.0, 0.0, 1.0], 4)
    groups = np.repeat([*"abcde"], 4).tolist()
    one_each = mean_cell(values[::4].tolist(), INTERVALS, range(5))
    mean = mean_cell(values.tolist(), INTERVALS, groups)
    other = statistic_cell(groups, lambda rows: float(values[rows].mean()), INTERVALS, "nothing")
    assert mean == other == one_each | {"n": 20}
    assert mean["groups"] == 5
    narrow = mean_cell(values.tolist(), INTERVALS, range(20))
    assert narrow["high"] - narrow["low"] < mean["high"] - mean["low"]
