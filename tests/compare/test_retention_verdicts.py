"""Kept, lost, gained: verdicts worked out by hand, and what a report and the gate make of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.compare.collect import System, collect
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.compare.retention_verdicts import retention
from tasks.metrics.params import VerdictParams
from tasks.report.forgetting import retention_rows
from tests.compare.compared import Workspace, page_of

PARAMS = CompareParams(resamples=200, lost_examples=2)
VERDICTS = VerdictParams(min_groups=2)


def row(number: int, metric: str | None = "accuracy", **scores: Any) -> dict[str, Any]:
    return {
        "row_id": f"r{number}",
        "source": "wnut",
        "template_id": "plain",
        "task": "entities",
        "prompt": f"question {number}",
        "references": [f"answer {number}"],
        "completion": f"said {scores}",
        "metrics": [metric] if metric else None,
        **scores,
    }


def judged(before: list[Any], after: list[Any], metric: str = "accuracy", column: str = "accuracy") -> Any:
    systems = [
        System("x", "experiment", retention=[row(i, metric, **{column: score}) for i, score in enumerate(scores)])
        for scores in (after, before)
    ]
    return retention(*systems, PARAMS, VERDICTS)["wnut/entities"]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0], "lost"),
        ([0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0], "gained"),
        ([1, 0, 1, 0, 1, 0], [0, 1, 1, 0, 0, 1], "undecided"),
        ([0.5] * 121, [0.5] * 121, "undecided"),  # a loss of 3 points shows in none of 121 rows at times
        ([0.5] * 122, [0.5] * 122, "kept"),
        ([1] * 1500 + [0] * 500, [1] * 1490 + [0] * 500 + [1] * 10, "kept"),
        ([1], [0], "undecided"),  # one row shows nothing
    ],
)
def test_a_verdict_must_be_shown(before: list[float], after: list[float], verdict: str) -> None:
    judgement = judged(before, after)
    assert judgement["verdict"] == verdict
    assert judgement["difference"]["value"] == pytest.approx(judgement["after"] - judgement["before"])
    assert judgement["difference"]["rows"] == len(before)
    assert judgement.get("rows_needed", 0) > len(before) or verdict != "undecided"


def test_rows_of_one_group_are_one_sample() -> None:
    """Six rows that all lose are a loss, but not if they are of two groups: a t interval of 1 ± 12.7 * 0.25."""
    scores = [(i, 0.5 if i < 3 else 1.0) for i in range(6)]
    before = [row(i, accuracy=score, group="ab"[i // 3]) for i, score in scores]
    after = [row(i, accuracy=0.0, group="ab"[i // 3]) for i, _ in scores]
    systems = [System("x", "experiment", retention=rows) for rows in (after, before)]
    judgement = retention(*systems, PARAMS, VERDICTS)["wnut/entities"]
    assert (judgement["verdict"], judgement["difference"]["groups"], judgement["difference"]["rows"]) == (
        "undecided",
        2,
        6,
    )
    assert judgement["difference"]["value"] == -0.75 and judgement["difference"]["error"] == pytest.approx(0.25)
    alone = [System("x", "experiment", retention=[one | {"group": None} for one in s.retention]) for s in systems]
    assert retention(*alone, PARAMS, VERDICTS)["wnut/entities"]["verdict"] == "lost"


def test_rows_of_a_large_group_may_hide_a_loss() -> None:
    """122 groups are enough if they are equal. If one of them has 79 of 200 rows, it weighs 48 times the average."""
    rows = [row(i, accuracy=0.5, group=str(max(i - 78, 0))) for i in range(200)]
    systems = [System(name, "experiment", retention=rows) for name in ("x", "base")]
    judgement = retention(*systems, PARAMS, VERDICTS)["wnut/entities"]
    assert (judgement["verdict"], judgement["difference"]["groups"]) == ("undecided", 122)
    assert judgement["rows_needed"] > 9_000


def test_more_loss_is_worse() -> None:
    judgement = judged([1.0, 1.1, 1.0], [1.5, 1.6, 1.4], "loss", "loss_per_byte")
    assert (judgement["verdict"], judgement["metric"]) == ("lost", "loss_per_byte")
    assert judged([1.5, 1.6, 1.4], [1.0, 1.1, 1.0], "pearson", "loss_per_byte")["verdict"] == "gained"


def test_the_rows_that_lost_most_are_shown_before_and_after() -> None:
    judgement = judged([0.9, 0.5, 1.0, 0.2], [0.8, 0.5, 0.1, 0.4], "rouge", "rouge1_f")
    assert [example["row_id"] for example in judgement["examples"]] == ["r2", "r0"]
    assert judgement["examples"][0]["scores"] == [1.0, 0.1]
    assert judgement["examples"][0]["before"] != judgement["examples"][0]["after"]


def test_entities_are_judged_all_together() -> None:
    """Of 40 rows 20 name none: the base says much there and finds the others' names, the tuned model finds nothing.
    A mean of row scores would call that a gain, as a row without names and without an answer is right."""
    texts = ["ada: person"] * 20 + ["none"] * 20
    before = ["ada: person"] * 20 + ["bob: person"] * 20
    systems = [
        System(
            "x",
            "experiment",
            method="lora",
            retention=[
                row(i, "entity_f1", references=[texts[i]], completion=completions[i], entity_f1=0.0) for i in range(40)
            ],
        )
        for completions in (["positive"] * 40, before)
    ]
    judgement = retention(*systems, PARAMS, VERDICTS)["wnut/entities"]
    assert (judgement["before"], judgement["after"], judgement["verdict"]) == (pytest.approx(2 * 20 / 60), 0.0, "lost")


def test_who_answers_nothing_right_is_judged_by_loss() -> None:
    systems = [
        System(
            "x",
            "experiment",
            retention=[row(i, accuracy=0.0, loss_per_byte=loss + i / 100) for i in range(6)],
        )
        for loss in (1.5, 1.0)
    ]
    judgement = retention(*systems, PARAMS, VERDICTS)["wnut/entities"]
    assert (judgement["metric"], judgement["verdict"]) == ("loss_per_byte", "lost")
    assert judgement["difference"]["value"] == pytest.approx(0.5)


def test_a_score_that_some_rows_lack_does_not_judge() -> None:
    systems = [
        System(
            "x",
            "experiment",
            retention=[
                row(0, accuracy=score, rouge1_f=score),
                *(row(i, "rouge", accuracy=None, rouge1_f=score) for i in (1, 2)),
            ],
        )
        for score in (0.1, 0.9)
    ]
    judgement = retention(*systems, PARAMS, VERDICTS)["wnut/entities"]
    assert (judgement["metric"], judgement["difference"]["rows"], judgement["verdict"]) == ("rouge1_f", 3, "lost")


def test_rows_without_a_word_to_compare_are_left_out() -> None:
    judgement = judged([0.9, None, *[0.8] * 5], [0.1, None, *[0.2] * 5], "rouge", "rouge1_f")
    assert (judgement["metric"], judgement["difference"]["rows"], judgement["verdict"]) == ("rouge1_f", 6, "lost")


def test_tasks_and_rows_that_only_one_system_has_are_reported() -> None:
    ours = System("x", "experiment", retention=[row(0, accuracy=1.0), row(1, accuracy=0.0)])
    theirs = System("base", "experiment", retention=[row(1, accuracy=1.0), row(2, accuracy=0.0)])
    judgement = retention(ours, theirs, PARAMS, VERDICTS)["wnut/entities"]
    assert (judgement["difference"]["rows"], judgement["unpaired"]) == (1, 2)
    alone = retention(ours, System("base", "experiment"), PARAMS, VERDICTS)["wnut/entities"]
    assert (alone["verdict"], alone["unpaired"]) == ("not judged", 2)


def test_a_task_that_was_trained_on_is_marked() -> None:
    rows = [row(0, accuracy=1.0), row(1, accuracy=0.0)]
    ours = System("x", "experiment", model={"trained_on": ["wnut"]}, retention=rows)
    assert retention(ours, System("base", "experiment", retention=rows), PARAMS, VERDICTS)["wnut/entities"]["trained"]


def test_what_was_lost_is_a_warning_and_a_table(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    workspace.experiment("lora", validation_loss_per_byte=0.5)
    for name, score in (("base", 1.0), ("lora", 0.0)):
        rows = [row(number, accuracy=score) for number in range(6)]
        pq.write_table(pa.Table.from_pylist(rows), workspace.paths.report(name) / "retention.parquet")
    comparison = compare(collect(workspace.paths, "base"), PARAMS, VERDICTS)
    lost = [warning for warning in comparison["warnings"] if warning["kind"] == "lost"]
    assert [warning["message"] for warning in lost] == [
        "lora lost wnut/entities: accuracy 1.000 before, 0.000 after, -1.000 [-1.000, -1.000] on 6 rows."
    ]
    (shown,) = retention_rows(comparison)
    assert (shown["verdict"], shown["cells"]) == ("lost", ["accuracy", "100.0", "0.0", "-100.0 [-100.0, -100.0]", "6"])
    page = page_of(comparison)
    assert "Kept and lost" in page and "question 0" in page


def test_too_few_rows_leave_a_task_undecided_and_the_report_gives_the_number(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    workspace.experiment("lora", validation_loss_per_byte=0.5)
    for name in ("base", "lora"):
        rows = [row(number, accuracy=1.0) for number in range(40)]
        pq.write_table(pa.Table.from_pylist(rows), workspace.paths.report(name) / "retention.parquet")
    comparison = compare(collect(workspace.paths, "base"), PARAMS, VerdictParams())
    assert not [warning for warning in comparison["warnings"] if warning["kind"] == "lost"]
    (shown,) = retention_rows(comparison)
    assert (shown["verdict"], shown["needed"]) == ("undecided", " (~122 rows needed)")
    page = page_of(comparison)
    assert "undecided</span> (~122 rows needed)" in page and "loss_per_byte 0.01" in page


def test_tasks_are_judged_together() -> None:
    """A loss that is shown in one task alone is not shown in one of many."""

    def rows(task: int, after: bool) -> list[dict[str, Any]]:
        lost = after and task == 0
        return [row(i, accuracy=0.0 if lost and i < 6 else 1.0) | {"task": str(task)} for i in range(40)]

    def lone_verdict(tasks: int) -> str:
        systems = [
            System("x", "experiment", retention=[one for t in range(tasks) for one in rows(t, after)])
            for after in (True, False)
        ]
        return str(retention(*systems, PARAMS, VERDICTS)["wnut/0"]["verdict"])

    assert (lone_verdict(1), lone_verdict(8)) == ("lost", "undecided")
