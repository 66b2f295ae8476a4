"""Scores, differences and validation loss of each source and task in a comparison."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.compare.table import markdown_table
from tests.compare.compared import Workspace, comparison_of, prediction


def labels(row_id: str, accuracy: float) -> dict[str, Any]:
    other = {"source": "reviews", "task": "sentiment", "metrics": ["accuracy"], "accuracy": accuracy}
    return prediction(row_id, 0.5, **other)


def summaries(scores: list[float]) -> list[dict[str, Any]]:
    return [prediction(f"r{n}", score, metrics=["rouge"], accuracy=None) for n, score in enumerate(scores)]


def add(workspace: Workspace, name: str, rows: list[dict[str, Any]], method: str = "lora") -> None:
    workspace.experiment(name, rows=rows, method=method, validation_loss_per_byte=0.5)
    file = workspace.paths.report(name) / "metrics.json"
    report = json.loads(file.read_text())
    score = {"value": 0.75, "low": 0.5, "high": 1.0, "n": 4}
    report["groups"] = {
        "task": {"demo/summarise": {"rouge1_f": score}, "reviews/sentiment": {"accuracy": score}},
        "validation": {
            "demo/summarise": {"loss_per_byte": {"value": 0.25, "low": None, "high": None, "n": 2}},
            "letters/reply": {"loss_per_byte": {"value": 0.5, "low": None, "high": None, "n": 2}},
            "letters/rude": {"loss_per_byte": {"value": float("inf"), "low": None, "high": None, "n": 2}},
        },
    }
    file.write_text(json.dumps(report))


@pytest.fixture
def mixed(workspace: Workspace) -> Workspace:
    """Two tasks: ``lora`` writes better summaries in every row, and has no other label than ``base``."""
    right = [labels(f"l{n}", float(n < 3)) for n in range(4)]
    add(workspace, "base", [*summaries([0.1, 0.2, 0.3, 0.4]), *right], "none")
    add(workspace, "lora", [*summaries([0.3, 0.4, 0.6, 0.6]), *right])
    workspace.trivial("lead", [0.1, 0.2])
    return workspace


def entries(comparison: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return next(entry["per_task"] for entry in comparison["systems"] if entry["name"] == name)


def test_each_task_has_its_metric_score_difference_and_loss(mixed: Workspace) -> None:
    comparison = comparison_of(mixed)
    summary, reply, rude, sentiment = sorted(entries(comparison, "lora"), key=lambda one: one["task"])
    assert (summary["task"], summary["metric"], summary["rows"]) == ("demo/summarise", "rouge1_f", 4)
    assert summary["score"] == {"value": 0.75, "low": 0.5, "high": 1.0}
    assert summary["difference"]["value"] == pytest.approx(0.225)
    assert (summary["difference"]["rows"], summary["difference"]["verdict"]) == (4, "better")
    assert summary["validation_loss_per_byte"] == 0.25
    assert (reply["task"], reply["rows"], reply["score"], reply["difference"]) == ("letters/reply", 0, None, None)
    assert (reply["validation_loss_per_byte"], rude["validation_loss_per_byte"]) == (0.5, None)
    assert (sentiment["task"], sentiment["metric"]) == ("reviews/sentiment", "accuracy")
    assert (sentiment["difference"]["value"], sentiment["difference"]["verdict"]) == (0.0, "same")
    assert sentiment["validation_loss_per_byte"] is None
    assert [one["difference"] for one in entries(comparison, "base")] == [None] * 4


def test_differences_in_tasks_are_secondary_and_change_no_mark_of_the_primary_metric(mixed: Workspace) -> None:
    """The same rows under one task have the same differences over all rows, with the same marks."""
    comparison = comparison_of(mixed)
    overall = next(entry["differences"] for entry in comparison["systems"] if entry["name"] == "lora")
    assert set(overall) == {"rouge1_f", "rouge2_f", "rougeL_f", "copied_4grams"}
    for name in ("base", "lora"):
        for file in ("metrics.json", "predictions.parquet"):
            (mixed.paths.report(name) / file).unlink()
        mixed.paths.report(name).rmdir()
    right = [labels(f"l{n}", float(n < 3)) | {"source": "demo", "task": "summarise"} for n in range(4)]
    mixed.report(mixed.paths.report("base"), "base", [*summaries([0.1, 0.2, 0.3, 0.4]), *right])
    mixed.report(mixed.paths.report("lora"), "lora", [*summaries([0.3, 0.4, 0.6, 0.6]), *right])
    single = comparison_of(mixed)
    alone = next(entry["differences"] for entry in single["systems"] if entry["name"] == "lora")
    assert alone["rouge1_f"] == overall["rouge1_f"]
    assert all(entry["per_task"] == [] for entry in single["systems"])
    in_tasks = sum(one["difference"] is not None for s in comparison["systems"] for one in s["per_task"])
    assert in_tasks > 0 and comparison["adjusted_for"] == single["adjusted_for"] + in_tasks


def test_the_primary_metric_counts_where_the_templates_of_a_task_name_it(mixed: Workspace) -> None:
    metrics = {one["task"]: one["metric"] for one in entries(comparison_of(mixed, metric="rougeL_f"), "lora")}
    texts = dict.fromkeys(("demo/summarise", "letters/reply", "letters/rude"), "rougeL_f")
    assert metrics == texts | {"reviews/sentiment": "accuracy"}
    metrics = {one["task"]: one["metric"] for one in entries(comparison_of(mixed, metric="accuracy"), "lora")}
    assert (metrics["demo/summarise"], metrics["reviews/sentiment"]) == ("rouge1_f", "accuracy")


def test_the_table_of_tasks(mixed: Workspace) -> None:
    table = markdown_table(comparison_of(mixed))
    assert "| demo/summarise | lora | ROUGE-1 | 4 | 75.0 [50.0, 100.0] | " in table
    assert "| reviews/sentiment | lora | accuracy | 4 | 75.0 [50.0, 100.0] | 0.0 [0.0, 0.0] | same | – |" in table
    assert "| letters/reply | lora | ROUGE-1 | 0 | – | – | – | 0.5000 |" in table
