"""The core of ``compare``: what is read, paired, chosen and warned about."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.compare.collect import OTHER_ROWS, collect, natural
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.params import parse
from tests.compare.compared import Workspace


def result(workspace: Workspace, **params: Any) -> dict[str, Any]:
    chosen = CompareParams(**params)
    return compare(collect(workspace.paths, chosen.baseline), chosen)


def names(comparison: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in comparison["systems"]]


def entry(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    return next(e for e in comparison["systems"] if e["name"] == name)


def kinds(comparison: dict[str, Any], system: str) -> list[str]:
    return [w["kind"] for w in comparison["warnings"] if w["system"] == system]


def test_known_difference_is_its_mean_and_real(workspace: Workspace) -> None:
    workspace.experiment("base", [0.1, 0.2, 0.3, 0.4], method="none")
    workspace.experiment("lora", [0.3, 0.5, 0.5, 0.7])  # gains 0.2, 0.3, 0.2, 0.3
    differences = entry(result(workspace), "lora")["differences"]
    assert differences["rouge1_f"]["value"] == pytest.approx(0.25)
    assert differences["rouge1_f"]["low"] == pytest.approx(0.2)  # 2.5 % of resamples: all four draws are 0.2 (1/16)
    assert differences["rouge1_f"]["high"] == pytest.approx(0.3)
    assert differences["rouge1_f"]["real"] and differences["rouge1_f"]["rows"] == 4
    assert differences["copied_4grams"] == {"value": 0.0, "low": 0.0, "high": 0.0, "rows": 4, "real": False}
    assert sorted(differences) == ["copied_4grams", "rouge1_f", "rouge2_f", "rougeL_f"]


def test_difference_that_points_both_ways_is_not_real(workspace: Workspace) -> None:
    workspace.experiment("base", [0.5, 0.5, 0.5, 0.5], method="none")
    workspace.experiment("lora", [0.3, 0.7, 0.4, 0.7])
    assert not entry(result(workspace), "lora")["differences"]["rouge1_f"]["real"]


def test_rounding_noise_and_a_single_row_are_not_real(workspace: Workspace, predict: Callable[..., Any]) -> None:
    workspace.experiment("base", [0.3, 0.3], method="none")
    workspace.experiment("same", [0.1 + 0.2, 0.1 + 0.2])  # 5e-17 more
    workspace.experiment("one", rows=[predict("r0", 0.9)])
    comparison = result(workspace)
    assert not entry(comparison, "same")["differences"]["rouge1_f"]["real"]
    single = entry(comparison, "one")["differences"]["rouge1_f"]
    assert (single["rows"], single["real"]) == (1, False)
    assert single["low"] == single["high"] == pytest.approx(0.6)
    assert "unpaired" in kinds(comparison, "one")


def test_rows_pair_by_identity_not_by_order(workspace: Workspace, predict: Callable[..., Any]) -> None:
    workspace.experiment("base", [0.1, 0.5, 0.9], method="none")
    workspace.experiment("lora", rows=[predict("r2", 1.0), predict("r0", 0.2), predict("r1", 0.6)])
    difference = entry(result(workspace), "lora")["differences"]["rouge1_f"]
    assert (difference["value"], difference["low"], difference["high"]) == pytest.approx((0.1, 0.1, 0.1))


def test_wordings_of_one_row_count_as_one_row(workspace: Workspace, predict: Callable[..., Any]) -> None:
    rows = [predict(f"r{i}", 0.1, template) for i in range(2) for template in "ab"]
    workspace.experiment("base", rows=rows, method="none")
    gains = {("r0", "a"): 0.2, ("r0", "b"): 0.4, ("r1", "a"): 0.2, ("r1", "b"): 0.2}
    workspace.experiment("lora", rows=[predict(r, 0.1 + g, t) for (r, t), g in gains.items()])
    difference = entry(result(workspace), "lora")["differences"]["rouge1_f"]
    assert difference["rows"] == 2 and difference["value"] == pytest.approx((0.3 + 0.2) / 2)


def test_rows_without_the_score_are_left_out(workspace: Workspace, predict: Callable[..., Any]) -> None:
    workspace.experiment("base", [0.1, 0.2], method="none")
    workspace.experiment("lora", rows=[predict("r0", 0.1, copied_4grams=None), predict("r1", 0.2, copied_4grams=0.3)])
    workspace.experiment("mute", rows=[predict("r0", 0.1, copied_4grams=None), predict("r1", 0.2, copied_4grams=None)])
    comparison = result(workspace)
    assert entry(comparison, "lora")["differences"]["copied_4grams"]["rows"] == 1
    assert entry(comparison, "mute")["differences"]["copied_4grams"] is None


def test_missing_and_stale_reports_are_listed_with_the_reason(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    workspace.experiment("lora")
    workspace.experiment("new", report=False)
    workspace.experiment("stale", test="b" * 64)
    workspace.trivial("lead", [0.1, 0.1], test="b" * 64)
    comparison = result(workspace)
    assert names(comparison) == ["base", "lora"]
    assert [(e["name"], e["reason"]) for e in comparison["not_compared"]] == [
        ("new", "not evaluated yet"),
        ("stale", OTHER_ROWS),
        ("lead", OTHER_ROWS),
    ]


def test_most_common_test_rows_win_and_the_baseline_breaks_a_tie(workspace: Workspace) -> None:
    workspace.experiment("base", method="none", test="b" * 64)
    workspace.experiment("a")
    assert names(result(workspace)) == ["base"]
    workspace.experiment("c")
    comparison = result(workspace)
    assert names(comparison) == ["a", "c"]
    assert OTHER_ROWS in comparison["baseline"]["note"]
    assert all(e["differences"] is None for e in comparison["systems"])


def test_reports_of_deleted_experiments_are_not_read(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    folder = workspace.paths.report("deleted")
    folder.mkdir()
    (folder / "metrics.json").write_text("not even JSON")
    assert names(result(workspace)) == ["base"]


def test_baseline_comes_first_then_names_in_natural_order_then_trivial_ones(workspace: Workspace) -> None:
    for name in ("lora-r16", "full", "zero", "lora-r8"):
        workspace.experiment(name, method="none" if name == "zero" else "lora")
    workspace.trivial("nearest", [0.1, 0.1])
    workspace.trivial("lead", [0.1, 0.1])
    assert names(result(workspace, baseline="zero")) == ["zero", "full", "lora-r8", "lora-r16", "lead", "nearest"]


def test_natural_order_compares_any_two_names() -> None:
    assert sorted(["b", "a10", "3", "a2", "10", "a"], key=natural) == ["3", "10", "a", "a2", "a10", "b"]


def test_without_the_baseline_experiment_the_report_says_so(workspace: Workspace) -> None:
    workspace.experiment("lora")
    comparison = result(workspace)
    assert comparison["baseline"]["compared"] is False
    assert "no experiment is named 'base'; there are: lora" in comparison["baseline"]["note"]
    assert entry(comparison, "lora")["differences"] is None


def test_candidate_is_chosen_by_validation_not_by_test(workspace: Workspace) -> None:
    workspace.experiment("base", [0.9, 0.9], method="none", validation_loss_per_byte=0.1)
    workspace.experiment("best-on-test", [0.9, 0.8], validation_loss_per_byte=0.6)
    workspace.experiment("best-on-validation", [0.3, 0.4], validation_loss_per_byte=0.5)
    workspace.experiment("diverged", [0.1, 0.2], validation_loss_per_byte=float("nan"))
    comparison = result(workspace)
    assert comparison["candidate"] == "best-on-validation"
    assert [e["name"] for e in comparison["systems"] if e["candidate"]] == ["best-on-validation"]
    assert kinds(comparison, "diverged") == ["no validation loss"]


def test_no_tuned_experiment_no_candidate(workspace: Workspace) -> None:
    workspace.experiment("base", method="none", validation_loss_per_byte=0.1)
    assert result(workspace)["candidate"] is None


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"copied_4grams": 0.21}, ["copying"]),
        ({"copied_4grams": 0.20}, []),
        ({"repetition": 0.21}, ["repetition"]),
        ({"repetition": 0.20}, []),
        ({"finished": 0.79}, ["unfinished"]),
        ({"finished": 0.80}, []),
        ({"empty": 0.01}, ["empty"]),
        ({"rouge1_f": 0.25}, ["beaten by a trivial baseline"]),
        ({"rouge1_f": 0.26}, []),
    ],
)
def test_warnings_start_just_past_their_thresholds(
    workspace: Workspace, metrics: dict[str, Any], expected: list[str]
) -> None:
    workspace.experiment("base", method="none", repetition=0.1)  # copies 0.1
    workspace.experiment("lora", **{"validation_loss_per_byte": 0.5, **metrics})
    workspace.trivial("lead", [0.25, 0.25], copied_4grams=1.0)
    comparison = result(workspace)
    assert kinds(comparison, "lora") == expected
    assert kinds(comparison, "lead") == kinds(comparison, "base") == []


def test_samples_show_first_rows_then_the_largest_gains_and_losses(workspace: Workspace) -> None:
    workspace.experiment("base", [0.5] * 8, method="none")
    workspace.experiment("lora", [0.5, 0.5, 0.6, 0.9, 0.1, 0.5, 0.4, 0.5])
    samples = result(workspace, samples=4)["samples"]
    assert [(s["row"], s["why"]) for s in samples] == [
        (1, "in row order"),
        (2, "in row order"),
        (4, "largest gain of lora over base"),
        (5, "largest loss of lora against base"),
    ]
    assert [(a["name"], a["rouge1_f"]) for a in samples[2]["answers"]] == [("base", 0.5), ("lora", 0.9)]


@pytest.mark.parametrize(("count", "rows"), [(0, []), (2, [1, 2]), (8, [1, 2, 3])])
def test_samples_never_repeat_and_fill_up_in_row_order(workspace: Workspace, count: int, rows: list[int]) -> None:
    workspace.experiment("base", [0.5] * 3, method="none")
    workspace.experiment("lora", [0.5] * 3)
    assert [s["row"] for s in result(workspace, samples=count)["samples"]] == rows


def test_nothing_to_compare_is_an_error_with_a_remedy(workspace: Workspace) -> None:
    with pytest.raises(TunesmithError, match=r"there is none\. Name one in params/experiments\.yaml"):
        result(workspace)
    workspace.experiment("base", method="none", report=False)
    workspace.trivial("lead", [0.1, 0.2])
    with pytest.raises(TunesmithError, match=r"base: not evaluated yet.*tunesmith run"):
        result(workspace)


def test_broken_files_are_named(workspace: Workspace) -> None:
    workspace.experiment("base", method="none")
    (workspace.paths.report("base") / "metrics.json").write_text("{")
    with pytest.raises(
        TunesmithError, match=r"reports/experiments/base/metrics\.json: must be a file that `score` wrote"
    ):
        result(workspace)
    (workspace.paths.experiment("base") / "train.yaml").write_text("rank: 8\n")
    with pytest.raises(TunesmithError, match=r"base/train\.yaml: method: must name the training method"):
        result(workspace)


def test_params_refuse_an_unknown_metric_and_name_the_known_ones() -> None:
    with pytest.raises(TunesmithError, match=r"evaluation\.yaml: compare\.metric: must be a score.*'rouge'.*rougeL_f"):
        parse(CompareParams, {"metric": "rouge"}, "params/evaluation.yaml", "compare")
