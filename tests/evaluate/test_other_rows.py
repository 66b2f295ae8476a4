"""What ``predict@X`` does besides predicting the test rows: examples, samples, retention tasks and retired rows."""

from __future__ import annotations

import pytest

from tasks.core import files
from tasks.core.paths import Paths
from tasks.text.rows import RENDERED
from tests.evaluate import evaluation
from tests.evaluate.evaluation import EVALUATE, add_scoring, evaluate_clean
from tests.train.training_workspace import PAIRS, rows


def test_examples_are_in_the_prompt_and_their_cost_is_reported(paths: Paths) -> None:
    files.write_rows(paths.evaluation_set / "examples.parquet", rows(PAIRS), RENDERED)
    bare = evaluate_clean(paths, "base")["model"]["shots"]
    evaluation.write_params(paths, "base", EVALUATE | {"shots": 2})
    report = evaluate_clean(paths, "base")
    shots = report["model"]["shots"]
    assert (bare["count"], bare["examples"]) == (0, {})
    assert shots["count"] == len(shots["examples"]["chats/plain"]) == 2
    assert shots["rows_with_fewer"] == 0
    assert shots["prompt_tokens"]["mean"] > 2 * bare["prompt_tokens"]["mean"]
    assert shots["context_share"]["most"] == shots["prompt_tokens"]["most"] / shots["context"]


def test_samples_are_scored_and_their_spread_is_reported(paths: Paths) -> None:
    evaluation.write_params(paths, "base", EVALUATE | {"sampling": {"count": 3, "temperature": 3.0}})
    report = evaluate_clean(paths, "base")
    drawn = files.read_rows(paths.report("base") / "samples.parquet")
    assert [row["sample"] for row in drawn] == [n for n in range(3) for _ in PAIRS]
    assert len({row["completion"] for row in drawn if row["row_id"] == "r1"}) > 1
    assert [(row["group"], row["dirty"]) for row in drawn[:2]] == [("g1", False), ("g2", False)]
    samples = report["model"]["samples"]
    assert (samples["count"], samples["temperature"]) == (3, 3.0)
    means = [sum(row["copied_4grams"] for row in drawn if row["sample"] == n) / len(PAIRS) for n in range(3)]
    spread = samples["scores"]["copied_4grams"]
    assert (spread["lowest"], spread["highest"]) == (min(means), max(means))
    assert spread["mean"] == pytest.approx(sum(means) / 3)
    assert evaluate_clean(paths, "lora")["model"]["samples"] is None


def test_retention_rows_are_predicted_and_scored_apart(paths: Paths) -> None:
    other = [row | {"source": "other", "task": "labels"} for row in rows(PAIRS)]
    add_scoring(paths, "accuracy", "matthews", source="other")
    files.write_rows(paths.evaluation_set / "retention.parquet", other, RENDERED)
    report = evaluate_clean(paths, "full")
    scores = report["groups"]["retention"]["other/labels"]
    assert scores["accuracy"]["value"] == 1.0 and scores["accuracy"]["n"] == len(PAIRS)
    assert "matthews" in scores
    predicted = files.read_rows(paths.report("full") / "retention.parquet")
    assert [row["completion"] for row in predicted] == [completion for _, completion in PAIRS]
    assert 0 < predicted[0]["loss_per_byte"] < 0.2
    assert (predicted[1]["group"], predicted[1]["dirty"]) == ("g2", None)
    assert report["rows"] == len(PAIRS), "the test rows stay as they are"
    base = evaluate_clean(paths, "base")["groups"]["retention"]["other/labels"]
    assert base["loss_per_byte"]["value"] > 10 * scores["loss_per_byte"]["value"]


def test_retired_rows_are_predicted_like_test_rows_and_scored_apart(paths: Paths) -> None:
    files.write_rows(paths.evaluation_set / "examples.parquet", rows(PAIRS), RENDERED)
    evaluation.write_params(paths, "full", EVALUATE | {"shots": 1})
    alone = evaluate_clean(paths, "full")
    files.write_rows(paths.evaluation_set / "retired.parquet", rows(PAIRS), RENDERED)
    report = evaluate_clean(paths, "full")
    predicted, second = (
        files.read_rows(paths.report("full") / f"{name}.parquet") for name in ("predictions", "retired")
    )
    unmarked = [row | {"dirty": None} for row in predicted]  # the mixture marks the present test rows alone
    assert second == unmarked, "the same rows with the same example"
    scores = report["groups"].pop("retired")["chats/summary"]
    assert scores["rouge1_f"]["value"] == report["metrics"]["rouge1_f"]["value"]
    assert scores["rouge1_f"]["n"] == len(PAIRS)
    assert report == alone, "the scores of the test rows stay as they are"


def test_retired_rows_without_examples_of_their_task_are_left_out(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    files.write_rows(paths.evaluation_set / "examples.parquet", rows(PAIRS), RENDERED)
    gone = [row | {"task": "gone"} for row in rows(PAIRS)[:2]]
    files.write_rows(paths.evaluation_set / "retired.parquet", [gone[0], *rows(PAIRS)[2:], gone[1]], RENDERED)
    evaluation.write_params(paths, "full", EVALUATE | {"shots": 1})
    evaluate_clean(paths, "full")
    second = files.read_rows(paths.report("full") / "retired.parquet")
    test = files.read_rows(paths.report("full") / "predictions.parquet")
    assert [row["completion"] for row in second] == [row["completion"] for row in test[2:]], "each in its own row"
    assert f"retired: 2 of {len(PAIRS)} rows are left out: 0 do not fit" in caplog.text
    assert "the tasks of 2 have fewer than 1 training rows as examples (evaluation.shots)" in caplog.text
    files.write_rows(paths.evaluation_set / "retired.parquet", gone, RENDERED)
    assert "retired" not in evaluate_clean(paths, "full")["groups"]
