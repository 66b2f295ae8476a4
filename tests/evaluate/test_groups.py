"""Scores by group, worked out by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tasks.evaluate.groups import groups, wording_spread
from tasks.metrics.names import OPTIONAL_SCORES, ROUGE_COLUMNS
from tasks.metrics.params import IntervalParams

NUMBERS = itertools.count()
FEW = IntervalParams(resamples=100)
MANY = IntervalParams(resamples=2000)


def prediction(template: str, score: float, exact: float | None = None, /, **changes: Any) -> dict[str, Any]:
    """A score of a new row with the prompt of ``template``."""
    row = {"row_id": f"r{next(NUMBERS)}", "source": "s", "task": "t", "template_id": template, "template": template}
    columns = dict.fromkeys((*ROUGE_COLUMNS, *OPTIONAL_SCORES)) | {"rouge1_f": score, "exact_match": exact}
    return {**row, **columns, "metrics": ["rouge"], **changes}


def test_the_spread_is_over_the_means_of_templates_with_enough_rows() -> None:
    """Means 0.2, 0.4, 0.6. A template with nine rows does not count, and neither does one of another task."""
    rows = [prediction(name, score) for name, score in (("a", 0.2), ("b", 0.4), ("c", 0.6)) for _ in range(10)]
    rows += [prediction("few", 1.0) for _ in range(9)] + [prediction("x", 0.9, task="other") for _ in range(10)]
    assert wording_spread(rows) == {
        "s/t": {
            "rouge1_f": {
                "spread": pytest.approx(0.4),
                "deviation": pytest.approx((0.08 / 3) ** 0.5),
                "wordings": 3,
                "lowest": "a",
                "highest": "c",
            }
        }
    }


def test_labels_have_their_own_spread_and_means() -> None:
    rows = [prediction("a", 0.5, float(i < 8)) for i in range(10)] + [
        prediction("b", 0.5, float(i < 2)) for i in range(10)
    ]
    rows += [prediction("c", 0.5) for _ in range(10)]
    result = groups(rows, FEW)
    assert result["wording_spread"]["s/t"]["exact_match"]["spread"] == pytest.approx(0.6)
    assert result["wording_spread"]["s/t"]["rouge1_f"]["spread"] == 0.0
    assert result["template"]["s/a"]["exact_match"]["value"] == pytest.approx(0.8)
    assert "exact_match" not in result["template"]["s/c"]
    assert (result["task"]["s/t"]["exact_match"]["n"], result["task"]["s/t"]["rouge1_f"]["n"]) == (20, 30)
    interval = result["template"]["s/a"]["exact_match"]
    assert interval["low"] < interval["value"] < interval["high"] == 1.0


def test_only_a_trained_model_has_seen_anything() -> None:
    rows = [prediction("a", 0.5), prediction("b", 0.7, task="u")]
    assert set(groups(rows, FEW, {"templates": {}, "tasks": []})) == {"task", "template", "wording_spread"}
    seen = groups(rows, FEW, {"templates": {"s/a": "a"}, "tasks": ["t", "u"]})
    assert {name: scores["rouge1_f"]["value"] for name, scores in seen["wording"].items()} == {
        "seen": 0.5,
        "unseen": 0.7,
    }
    assert set(seen["task_seen"]) == {"seen"}
    champion = groups(rows, FEW, {"templates": {"s/a": "a"}})
    assert "task_seen" not in champion, "the manifest of a model of another time may not tell its tasks"


def test_a_template_is_seen_by_its_text_and_not_by_its_name() -> None:
    """Two sources may use one set of templates, and another set may have the same id."""
    rows = [prediction("a", 0.5, source="two", template="Say: {{x}}"), prediction("a", 0.7, template="Other: {{x}}")]
    wording = groups(rows, FEW, {"templates": {"one/a": "Say: {{x}}", "s/a": "Gone: {{x}}"}})["wording"]
    assert {name: scores["rouge1_f"]["value"] for name, scores in wording.items()} == {"seen": 0.5, "unseen": 0.7}


def test_prompt_variants_of_one_row_are_one_draw() -> None:
    """Two rows, one with three prompt variants: the mean is (0.2 + 0.8) / 2, not that of four scores."""
    rows = [prediction(name, score, row_id="one") for name, score in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    rows += [prediction("a", 0.8, row_id="two"), prediction("a", 0.5, row_id="one", source="other", task="u")]
    scores = groups(rows, FEW)["task"]["s/t"]["rouge1_f"]
    assert (scores["value"], scores["n"]) == (pytest.approx(0.5), 2)
    assert (scores["low"], scores["high"]) == (pytest.approx(0.2), 0.8)


def test_rows_of_one_group_are_drawn_together() -> None:
    """Two groups with the means 0 and 1: each is drawn twice in a quarter of the resamples. Six rows are narrower."""
    rows = [prediction("a", float(i > 2), group="first" if i < 3 else "second") for i in range(6)]
    scores = groups(rows, MANY)["task"]["s/t"]["rouge1_f"]
    assert (scores["value"], scores["low"], scores["high"], scores["n"]) == (0.5, 0.0, 1.0, 6)
    single = groups([row | {"group": None} for row in rows], MANY)["task"]["s/t"]["rouge1_f"]
    assert (single["low"], single["high"]) == pytest.approx((1 / 6, 5 / 6))


def test_corpus_metrics_are_reported_per_task() -> None:
    """Two labels right of two, in one task; the other's rows ask for something else."""
    labels = [
        prediction("a", 0.1, metrics=["macro_f1"], completion=label, references=[label], task="labels")
        for label in "xy"
    ]
    tasks = groups([*labels, prediction("b", 0.5)], FEW)["task"]
    assert tasks["s/labels"]["macro_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2}
    assert "macro_f1" not in tasks["s/t"]
