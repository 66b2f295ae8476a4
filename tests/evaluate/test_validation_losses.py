"""The loss of each validation row, and of each source and task."""

from __future__ import annotations

import pytest

from tasks.core import files
from tasks.core.paths import Paths
from tasks.evaluate.validation import LOSSES, losses_by_task
from tasks.text.rows import RENDERED
from tests.evaluate.evaluation import evaluate_clean
from tests.train.training_workspace import PAIRS, rows


def test_a_report_has_the_loss_of_each_row_task_and_all(paths: Paths) -> None:
    validation = [*rows([*PAIRS[:2], ("Customer: hm", "Ähm.")]), *rows(PAIRS[3:], source="agents")]
    validation[1]["task"] = "title"
    files.write_rows(paths.evaluation_set / "validation.parquet", validation, RENDERED)
    report = evaluate_clean(paths, "lora")
    losses = files.read_rows(paths.report("lora") / "validation.parquet")
    assert list(losses[0]) == LOSSES.names
    assert [(row["source"], row["row_id"], row["task"], row["group"]) for row in losses] == [
        (row["source"], row["row_id"], row["task"], row["group"]) for row in validation
    ]
    assert losses[2]["bytes"] == 5, "an umlaut has two bytes"
    predicted = files.read_rows(paths.predictions("lora") / "validation.parquet")
    assert [(row["nll"], row["tokens"]) for row in losses] == [(row["nll"], row["tokens"]) for row in predicted]

    tasks = report["groups"]["validation"]
    assert {name: one["loss"]["n"] for name, one in tasks.items()} == {
        "agents/summary": 3,
        "chats/summary": 2,
        "chats/title": 1,
    }
    assert tasks["chats/title"]["loss_per_byte"]["value"] == losses[1]["nll"] / len(PAIRS[1][1])
    for metric, column in (("loss", "tokens"), ("loss_per_byte", "bytes")):
        sizes = {name: sum(row[column] for row in losses if _task(row) == name) for name in tasks}
        whole = sum(tasks[name][metric]["value"] * size for name, size in sizes.items()) / sum(sizes.values())
        assert report["metrics"][f"validation_{metric}"]["value"] == pytest.approx(whole)


def _task(row: dict[str, str]) -> str:
    return f"{row['source']}/{row['task']}"


def test_empty_completions_have_no_loss_per_byte_and_variants_count_as_one_row() -> None:
    row = {"source": "s", "task": "t", "row_id": "r", "nll": 1.0, "tokens": 1, "bytes": 0}
    scores = losses_by_task([row, row | {"template_id": "other", "nll": 3.0}])["validation"]["s/t"]
    assert scores["loss"] == {"value": 2.0, "low": None, "high": None, "n": 1}
    assert scores["loss_per_byte"] == {"value": None, "low": None, "high": None, "n": 1}
