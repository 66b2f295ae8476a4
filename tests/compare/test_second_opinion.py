"""Rows of earlier test sets: a difference beside the report, which decides nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.compare.collect import System, collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.compare.second_opinion import second_opinion
from tasks.metrics.params import VerdictParams
from tasks.report.details import second_opinions
from tests.compare.compared import Workspace, page_of

PARAMS = CompareParams(metric="rouge1_f", resamples=200)


def row(number: int, score: float | None, group: str) -> dict[str, Any]:
    key = {"row_id": f"r{number}", "source": "s", "template_id": "t", "task": "k"}
    return {**key, "group": group, "rouge1_f": score, "completion": "c", "prompt": "p", "references": ["r"]}


THEIRS = [row(i, 0.4, "ab"[i // 2]) for i in range(4)]
OURS = [row(i, score, "ab"[i // 2]) for i, score in enumerate((0.5, 0.7, 0.2, 0.4))]


def test_the_difference_is_over_the_groups_of_rows_that_both_predicted() -> None:
    ours = System("lora", "experiment", retired=[*OURS, row(9, 1.0, "c"), row(8, None, "c")])
    theirs = System("base", "experiment", retired=[*THEIRS, row(8, 0.4, "c")])
    difference = second_opinion(ours, theirs, PARAMS)
    assert difference is not None and (difference["rows"], difference["groups"]) == (4, 2)
    # By hand: the groups sum to 0.4 and -0.2, and deviate from 2 * 0.05 by 0.3 and -0.3.
    assert difference["value"] == pytest.approx(0.05)
    assert difference["error"] == pytest.approx((2 * (0.3**2 + 0.3**2)) ** 0.5 / 4)
    assert second_opinion(System("lora", "experiment"), theirs, PARAMS) is None


def test_the_report_shows_it_and_nothing_else_changes(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    workspace.experiment("lora", validation_loss_per_byte=0.5)
    before = compare(collect(workspace.paths, "base"), PARAMS, VerdictParams())
    assert second_opinions(before) == [] and "A second opinion" not in page_of(before)
    for name, rows in (("base", THEIRS), ("lora", OURS)):
        pq.write_table(pa.Table.from_pylist(rows), workspace.paths.report(name) / "retired.parquet")
    after = compare(collect(workspace.paths, "base"), PARAMS, VerdictParams())
    ((name, cells),) = second_opinions(after)
    assert (name, cells[2]) == ("lora", "4") and cells[1].startswith("+5.0 [")
    page = page_of(after)
    assert "A second opinion: rows of earlier test sets" in page and cells[1] in page
    for entry in after["systems"]:
        entry["second_opinion"] = None
    assert after == before
