"""The core of ``compare``: what is read, paired, chosen and warned about."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.compare.collect import OTHER_ROWS, collect, natural
from tasks.compare.compare import compare
from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.params import parse
from tasks.metrics.params import VerdictParams
from tests.compare.compared import Workspace


def result(workspace: Workspace, min_groups: int = 2, **params: Any) -> dict[str, Any]:
    chosen = CompareParams(**params)
    return compare(collect(workspace.paths, chosen.baseline), chosen, VerdictParams(min_groups=min_groups))


def names(comparison: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in comparison["systems"]]


def entry(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    return next(e for e in comparison["systems"] if e["name"] == name)


def kinds(comparison: dict[str, Any], system: str) -> list[str]:
    return [w["kind"] for w in comparison["warnings"] if w["system"] == system]


def test_a_known_difference_by_hand(workspace: Workspace) -> None:
    workspace.experiment("base", [0.1, 0.2, 0.3, 0.4], method="none")
    workspace.experiment("lora", [0.3, 0.5, 0.5, 0.7])  # gains 0.2, 0.3, 0.2, 0.3
    differences = entry(result(workspace), "lora")["differences"]
    rouge = differences["rouge1_f"]
    # The bootstrap reaches from 0.2 to 0.3 (1/16 each). Student's t reaches further: sqrt(0.01 / 3) / 2 * 3.182.
    assert (rouge["value"], rouge["low"], rouge["high"]) == pytest.approx(
        (0.25, 0.25 - 0.09186, 0.25 + 0.09186), abs=1e-5
    )
    assert (rouge["error"], rouge["p"]) == pytest.approx((0.028868, 0.003239), abs=1e-6)
    assert (rouge["rows"], rouge["groups"], rouge["verdict"], rouge["adjusted"]) == (4, 4, "better", True)
    assert "rows_needed" not in rouge
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0, "rows": 4, "groups": 4, "error": 0.0, "p": 1.0}
    assert differences["copied_4grams"] == {**nothing, "verdict": None, "adjusted": False}
    assert sorted(differences) == ["copied_4grams", "rouge1_f", "rouge2_f", "rougeL_f"]


def test_rows_of_one_group_are_drawn_together(workspace: Workspace, predict: Callable[..., Any]) -> None:
    """Two groups of two rows, gains 0.2, 0.2 and 0.3, 0.3: a standard error of 0.05 and one degree of freedom."""
    groups = ["a", "a", "b", "b"]
    rows = [predict(f"r{i}", 0.1, group=group) for i, group in enumerate(groups)]
    workspace.experiment("base", rows=rows, method="none")
    workspace.experiment("lora", rows=[row | {"rouge1_f": 0.3 if row["group"] == "a" else 0.4} for row in rows])
    comparison = result(workspace)
    difference = entry(comparison, "lora")["differences"]["rouge1_f"]
    assert (comparison["rows"], comparison["groups"]) == (4, 2)
    assert (difference["rows"], difference["groups"]) == (4, 2)
    assert (difference["value"], difference["error"]) == pytest.approx((0.25, 0.05))
    assert difference["high"] == pytest.approx(0.25 + 0.05 * 12.7062)


def test_groups_are_known_from_the_other_report(workspace: Workspace, predict: Callable[..., Any]) -> None:
    """A report of an earlier version has no column ``group``."""
    rows = [predict(f"r{i}", 0.1, group=group) for i, group in enumerate(["a", "a", "b"])]
    workspace.experiment("base", [0.1, 0.1, 0.1], method="none")
    workspace.experiment("lora", rows=rows)
    assert entry(result(workspace), "lora")["differences"]["rouge1_f"]["groups"] == 2


def test_rounding_noise_and_a_single_row_show_nothing(workspace: Workspace, predict: Callable[..., Any]) -> None:
    workspace.experiment("base", [0.3, 0.3], method="none")
    workspace.experiment("same", [0.1 + 0.2, 0.1 + 0.2])  # 5e-17 more
    workspace.experiment("one", rows=[predict("r0", 0.9)])
    comparison = result(workspace)
    tie = entry(comparison, "same")["differences"]["rouge1_f"]
    assert (tie["value"], tie["verdict"], tie["adjusted"]) == (0.0, "same", False)
    single = entry(comparison, "one")["differences"]["rouge1_f"]
    assert (single["rows"], single["verdict"], single["adjusted"]) == (1, "not enough rows", False)
    assert single["low"] == single["high"] == pytest.approx(0.6)
    assert "unpaired" in kinds(comparison, "one")


ALTERNATING = [0.05, -0.05] * 20


def shifted(gains: list[float]) -> list[float]:
    return [0.5 + gain for gain in gains]


def test_a_difference_within_the_margin_is_the_same_and_a_wide_one_needs_rows(workspace: Workspace) -> None:
    workspace.experiment("base", shifted([0.0] * 40), method="none")
    workspace.experiment("close", shifted(ALTERNATING))
    workspace.experiment("wide", shifted([4 * gain for gain in ALTERNATING]))
    comparison = result(workspace, min_groups=30)
    close, wide = (entry(comparison, name)["differences"]["rouge1_f"] for name in ("close", "wide"))
    # Deviation 0.05 * sqrt(40 / 39), error 0.00801, times 2.023 is 0.0162: within the margin of 0.03.
    assert close["verdict"] == "same" and close["high"] == pytest.approx(0.0162, abs=2e-4)
    # Four times as wide: 0.1296 from end to end. Within 0.03 it would be with 40 * (0.1296 / 0.03) ** 2 rows.
    assert wide["verdict"] == "not enough rows" and wide["rows_needed"] == pytest.approx(746, abs=10)
    assert "rows_needed" not in close
    few = result(workspace, min_groups=100)
    assert entry(few, "close")["differences"]["rouge1_f"]["rows_needed"] == 100


def test_one_difference_of_many_must_be_clearer_than_one_alone(workspace: Workspace) -> None:
    """A gain with p = 0.027 is marked alone, and not beside nine differences that are none."""
    workspace.experiment("base", shifted([0.0] * 40), method="none")
    workspace.experiment("lucky", shifted([gain + 0.0184 for gain in ALTERNATING]))
    alone = entry(result(workspace, min_groups=30), "lucky")["differences"]["rouge1_f"]
    assert alone["p"] == pytest.approx(0.027, abs=1e-3) and alone["adjusted"]
    for number in range(9):
        workspace.experiment(f"equal-{number}", shifted(ALTERNATING))
    comparison = result(workspace, min_groups=30)
    among = entry(comparison, "lucky")["differences"]["rouge1_f"]
    assert among == {**alone, "adjusted": False} and among["verdict"] == "better"
    shown = [one for system in comparison["systems"] for one in (system["differences"] or {}).values()]
    assert comparison["adjusted_for"] == len(shown) == 40
    assert not any(one["adjusted"] for one in shown)


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
    assert difference["rows"] == difference["groups"] == 2
    assert difference["value"] == pytest.approx((0.3 + 0.2) / 2)
    assert difference["error"] == pytest.approx(0.05)  # of the two values 0.3 and 0.2


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


def test_a_report_without_the_baseline_experiment_names_it_as_missing(workspace: Workspace) -> None:
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


@pytest.mark.parametrize("trivial", [0.0, float("nan")])
def test_a_score_of_0_or_none_beats_nobody(workspace: Workspace, trivial: float) -> None:
    """ROUGE is 0 for every system if no text has a word that it can count."""
    workspace.experiment("base", [0.0, 0.0], method="none")
    workspace.experiment("lora", [0.0, 0.0], validation_loss_per_byte=0.5)
    workspace.trivial("lead", [trivial, trivial])
    assert kinds(result(workspace), "lora") == []


def test_rows_without_a_word_to_compare_are_warned_of_once(workspace: Workspace, predict: Callable[..., Any]) -> None:
    for name, method, score in (("base", "none", 0.2), ("lora", "lora", 0.4)):
        rows = [predict("r0", score), predict("r1", score, rouge1_f=None)]
        workspace.experiment(name, method=method, rows=rows, validation_loss_per_byte=0.5)
    comparison = result(workspace)
    (warning,) = [w for w in comparison["warnings"] if w["kind"] == "not scored"]
    assert warning["system"] == "base" and warning["message"].startswith(
        "1 of 2 test rows have no ROUGE, since none of"
    )
    assert entry(comparison, "lora")["differences"]["rouge1_f"]["rows"] == 1


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
