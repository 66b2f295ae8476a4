"""Aggregates against hand-worked values and their references, chance, averages, paired differences."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lm_eval.api.metrics import f1_score, matthews_corrcoef
from scipy.special import softmax

from tasks.benchmark import chance
from tasks.benchmark.aggregates import (
    AGGREGATES,
    all_of_a_question,
    draws,
    f1,
    f1_of_three,
    interval,
    matthews,
    pearson,
    units,
)
from tasks.benchmark.averages import averages
from tasks.benchmark.differences import average_differences, differences
from tasks.benchmark.harness.processing import squad_f1, stsb_results
from tasks.benchmark.harness.suites import load_suite
from tasks.metrics.params import IntervalParams, VerdictParams

INTERVALS = IntervalParams(resamples=200, confidence=0.95, seed=0)
VERDICTS = VerdictParams(min_groups=2)


def test_aggregates_by_hand() -> None:
    pairs = [(1, 1), (1, 0), (0, 1), (0, 0), (1, 1)]
    assert f1(pairs) == pytest.approx(2 / 3)  # 2 right of 3 said, 2 found of 3 there
    assert f1([(0, 0)]) == 0.0
    assert matthews(pairs) == pytest.approx((2 * 1 - 1 * 1) / 6)
    assert f1_of_three([(0, 0), (1, 1), (2, 1)]) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert pearson([(0, 1), (1, 2), (2, 3)]) == pytest.approx(1.0)
    assert np.isnan(pearson([(0, 1), (1, 1)]))  # an answer that never varies
    assert all_of_a_question([("a", True), ("a", False), ("b", True), ("b", True)]) == 0.5
    assert squad_f1("the red Lamp!", "a lamp") == pytest.approx(2 / 3)


def test_aggregates_equal_those_of_lm_eval() -> None:
    from lm_eval.tasks._yaml_loader import load_yaml

    from tasks.benchmark.harness.build import PACKAGED

    generator = random.Random(0)
    of_three = load_yaml(PACKAGED / "super_glue/cb/default.yaml")["metric_list"][1]["aggregation"]
    for _ in range(20):
        pairs = [(generator.randrange(2), generator.randrange(2)) for _ in range(30)]
        assert f1(pairs) == f1_score(pairs)
        assert matthews(pairs) == matthews_corrcoef(pairs)
        triples = [(generator.randrange(3), generator.randrange(3)) for _ in range(30)]
        assert f1_of_three(triples) == of_three(triples)


def test_a_similarity_is_the_mean_of_the_answers() -> None:
    logs = [-3.0, -2.0, -1.0, -0.5, -2.0, -4.0]
    row = stsb_results({"label": 2.5}, [(value, False) for value in logs])
    assert row["pearson"] == row["spearman"] == (2.5, pytest.approx(float(softmax(logs) @ range(6))))


@pytest.mark.parametrize("measure", [name for name in AGGREGATES if name != "all_of_a_question"])
def test_intervals_hold_the_score(measure: str) -> None:
    generator = random.Random(1)
    items: list[Any] = [(generator.randrange(3), generator.randrange(3)) for _ in range(60)]
    if measure in ("f1", "matthews"):
        items = [(a % 2, b % 2) for a, b in items]
    if measure == "mean":
        items = [float(a == b) for a, b in items]
    value, low, high = interval(items, measure, INTERVALS)
    assert low < value < high and value == pytest.approx(AGGREGATES[measure](items))
    assert np.array_equal(draws(items, measure, INTERVALS), draws(items, measure, INTERVALS))


@pytest.mark.parametrize("measure", ["pearson", "spearman"])
def test_resamples_without_a_correlation_are_left_out(measure: str) -> None:
    """Three of four rows are equal: a resample is constant, or correlates fully."""
    items: list[Any] = [(1, 1)] * 3 + [(2, 2)]
    assert interval(items, measure, INTERVALS) == pytest.approx((1.0, 1.0, 1.0))
    constant = np.isnan(draws(items, measure, INTERVALS))
    assert constant.mean() == pytest.approx(0.75**4 + 0.25**4, abs=0.1)
    glue = load_suite("glue")
    stsb = {"stsb": (glue.tasks["stsb"], [{"values": {"pearson": pair, "spearman": pair}} for pair in items])}
    overall = averages(glue, stsb, INTERVALS)["overall"]
    assert (overall["value"], overall["low"], overall["high"]) == pytest.approx((1.0, 1.0, 1.0))


def test_guessing_one_answer_for_all_rows_has_no_correlation() -> None:
    rows = [[{"pearson": (true, guess)} for guess in range(2)] for true in (0, 1, 0)]
    guessed = chance.Guesses(rows, [[0.5, 0.5]] * 3, [row[0] for row in rows])
    assert chance.frequent_score(guessed, "pearson", "pearson") is None
    drawn = chance.by_chance(guessed, "pearson", "pearson", 400, seed=0)
    assert np.isfinite(drawn).all() and len(drawn) == pytest.approx(300, abs=40)  # two of eight guessers are constant


def test_intervals_draw_whole_groups() -> None:
    """Four equal rows per passage: the interval is that of one row per passage."""
    scores, passages = [0.0, 1.0, 1.0, 0.0, 1.0], [*"abcde"]
    repeated = [score for score in scores for _ in range(4)]
    of_rows = [passage for passage in passages for _ in range(4)]
    assert interval(repeated, "mean", INTERVALS, of_rows) == interval(scores, "mean", INTERVALS)
    assert np.array_equal(draws(repeated, "mean", INTERVALS, of_rows), draws(scores, "mean", INTERVALS))
    pairs = [(1, int(score)) for score in scores]
    assert interval([p for p in pairs for _ in range(4)], "f1", INTERVALS, of_rows) == interval(pairs, "f1", INTERVALS)


def test_questions_about_one_passage_are_one_group() -> None:
    """Two passages with two questions of two answers each: rows and questions are drawn by the passage."""
    items = [(f"{passage}{question}", right) for passage in "ab" for question in (1, 2) for right in (True, False)]
    groups = [question[0] for question, _ in items]
    by_question = units(items, "all_of_a_question", groups)
    assert (by_question.items, by_question.groups) == ([0.0] * 4, ["a", "a", "b", "b"])
    assert units([right for _, right in items], "mean", groups).groups == groups
    assert units([1.0, 0.0], "mean", [None, None]).groups == [0, 1], "a row without a group is one by itself"


def test_chance_of_choices_and_of_texts() -> None:
    right, wrong = {"acc": 1.0}, {"acc": 0.0}
    rows = [[right, wrong]] * 30 + [[right, wrong, wrong, wrong]] * 10
    guessed = chance.Guesses(rows, [[1 / len(row)] * len(row) for row in rows], None)
    drawn = chance.by_chance(guessed, "acc", "mean", 2000, seed=0)
    exact = (30 / 2 + 10 / 4) / 40
    assert chance.expected(guessed, "acc", "mean", drawn) == pytest.approx(exact)
    assert drawn.mean() == pytest.approx(exact, abs=0.01)
    assert drawn.std() == pytest.approx(np.sqrt(30 / 4 + 10 * 3 / 16) / 40, rel=0.1)
    assert chance.frequent_score(guessed, "acc", "mean") is None


@pytest.mark.parametrize(
    ("text", "answers", "rate"),
    [
        ("Which?\nOptions:\n(A) a\n(B) b\n(C) c", None, 1 / 3),
        ("Valid?\nOptions:\n- valid \n- invalid", None, 1 / 2),
        ("not True is", 2, 1 / 2),
        ("Sort: (A) b a", None, 0.0),
    ],
)
def test_a_text_is_guessed_from_the_options_that_the_question_lists(
    text: str, answers: int | None, rate: float
) -> None:
    task = SimpleNamespace(OUTPUT_TYPE="generate_until", process_results=lambda doc, results: {"exact_match": 1.0})
    built: Any = SimpleNamespace(task=task, definition=SimpleNamespace(metrics=["exact_match"], answers=answers))
    guessed = chance.guesses(built, [{"doc": {"input": text}, "target": "a"}])
    assert guessed.weights == [[rate, 1 - rate]]


def _done(task: Any, scores: list[float], metric: str = "acc") -> tuple[Any, list[dict[str, Any]]]:
    return task, [{"values": {metric: score}} for score in scores]


def test_averages_are_those_of_the_suite() -> None:
    glue, mmlu, bigbench = load_suite("glue"), load_suite("mmlu"), load_suite("bigbench")
    scores = {"sst2": [1.0], "mnli": [0.0], "mnli_mismatch": [1.0, 0.0]}
    average = averages(glue, {n: _done(glue.tasks[n], s) for n, s in scores.items()}, INTERVALS)
    assert average["overall"]["value"] == pytest.approx((1 + (0 + 0.5) / 2) / 2)  # the two of MNLI are one task
    assert (average["overall"]["tasks"], average["overall"]["of"]) == (3, 10)
    by_rows = {"anatomy": [1.0] * 3, "virology": [0.0]}
    average = averages(mmlu, {n: _done(mmlu.tasks[n], s) for n, s in by_rows.items()}, INTERVALS)
    assert average["overall"]["value"] == 0.75  # over questions
    assert average["stem"]["value"] == 1.0 and average["other"]["value"] == 0.0 and "humanities" not in average
    hard = {"web_of_lies": [1.0], "word_sorting": [0.0]}
    done = {n: _done(bigbench.tasks[n], s, "exact_match") for n, s in hard.items()}
    assert set(averages(bigbench, done, INTERVALS)) == {"bbh"}


def _result(scores: list[float], pairs: list[list[int]]) -> Any:
    metrics = {"acc": {"measure": "mean"}, "f1": {"measure": "f1"}}
    rows = [
        {"suite": "glue", "task": "mrpc", "doc_id": i, "doc_hash": str(i), "values": {"acc": s, "f1": p}}
        for i, (s, p) in enumerate(zip(scores, pairs, strict=True))
    ]
    return {"suites": {"glue": {"tasks": {"mrpc": {"metrics": metrics}}}}}, rows


def test_averages_are_compared_on_the_tasks_that_both_have() -> None:
    base = _result([0.0, 1.0] * 10, [[1, 0], [1, 1]] * 10)
    tuned = _result([1.0, 1.0] * 10, [[1, 1], [1, 1]] * 10)
    difference = average_differences(base, tuned, INTERVALS, VERDICTS)
    assert set(difference) == {("glue", "overall")}
    overall = difference["glue", "overall"]
    assert overall["value"] == pytest.approx((0.5 + 1 - 2 / 3) / 2) and overall["tasks"] == 1
    assert overall["verdict"] == "gained" and 0 < overall["low"] < overall["value"] < overall["high"]
    same = average_differences(base, base, INTERVALS, VERDICTS)["glue", "overall"]
    # A loss of 3 points would change 3 % of the rows; 20 rows may hide it, 122 seldom do.
    assert (same["verdict"], same["rows_needed"]) == ("undecided", 122)
    large = _result([0.0, 1.0] * 61, [[1, 0], [1, 1]] * 61)
    assert average_differences(large, large, INTERVALS, VERDICTS)["glue", "overall"]["verdict"] == "kept"
    assert average_differences(tuned, base, INTERVALS, VERDICTS)["glue", "overall"]["verdict"] == "lost"


def test_differences_are_paired_by_row() -> None:
    base = _result([0.0, 1.0] * 10, [[1, 0], [1, 1]] * 10)
    tuned = _result([1.0, 1.0] * 10, [[1, 1], [1, 1]] * 10)
    paired = differences(base, tuned, INTERVALS, VERDICTS)
    acc, of_f1 = paired["glue", "mrpc", "acc"], paired["glue", "mrpc", "f1"]
    assert acc["value"] == 0.5 and acc["verdict"] == "gained" and acc["low"] > 0.2
    assert of_f1["value"] == pytest.approx(1 - 2 / 3) and of_f1["verdict"] == "gained"
    same = differences(base, base, INTERVALS, VERDICTS)["glue", "mrpc", "acc"]
    assert same["value"] == same["low"] == same["high"] == 0 and same["verdict"] == "undecided"
    assert same["rows_needed"] == 144, "two metrics are judged together"
    assert differences(tuned, base, INTERVALS, VERDICTS)["glue", "mrpc", "acc"]["verdict"] == "lost"
    tuned[1][3]["doc_hash"] = "another row"
    assert differences(base, tuned, INTERVALS, VERDICTS) == {}


def test_a_row_of_a_small_task_weighs_more_in_an_average_over_tasks() -> None:
    """Of 30 and 300 rows, a row of the small task weighs 1/60: 5.5 times the average row. MMLU averages over rows."""

    def same(suite: str, sizes: dict[str, int], metric: str) -> Any:
        rows = [
            {"suite": suite, "task": name, "doc_id": i, "doc_hash": str(i), "values": {metric: 1.0}}
            for name, size in sizes.items()
            for i in range(size)
        ]
        about = {name: {"metrics": {metric: {"measure": "mean"}}} for name in sizes}
        return {"suites": {suite: {"tasks": about}}}, rows

    over_tasks = same("glue", {"sst2": 30, "wnli": 300}, "acc")
    entry = average_differences(over_tasks, over_tasks, INTERVALS, VERDICTS)["glue", "overall"]
    assert (entry["verdict"], entry["rows_needed"]) == ("undecided", 675)  # log(0.025) / log(1 - 0.03 / 5.5)
    over_rows = same("mmlu", {"anatomy": 30, "virology": 300}, "acc")
    assert average_differences(over_rows, over_rows, INTERVALS, VERDICTS)["mmlu", "overall"]["verdict"] == "kept"


def test_a_correlation_can_lose_twice_as_much_as_an_accuracy() -> None:
    pairs = [[1, 1], [0, 1]] * 61
    about = {"cola": {"metrics": {"mcc": {"measure": "matthews"}}}}
    rows = [
        {"suite": "glue", "task": "cola", "doc_id": i, "doc_hash": str(i), "values": {"mcc": pair}}
        for i, pair in enumerate(pairs)
    ]
    result: Any = {"suites": {"glue": {"tasks": about}}}, rows
    assert differences(result, result, INTERVALS, VERDICTS)["glue", "cola", "mcc"]["rows_needed"] == 245


@pytest.mark.parametrize("known_by", [0, 1])
def test_differences_are_over_passages_that_either_result_knows(known_by: int) -> None:
    """Twenty rows about two passages are two groups. A result of an earlier version does not know them."""
    sides = _result([0.0] * 20, [[1, 0]] * 20), _result([1.0] * 20, [[1, 1]] * 20)
    for number, row in enumerate(sides[known_by][1]):
        row["group"] = "ab"[number % 2]
    alone = differences(*sides, INTERVALS, VERDICTS)
    assert {(one["rows"], one["groups"]) for one in alone.values()} == {(20, 2)}
    assert average_differences(*sides, INTERVALS, VERDICTS)["glue", "overall"]["groups"] == 2


def test_a_large_group_weighs_as_much_in_an_average_as_in_its_task() -> None:
    """Half of the rows are about one passage. More rows are needed than if each were about another."""
    needed = {}
    for grouped in (False, True):
        result = _result([1.0] * 60, [[1, 1]] * 60)
        del result[0]["suites"]["glue"]["tasks"]["mrpc"]["metrics"]["f1"]
        for row in result[1]:
            row["group"] = "a" if grouped and row["doc_id"] < 30 else None
            row["values"]["f1"] = [1, 1]
        alone = differences(result, result, INTERVALS, VERDICTS)["glue", "mrpc", "acc"]
        overall = average_differences(result, result, INTERVALS, VERDICTS)["glue", "overall"]
        assert alone["verdict"] == overall["verdict"] == "undecided"
        assert alone["rows_needed"] == overall["rows_needed"]
        needed[grouped] = overall["rows_needed"]
    assert needed[True] > needed[False]


def test_a_suite_pools_the_rows_of_tasks_that_are_too_small_for_a_verdict() -> None:
    """Of 60 rows per task one is lost and one gained. No task shows that this is all; the average of 15 does."""
    subjects = [name for name, task in load_suite("mmlu").tasks.items() if task.group == "stem"][:15]
    assert len(subjects) == 15

    def side(lost: int, gained: int) -> Any:
        scores = [0.0] * lost + [1.0] * (60 - gained - lost) + [0.0] * gained
        rows = [
            {"suite": "mmlu", "task": name, "doc_id": i, "doc_hash": str(i), "values": {"acc": score}}
            for name in subjects
            for i, score in enumerate(scores)
        ]
        about = {name: {"metrics": {"acc": {"measure": "mean"}}} for name in subjects}
        return {"suites": {"mmlu": {"tasks": about}}}, rows

    before, after = side(0, 1), side(1, 0)
    alone = differences(before, after, INTERVALS, VERDICTS)
    assert {entry["verdict"] for entry in alone.values()} == {"undecided"}
    pooled = average_differences(before, after, INTERVALS, VERDICTS)["mmlu", "overall"]
    assert (pooled["verdict"], pooled["rows"], pooled["groups"], pooled["tasks"]) == ("kept", 900, 900, 15)
    assert pooled["value"] == 0.0 and 0 < pooled["error"] < 0.01
