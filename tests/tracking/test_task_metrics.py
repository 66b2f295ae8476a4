"""Metrics of each source and task in MLflow, under names that it accepts."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_length_limit, _validate_metric_name

from tasks.core.files import read_json, write_json
from tasks.core.paths import Paths
from tasks.tracking.client import Tracker
from tasks.tracking.legal_names import LONGEST, legal_name
from tasks.tracking.sync import sync
from tasks.tracking.task_metrics import task_metrics

GROUPS = {
    "validation": {
        "demo/summary": {"loss": {"value": 2.0}, "loss_per_byte": {"value": 0.5}},
        "demo/Q&A": {"loss": {"value": 1.0}, "loss_per_byte": {"value": None}},
    },
    "task": {"demo/summary": {"rouge1_f": {"value": 0.25}, "rouge1_recall": {"value": 0.5}}},
}

REFUSED = ["validation/a//b", "a/./b", "a/../b", "a/b/", "a/Q&A", "a/" + "b" * 300, "a/b\n", "ü/ß(1)"]
ACCEPTED = ["validation_loss", "validation/demo/summary", "test/s/t/rouge1_f", "a/überblick: 1.5 - b"]


@pytest.mark.parametrize("name", [*REFUSED, *ACCEPTED])
def test_mlflow_accepts_every_name(name: str) -> None:
    changed = legal_name(name)
    _validate_metric_name(changed)
    _validate_length_limit("name", MAX_ENTITY_KEY_LENGTH, changed)
    assert (changed == name) == (name in ACCEPTED)
    assert changed.split("/")[0] == name.split("/")[0], "the charts of a prefix stay together"


def test_names_that_differ_stay_apart() -> None:
    assert LONGEST == MAX_ENTITY_KEY_LENGTH
    similar = ["a/b&c", "a/b_c", "a/b,c", "a/" + "b" * 300, "a/" + "b" * 301]
    assert len({legal_name(name) for name in similar}) == len(similar)
    assert legal_name("a/b&c") == legal_name("a/b&c")


def test_of_one_task_nothing_is_added() -> None:
    single: dict[str, Any] = {kind: dict(list(tasks.items())[:1]) for kind, tasks in GROUPS.items()}
    assert task_metrics({"groups": single}) == task_metrics({}) == {}


def test_a_run_has_the_final_metrics_of_each_task(paths: Paths, tracker: Tracker) -> None:
    file = paths.report("lora") / "metrics.json"
    write_json(file, read_json(file) | {"groups": GROUPS})
    run = next(one.run_id for one in sync(paths, tracker) if one.experiment == "lora")
    metrics = tracker.client.get_run(run).data.metrics
    of_tasks = {name: value for name, value in metrics.items() if "/demo/" in name}
    assert of_tasks == {
        "validation/demo/summary": 2.0,
        "validation_per_byte/demo/summary": 0.5,
        legal_name("validation/demo/Q&A"): 1.0,
        "test/demo/summary/rouge1_f": 0.25,
    }
