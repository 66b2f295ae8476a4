"""Decisions per test set: by which rows they are counted, what the count is for, and where it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.core.paths import Paths
from tasks.gate.looks import RowSet, spent
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry.decisions import decisions
from tasks.registry.registry import Registry
from tasks.registry.verdict import gate_lines
from tasks.tracking.client import open_store
from tests.tracking.ledger_workspace import TEST, add_baselines, add_comparison, add_experiment

PARAMS = RegistrationParams(min_groups=2)
OTHER = "b" * 64


def rows(*numbers: int) -> RowSet:
    return RowSet.of("a" * 64, [("demo", f"row{number}") for number in numbers])


def shared(ours: RowSet, theirs: RowSet) -> float:
    facts = json.loads(theirs.tag(1, "2026-01-01"))
    assert facts["rows"] == len(theirs.hashes)
    return ours.shared(facts["sketch"], facts["rows"])


def test_the_levels_of_all_decisions_sum_to_one_level() -> None:
    assert spent(0.95, 1) == pytest.approx(0.9781, abs=1e-4)
    assert spent(0.95, 2) == pytest.approx(1 - (1 - spent(0.95, 1)) * 2**-1.6)
    levels = [1 - spent(0.95, look) for look in range(1, 20_001)]
    # The rest of the series is below the integral from 20,000 on, and above that from 20,001 on.
    rest = 0.05 / 2.285766 * 20_000**-0.6 / 0.6
    assert sum(levels) + rest == pytest.approx(0.05, abs=1e-6)


def test_shared_rows_of_small_sets_are_counted_exactly() -> None:
    assert shared(rows(0, 1, 2, 3), rows(2, 3, 4, 5)) == 0.5
    assert shared(rows(0, 1, 2, 3), rows(3, 4, 5, 6)) == 0.25
    assert shared(rows(0, 1), rows(*range(128))) == 1.0
    assert shared(rows(*range(128)), rows(0, 1)) == 2 / 128
    assert shared(rows(200), rows(*range(128))) == 0.0


def test_shared_rows_of_large_sets_are_estimated() -> None:
    first = rows(*range(1000))
    assert shared(rows(*range(1000)), first) == 1.0
    assert shared(rows(*range(1000, 2000)), first) == 0.0
    assert shared(rows(*range(500, 1500)), first) == pytest.approx(0.5, abs=0.1)
    assert shared(rows(*range(800, 1800)), first) == pytest.approx(0.2, abs=0.1)
    assert shared(rows(*range(300)), first) == 1.0
    assert shared(rows(*range(3000)), first) == pytest.approx(1 / 3, abs=0.1)


def test_a_tag_fits_into_mlflow_and_prompt_variants_count_once() -> None:
    assert len(rows(*range(100_000)).tag(1_000, "2026-01-01T00:00:00+00:00")) < 5000
    assert RowSet.of("a" * 64, [("demo", "row1"), ("demo", "row1")]) == rows(1)
    assert shared(RowSet.of("a" * 64, [("other", "row1")]), rows(1)) == 0.0


def test_equal_hashes_of_the_test_set_are_one_test_set_also_without_rows() -> None:
    assert rows(1).is_of("a" * 12, "2026-01-01T00:00:00+00:00")
    assert not rows(1).is_of("b" * 12, "2026-01-01T00:00:00+00:00")
    assert rows(1).is_of("b" * 12, rows(1).tag(1, "2026-01-01"))


def propose(paths: Paths, name: str, scores: list[float], test: str, ids: list[str] | None = None) -> dict[str, Any]:
    """Evaluate all systems on a test set, and let the gate judge ``name``."""
    add_experiment(paths, "base", [0.2] * len(scores), test=test, rows=ids, method="none")
    add_experiment(paths, name, scores, test=test, rows=ids)
    add_baselines(paths, len(scores), test, ids)
    add_comparison(paths, name, "base", name)
    return run(PARAMS, paths)


def tags(paths: Paths) -> dict[str, str]:
    return dict(open_store(paths.root).client.get_registered_model("tunesmith").tags)


def set_tag(paths: Paths, name: str, value: str) -> None:
    Registry(open_store(paths.root), "tunesmith", "champion").ensure()
    open_store(paths.root).client.set_registered_model_tag("tunesmith", name, value)


def test_a_changed_template_does_not_reset_the_count(paths: Paths) -> None:
    """A space in a template changes ``test_sha256``, which holds the prompts; the rows are the same."""
    worse = [0.1, 0.1, 0.1, 0.1]
    assert propose(paths, "first", worse, TEST)["decisions_on_this_test_set"] == 1
    assert propose(paths, "second", worse, OTHER)["decisions_on_this_test_set"] == 2
    half = ["row2", "row3", "new0", "new1"]
    assert propose(paths, "third", worse, "c" * 64, half)["decisions_on_this_test_set"] == 3
    fresh = ["new0", "new2", "new3", "new4"]  # a quarter of them decided before
    assert propose(paths, "fourth", worse, "d" * 64, fresh)["decisions_on_this_test_set"] == 1


def test_decisions_that_earlier_versions_counted_still_count(paths: Paths) -> None:
    set_tag(paths, f"tunesmith.asked.{TEST[:12]}.{'e' * 12}", "2026-01-01T00:00:00+00:00")
    set_tag(paths, f"tunesmith.asked.{TEST[:12]}", f"{'e' * 12} {'f' * 12}")
    set_tag(paths, f"tunesmith.asked.{OTHER[:12]}.{'a' * 12}", "2026-01-01T00:00:00+00:00")
    assert run(PARAMS, paths)["decisions_on_this_test_set"] == 3
    assert tags(paths)[f"tunesmith.decisions.{TEST[:12]}"] == "3"


def test_the_count_is_in_every_record_of_the_decision(paths: Paths) -> None:
    result = run(PARAMS, paths)
    assert result["decisions_on_this_test_set"] == 1
    assert gate_lines(paths)[-1] == "  decisions on this test set: 1"
    assert decisions(paths)[-1]["decisions_on_this_test_set"] == 1
    (file,) = (paths.root / "reports/gate").glob("*.json")
    assert json.loads(file.read_text())["decisions_on_this_test_set"] == 1


def test_a_result_of_an_earlier_version_has_no_count_to_show(paths: Paths) -> None:
    run(PARAMS, paths)
    (file,) = (paths.root / "reports/gate").glob("*.json")
    result = json.loads(file.read_text())
    file.write_text(json.dumps({key: value for key, value in result.items() if key != "decisions_on_this_test_set"}))
    assert "decisions on this test set" not in "\n".join(gate_lines(paths))


def test_twenty_decisions_advise_to_draw_fresh_rows(paths: Paths) -> None:
    for number in range(18):
        set_tag(paths, f"tunesmith.asked.{TEST[:12]}.{number:012x}", "2026-01-01T00:00:00+00:00")
    worse = [0.1, 0.1, 0.1, 0.1]
    assert not any("a new test set" in reason for reason in propose(paths, "first", worse, TEST)["reasons"])
    assert propose(paths, "second", worse, TEST)["reasons"][-1] == (
        "the gate has decided 20 times on this test set, so a candidate may win by chance; draw a new test set: "
        "`tunesmith testset rotate` for a split by hash; for other splits see docs/data.md, A new test set"
    )


def test_spend_refuses_a_gain_that_only_each_accepts(paths: Paths) -> None:
    """lora's gain is 0.3, with a standard error of 0.0707 on 4 rows: t reaches 0.225 at 95 %, and 0.31 at 97.8 %."""
    spend = PARAMS.model_copy(update={"looks": "spend"})
    result = run(spend, paths)
    assert result["verdict"] == "refused"
    assert result["reasons"][0].startswith("failed: ROUGE-1: not enough rows to tell it from base (baseline): +30.0 [")
    assert " on 4 rows (97.8125% interval); a difference of " in result["reasons"][0]
    assert result["reasons"][-1] == (
        "decision 1 on this test set needs 97.8125% confidence, so that all decisions together keep 95% "
        "(registration.looks: spend)"
    )
    assert result["differences"]["baseline"]["confidence"] == pytest.approx(0.978125, abs=1e-6)
    assert run(PARAMS, paths)["accepted"]  # other rules: judged anew


def test_a_repeated_decision_keeps_its_number(paths: Paths) -> None:
    """Its tag has the number, so that a gate that was killed decides with the same confidence when it runs again."""
    tracker = open_store(paths.root)
    registry = Registry(tracker, "tunesmith", "champion")
    registry.ensure()
    for digest, number, count in (("1" * 64, 1, 1), ("2" * 64, 2, 2), ("1" * 64, 1, 2)):
        look = registry.count_decision(rows(1, 2), digest)
        assert (look.number, look.count) == (number, count)
