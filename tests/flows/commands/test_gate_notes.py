"""What ``plan`` tells of the gate before anything trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.commands.plan import gate_notes
from tasks.core.params import write_yaml
from tasks.core.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.params.mkdir()
    paths.evaluation_set.mkdir(parents=True)
    return paths


def prepare(paths: Paths, rows: int, choices: list[str], **registration: Any) -> None:
    test = [{"source": "tickets", "row_id": f"r{i}", "answer_choices": choices} for i in range(rows)]
    test += [test[0]]  # in another wording
    schema = pa.schema({"source": pa.string(), "row_id": pa.string(), "answer_choices": pa.list_(pa.string())})
    pq.write_table(pa.Table.from_pylist(test, schema=schema), paths.evaluation_set / "test.parquet")
    write_yaml(paths.params / "registration.yaml", {"registration": registration})


def same_verdicts(paths: Paths, groups: int) -> None:
    write_yaml(paths.params / "evaluation.yaml", {"verdicts": {"min_groups": groups}})


def test_a_gate_that_needs_fewer_rows_than_the_report_is_noted(paths: Paths) -> None:
    prepare(paths, 5, ["billing", "repair"], min_groups=5)
    same_verdicts(paths, 30)
    (note,) = gate_notes(paths)
    assert "is 5, but verdicts.min_groups (params/evaluation.yaml) is 30: with 5 to 29 independent groups" in note


def test_the_only_notes_are_too_few_rows_and_a_text_metric_for_labels(paths: Paths) -> None:
    prepare(paths, 5, ["billing", "repair"], metric="rouge1_f")
    same_verdicts(paths, 30)
    few, labels = gate_notes(paths)
    assert few.startswith(
        "5 independent groups of test rows: the gate decides nothing on fewer than 30 (registration.min_groups)"
    )
    same_verdicts(paths, 5)
    assert "decides by rouge1_f" in labels and "`metric: accuracy` in params/registration.yaml" in labels
    prepare(paths, 5, ["billing", "repair"], min_groups=5, metric="accuracy")
    assert gate_notes(paths) == []
    prepare(paths, 5, ["billing", "repair"], min_groups=5)
    assert gate_notes(paths) == [], "the primary metric of labels is accuracy"
    prepare(paths, 5, [], min_groups=5)
    assert gate_notes(paths) == []
