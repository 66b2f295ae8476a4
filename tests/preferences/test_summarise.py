"""Results of judges' answers, against values worked by hand and published ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.cli import main
from tasks.core import files
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval
from tasks.preferences.importing import import_answers
from tasks.preferences.key import read_key
from tasks.preferences.summarise import agreement, outcome, sign_test, summarise, verdict
from tasks.preferences.table import result_table
from tests.preferences.evaluated import Workspace

Predict = Callable[..., dict[str, Any]]

WON = ["b", "b", "tie", "b", "a", "b", "bad", "b", "a", "b"]
"""Of ten pairs B wins six and A two."""


def judged(workspace: Workspace, *judges: Sequence[str]) -> dict[str, Any]:
    key = workspace.export(rows=len(judges[0])).key
    sheets = [workspace.answer(f"judge{i}", key, wins) for i, wins in enumerate(judges)]
    return import_answers(workspace.paths, sheets).results


def test_choices_become_wins_by_the_key(filled: Workspace) -> None:
    key = filled.export().key
    for name, pair in key.pairs.items():
        left = "b" if pair.left == filled.b else "a"
        right = "a" if left == "b" else "b"
        assert [outcome(key, name, c) for c in ("left", "right", "tie", "bad")] == [left, right, "tie", "bad"]


def test_counts_and_rates_of_one_judge(filled: Workspace) -> None:
    results = judged(filled, WON)
    counts = results["judges"]["judge0"]
    assert [counts[k] for k in ("answered", "unanswered", "b_wins", "a_wins", "ties", "bad")] == [10, 0, 6, 2, 1, 1]
    rate, decided = results["win_rate"], results["win_rate_decided"]
    assert (rate["value"], rate["n"]) == (pytest.approx(0.7), 10)
    assert (decided["value"], decided["n"]) == (0.75, 8)
    assert rate["low"] < 0.7 < rate["high"] and decided["low"] < 0.75 < decided["high"] <= 1
    # Twice P(at least 6 of 8 heads), (28 + 8 + 1) / 256; Clopper and Pearson: 0.349 to 0.968 for 6 of 8.
    test = results["sign_test"]
    assert (test["b_wins"], test["a_wins"], test["even"], test["p_value"]) == (6, 2, 2, pytest.approx(74 / 256))
    assert (test["low"], test["high"]) == (pytest.approx(0.3491, abs=1e-4), pytest.approx(0.9681, abs=1e-4))
    left = counts["left"] / 8
    assert (results["left_chosen"]["value"], results["left_chosen"]["n"]) == (pytest.approx(left), 8)
    assert results["agreement"] == {"pairs": [], "krippendorff_alpha": None}


def test_a_judge_who_always_chooses_left_prefers_no_experiment(filled: Workspace) -> None:
    key = filled.export(rows=20).key
    answers = {"ann": dict.fromkeys(key.pairs, "left")}
    results = summarise(key, answers, IntervalParams())
    counts = {"n": 20, "groups": 20, "p_value": 2 / 2**20}
    assert results["left_chosen"] == {"value": 1.0, "low": 1.0, "high": 1.0, **counts}
    assert results["judges"]["ann"]["side_p_value"] == 2 / 2**20
    assert "ann chose left 20 and right 0 times, p = 1.9e-06." in " ".join(printed(results).split())
    assert "judges prefer the left" in printed(results)
    assert results["win_rate"]["value"] == 0.5 and results["sign_test"]["p_value"] == 1.0


def test_swapping_the_experiments_turns_the_win_rate_around(filled: Workspace) -> None:
    results = judged(filled, WON)
    filled.a, filled.b = filled.b, filled.a
    turned = judged(filled, WON)
    assert turned["win_rate"]["value"] == pytest.approx(results["win_rate"]["value"])
    opposite = [{"a": "b", "b": "a"}.get(won, won) for won in WON]
    assert judged(filled, opposite)["win_rate"]["value"] == pytest.approx(1 - results["win_rate"]["value"])


def test_judges_of_one_pair_are_one_draw(filled: Workspace) -> None:
    results = judged(filled, ["b", "b", "a", "tie"], ["b", "a", "a", "tie"])
    # A pair each: 1, 1/2, 0, 1/2; decided: 1, 1/2, 0.
    assert (results["win_rate"]["value"], results["win_rate"]["n"]) == (0.5, 4)
    assert (results["win_rate_decided"]["value"], results["win_rate_decided"]["n"]) == (0.5, 3)
    test = results["sign_test"]
    assert (test["b_wins"], test["a_wins"], test["even"]) == (1, 1, 2)
    assert [pair["verdict"] for pair in results["pairs"].values()] == [filled.b, "even", filled.a, "even"]
    assert [verdict(s) for s in ([1.0, 1.0, 0.0], [0.5, 0.0], [1.0, 0.0])] == ["b", "a", "even"]
    twice = judged(filled, WON, WON)
    once = judged(filled, WON)
    assert twice["win_rate"] == once["win_rate"], "a second judge who chooses the same does not narrow the interval"


def test_pairs_of_one_conversation_are_one_group(workspace: Workspace, predict: Predict) -> None:
    """Eight pairs of two conversations, all won by B, are two wins and not eight."""
    for name in (workspace.a, workspace.b):
        workspace.report(name, [predict(i, f"{name[0]} {i}", group=f"talk {i // 4}") for i in range(8)])
    results = judged(workspace, ["b"] * 8)
    rate, test = results["win_rate"], results["sign_test"]
    assert (rate["value"], rate["n"], rate["groups"], rate["p_value"]) == (1.0, 8, 2, 2 / 2**2)
    assert (test["b_wins"], test["a_wins"], test["p_value"]) == (2, 0, 2 / 2**2)
    text = printed(results)
    assert "leans to wombattuned: too few groups (p = 0.5)" in text and "is better" not in text


def test_intervals_draw_whole_groups_of_pairs(workspace: Workspace, predict: Predict) -> None:
    """If all pairs of a group are judged alike, the interval is that of the groups' means."""
    for name in (workspace.a, workspace.b):
        workspace.report(name, [predict(i, f"{name[0]} {i}", group=f"talk {i // 4}") for i in range(24)])
    key = workspace.export().key
    wins = ["ab"[int(pair.row_id[1:]) // 4 % 2] for pair in key.pairs.values()]
    results = import_answers(workspace.paths, [workspace.answer("ann", key, wins)]).results
    groups, settings = [key.group_of(pair) for pair in key.pairs], IntervalParams(resamples=200)
    expected = mean_interval([wins[groups.index(one)] == "b" for one in dict.fromkeys(groups)], settings)
    rate = results["win_rate"]
    assert (rate["low"], rate["high"]) == (expected.low, expected.high) and (rate["n"], rate["groups"]) == (24, 6)
    assert (results["win_rate_decided"]["groups"], results["rouge1"]["agrees"]) == (6, None)
    sides = [float(wins[i] == "b") == float(pair.left == workspace.b) for i, pair in enumerate(key.pairs.values())]
    left = mean_interval(sides, settings, groups)
    assert [results["left_chosen"][end] for end in ("low", "high")] == [left.low, left.high]


def test_a_key_without_groups_is_read_with_each_row_as_a_group(filled: Workspace) -> None:
    done = filled.export(rows=4)
    stored = files.read_json(done.key_file)
    for pair in stored["pairs"].values():
        del pair["group"]
    files.write_json(done.key_file, stored)
    key = read_key(done.key_file)
    assert key.groups() == len({key.group_of(pair) for pair in key.pairs}) == 4


def test_kappa_of_two_judges(filled: Workspace) -> None:
    results = judged(filled, ["b", "b", "a", "tie"], ["b", "a", "a", "tie"])
    # Same: 3/4. By chance: 1/2 · 1/4 + 1/4 · 1/2 + 1/4 · 1/4 = 5/16. (3/4 - 5/16) / (11/16) = 7/11.
    (two,) = results["agreement"]["pairs"]
    assert two == {"judges": ["judge0", "judge1"], "common": 4, "same": 0.75, "kappa": pytest.approx(7 / 11)}
    (same,) = judged(filled, ["b"] * 4, ["b"] * 4)["agreement"]["pairs"]
    assert (same["same"], same["kappa"]) == (1.0, None), "chance alone would give full agreement"
    (none,) = judged(filled, ["b", "", "", ""], ["", "b", "a", ""])["agreement"]["pairs"]
    assert (none["common"], none["same"], none["kappa"]) == (0, None, None)


def test_alpha_is_krippendorffs() -> None:
    """His example of four observers with gaps, nominal: 0.743 ("Computing Krippendorff's Alpha-Reliability", 2011)."""
    rows = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    assert {len(row) for row in rows} == {12}
    outcomes = {f"u{u}": {f"j{j}": rows[j][u] for j in range(4) if rows[j][u] != "."} for u in range(12)}
    agreed = agreement(outcomes, [f"j{j}" for j in range(4)])
    assert agreed["krippendorff_alpha"] == pytest.approx(0.743, abs=5e-4) and len(agreed["pairs"]) == 6


def test_alpha_needs_judges_who_differ_on_common_pairs(filled: Workspace) -> None:
    apart = judged(filled, ["b", "", "", ""], ["", "a", "", ""], ["", "", "b", ""])
    assert apart["agreement"]["krippendorff_alpha"] is None
    assert judged(filled, *[["b"] * 4] * 3)["agreement"]["krippendorff_alpha"] is None
    assert judged(filled, *[["b", "a", "b", "a"]] * 3)["agreement"]["krippendorff_alpha"] == 1.0


def test_whether_the_higher_rouge_wins(workspace: Workspace, predict: Predict) -> None:
    scores = [(0.1, 0.2), (0.3, 0.2), (0.2, 0.2), (None, 0.2), (0.1, 0.3), (0.1, 0.2)]
    for name, side in ((workspace.a, 0), (workspace.b, 1)):
        workspace.report(name, [predict(i, f"{side} {i}", pair[side]) for i, pair in enumerate(scores)])
    key = workspace.export().key
    # Row by row: agrees, disagrees, equal, unknown, not decided, agrees.
    wins = dict(zip([f"r{i:03}" for i in range(6)], ["b", "b", "a", "b", "tie", "b"], strict=True))
    sheet = workspace.answer("ann", key, [wins[pair.row_id] for pair in key.pairs.values()])
    results = import_answers(workspace.paths, [sheet]).results["rouge1"]
    assert (results["agrees"]["value"], results["agrees"]["n"]) == (pytest.approx(2 / 3), 3)
    assert (results["equal"], results["unknown"]) == (1, 1)


def test_where_nothing_is_decided_nothing_is_claimed(filled: Workspace) -> None:
    result = judged(filled, ["tie", "bad", "tie"])
    assert result["win_rate"] == {"value": 0.5, "low": 0.5, "high": 0.5, "n": 3, "groups": 3, "p_value": None}
    assert result["win_rate_decided"] is result["left_chosen"] is result["rouge1"]["agrees"] is None
    assert sign_test(["even"], 0.95)["p_value"] is None
    assert printed(result).count("nothing was decided") == 4
    assert "nothing that these pairs can show" in printed(result)


def test_few_pairs_decide_nothing_though_their_bootstrap_interval_excludes_a_half(filled: Workspace) -> None:
    result = judged(filled, ["b"] * 5)
    # Five of five: the bootstrap has no width; the sign test says 2 / 32, and Clopper and Pearson 0.478 to 1.
    assert [result["win_rate"][name] for name in ("low", "high", "p_value")] == [1.0, 1.0, 0.0625]
    assert result["sign_test"]["low"] == pytest.approx(0.4782, abs=1e-4)
    assert "leans to wombattuned: too few pairs (p = 0.062)" in printed(result)
    assert "is better" not in printed(result)
    assert "leans to quokkabase" in printed(judged(filled, ["a"] * 5))
    assert "wombattuned is better" in printed(judged(filled, ["b"] * 6)), "2 / 64"


def printed(results: dict[str, Any]) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(result_table(results))
    return capture.get()


def test_the_table_explains_the_numbers(filled: Workspace) -> None:
    text = printed(judged(filled, ["b"] * 12, ["b"] * 11 + ["a"], ["b", "tie"] * 6))
    lines = {
        line.split("│")[1].strip(): [c.strip() for c in line.split("│")[2:-1]]
        for line in text.splitlines()
        if "│" in line
    }
    assert lines["judge1"] == ["12", "0", "11", "1", "0", "0", *lines["judge1"][6:]]
    assert lines["win rate of wombattuned, ties as half"][3] == "wombattuned is better"
    assert lines["sign test"][1:] == ["–", "11", "11 : 0, p = 0.000977"], "the last pair: b, a and tie, so even"
    assert lines["higher ROUGE-1 wins"] == ["100.0 [100.0, 100.0]", "11", "11", "judges and ROUGE-1 agree"]
    assert lines["judge0 and judge1 agree"] == ["91.7", "12", "–", "Cohen's kappa 0.00"]
    assert lines["all judges"][3].startswith("Krippendorff's alpha ")
    assert lines["left side chosen"][3] == "nothing that these pairs can show"
    rate = printed(judged(filled, ["a"] * 12))
    assert "quokkabase is better" in rate and "judges and ROUGE-1 disagree" in rate


@pytest.fixture
def cli(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setenv("TUNESMITH_ROOT", str(filled.paths.root))
        monkeypatch.setattr(sys, "argv", ["tunesmith", "preferences", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out = capsys.readouterr()
        return int(end.value.code or 0), out.out + out.err

    return call


def test_the_commands(filled: Workspace, cli: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, text = cli("export", filled.a, filled.b, "--rows", 30, "--seed", 2, "--output", tmp_path / "judges")
    assert code == 0
    assert text.startswith(
        "20 pairs of quokkabase and wombattuned, drawn from 20 rows; of 20 with an output of both, 0 have"
    )
    assert "note: 30 were requested" in text
    key = filled.export(30, 2, tmp_path / "judges").key
    assert f"pairs-{key.export}.html" in text and f"key-{key.export}.json" in text
    sheets = [filled.answer(name, key, WON * 2) for name in ("ann", "bob")]
    code, text = cli("import", *sheets)
    assert code == 0 and "ann and bob agree" in text and f"export {key.export}" in text
    assert text.rstrip().endswith("results.json")
    code, text = cli("import", sheets[0], sheets[0])
    assert code == 1 and text.count("error: ") == 20 and "Traceback" not in text and "row 2: pair: " in text
