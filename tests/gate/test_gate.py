"""The gate's decision on scores: groups, dirty rows, ties, too few rows, and what so many rows can show."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from scipy import stats

from tasks.core.errors import TunesmithError
from tasks.gate.gate import Compared, Decision, Opponent, RuleResult, decide, percent
from tasks.gate.params import RegistrationParams
from tasks.gate.scores import Scores
from tasks.metrics.differences import Difference
from tasks.metrics.verdicts import Verdict
from tasks.text.rows import RowKey

DEFAULTS = RegistrationParams(metric="rouge1_f")
PARAMS = DEFAULTS.model_copy(update={"min_groups": 2})


def of(values: Mapping[RowKey, float], groups: Mapping[str, str] | None = None, dirty: tuple[str, ...] = ()) -> Scores:
    """``groups``: row_id → group, if it has one; ``dirty``: row_ids."""
    named = groups or {}
    return Scores(
        values,
        {key: (key[0], named.get(key[1], key[1])) for key in values},
        frozenset(key for key in values if key[1] in dirty),
    )


def scores(*values: float, groups: Mapping[str, str] | None = None, dirty: tuple[str, ...] = ()) -> Scores:
    return of({("s", f"row{number}", "short"): value for number, value in enumerate(values)}, groups, dirty)


def against(candidate: Scores, base: Scores, champion: Scores | None = None, faults: tuple[str, ...] = ()) -> Decision:
    opponents = {"baseline": Opponent("base (baseline)", base)}
    if champion is not None:
        opponents["champion"] = Opponent("old (champion, version 1)", champion)
    others = [RuleResult("labels", False, line) for line in faults]
    return decide(candidate, opponents, PARAMS, others)


def exactly(value: float, rows: int, p: float) -> Compared:
    """The same difference on each row, so every resample has that mean, and there is no spread."""
    verdict: Verdict = "better" if value > 0 else "worse" if value < 0 else "same"
    return Compared(Difference(value, value, value, rows, rows, 0.0, p), 0, None, 0.95, verdict)


def test_a_candidate_better_on_every_row_is_accepted() -> None:
    decision = against(scores(0.5, 0.75, 0.5), scores(0.25, 0.5, 0.25))
    assert decision.verdict == "accepted"
    assert decision.compared == {"baseline": exactly(0.25, 3, 0.0)}
    assert decision.reasons == [
        "passed: ROUGE-1: better than base (baseline): +25.0 [+25.0, +25.0] on 3 rows (95% interval)"
    ]


def test_a_gain_within_chance_does_not_beat_the_base() -> None:
    """Differences +1 and -0.75: the standard error is half of their distance, and Student's t is wider."""
    decision = against(scores(1.0, 0.0), scores(0.0, 0.75))
    difference = decision.compared["baseline"].difference
    reach = 0.875 * stats.t.ppf(0.975, 1)
    assert (difference.value, difference.error) == (0.125, pytest.approx(0.875))
    assert (difference.low, difference.high) == (pytest.approx(0.125 - reach), pytest.approx(0.125 + reach))
    assert decision.verdict == "refused"
    # 80 % power: another 1.3764 standard errors, the 0.8 quantile of t with one degree of freedom.
    assert decision.reasons == [
        "failed: ROUGE-1: not enough rows to tell it from base (baseline): +12.5 [-1099.3, +1124.3] on 2 rows "
        "(95% interval); a difference of 1232.2 would be shown with 80 % power"
    ]
    entry = decision.compared["baseline"].entry()
    assert entry["detectable"] == pytest.approx(12.3223, abs=1e-4)
    assert (entry["confidence"], entry["dirty_rows"], entry["dirty_value"]) == (0.95, 0, None)


def test_a_candidate_must_beat_the_champion_too() -> None:
    decision = against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.75, 0.75))
    assert decision.verdict == "refused"
    assert decision.compared["baseline"].difference.direction == 1
    assert decision.compared["champion"] == exactly(-0.25, 2, 0.0)
    assert decision.reasons[1].startswith("failed: ROUGE-1: worse than old (champion, version 1): -25.0 [")
    assert against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.375, 0.375)).verdict == "accepted"


@pytest.mark.parametrize("champion", [(0.5, 0.3), (0.5 + 1e-16, 0.1 + 0.2)])
def test_an_equal_candidate_is_refused_also_where_it_differs_by_rounding(champion: tuple[float, float]) -> None:
    decision = against(scores(0.5, 0.3), scores(0.25, 0.25), scores(*champion))
    assert decision.verdict == "refused"
    assert decision.compared["champion"] == exactly(0.0, 2, 1.0)
    assert decision.reasons[1] == (
        "failed: ROUGE-1: the same as old (champion, version 1): 0.0 [0.0, 0.0] on 2 rows (95% interval); "
        "the margin is 3.0"
    )


def test_rows_are_paired_by_id_not_by_place() -> None:
    ordered = scores(0.25, 0.5)
    turned = of(dict(reversed(list(ordered.values.items()))))
    assert against(scores(0.5, 0.75), turned).compared["baseline"].difference.low == 0.25


def test_prompt_variants_of_one_row_are_one_draw() -> None:
    """As four draws of each row, this gain would look sure."""
    rows = {("s", f"row{r}", f"variant{v}"): 0.5 for r in range(2) for v in range(4)}
    ours = {row: score + (1.0 if row[1] == "row0" else -0.75) for row, score in rows.items()}
    difference = against(of(ours), of(rows)).compared["baseline"].difference
    assert (difference.value, difference.rows, difference.groups) == (0.125, 2, 2)
    assert difference.error == pytest.approx(0.875)


def test_rows_of_one_group_are_one_draw() -> None:
    """Two conversations of two rows have the interval of two rows."""
    groups = {"row0": "a", "row1": "a", "row2": "b", "row3": "b"}
    decision = against(scores(1.0, 1.0, 0.0, 0.0, groups=groups), scores(0.0, 0.0, 0.75, 0.75))
    compared = decision.compared["baseline"]
    alone = against(scores(1.0, 0.0), scores(0.0, 0.75)).compared["baseline"].difference
    assert (compared.difference.rows, compared.difference.groups) == (4, 2)
    assert (compared.difference.low, compared.difference.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert "] on 4 rows in 2 groups (95% interval)" in decision.reasons[0]


def test_the_groups_are_the_candidates_where_an_old_report_has_none() -> None:
    groups = {"row0": "a", "row1": "a", "row2": "b", "row3": "b"}
    decision = against(scores(0.5, 0.5, 0.5, 0.5, groups=groups), scores(0.25, 0.25, 0.25, 0.25))
    assert decision.compared["baseline"].difference.groups == 2


def test_equal_rows_of_two_sources_are_two_rows() -> None:
    ours = {(source, "row0", "short"): 0.5 for source in ("one", "two")}
    assert against(of(ours), of(dict.fromkeys(ours, 0.25))).compared["baseline"].difference.rows == 2


def test_dirty_rows_do_not_vote_and_are_shown_beside() -> None:
    """The candidate is equal on clean rows and wins by the rows that leaked into its training."""
    base = scores(0.25, 0.25, 0.25, 0.25)
    leaked = (0.25, 0.25, 1.0, 0.75)
    assert against(scores(*leaked), base).compared["baseline"].difference.value == pytest.approx(0.3125)
    decision = against(scores(*leaked, dirty=("row2", "row3")), base)
    assert decision.verdict == "refused"
    assert decision.compared["baseline"] == Compared(
        Difference(0.0, 0.0, 0.0, 2, 2, 0.0, 1.0), dirty_rows=2, dirty_value=0.625, confidence=0.95, verdict="same"
    )
    assert decision.reasons == [
        "failed: ROUGE-1: the same as base (baseline): 0.0 [0.0, 0.0] on 2 rows (95% interval); "
        "the margin is 3.0; 2 dirty rows left out, on which the difference is +62.5"
    ]


def test_a_row_that_is_dirty_for_an_opponent_is_left_out_of_that_comparison_alone() -> None:
    ours, champion = scores(0.5, 0.5, 0.5), scores(0.25, 0.25, 1.0, dirty=("row2",))
    decision = against(ours, scores(0.25, 0.25, 0.25), champion)
    assert decision.verdict == "accepted"
    assert [compared.difference.rows for compared in decision.compared.values()] == [3, 2]
    assert decision.reasons[1].endswith("; 1 dirty row left out, on which the difference is -50.0")


def test_a_row_with_one_dirty_prompt_variant_is_dirty() -> None:
    ours = {("s", f"row{r}", variant): 0.5 for r in range(3) for variant in ("short", "long")}
    seen = Scores(ours, {key: key[:2] for key in ours}, frozenset({("s", "row2", "long")}))
    assert against(seen, of(dict.fromkeys(ours, 0.25))).compared["baseline"].difference.rows == 2


@pytest.mark.parametrize("variants", [1, 3])
def test_too_few_rows_decide_nothing(variants: int) -> None:
    """29 rows are too few by default, and further prompt variants of them are no further rows."""
    ours = {("s", f"row{r}", f"variant{v}"): 1.0 for r in range(29) for v in range(variants)}
    opponents = {"baseline": Opponent("base (baseline)", of(dict.fromkeys(ours, 0.0)))}
    reason = "failed: 29 independent groups of clean test rows{}, at least 30 are needed (registration.min_groups)"
    decision = decide(of(ours), opponents, DEFAULTS)
    assert (decision.verdict, decision.compared) == ("undecided", {})
    assert decision.reasons == [reason.format(""), reason.format(" against base (baseline)")]
    assert [(result.rule, result.passed) for result in decision.results] == [("min_groups", False)] * 2
    more = ours | {("s", "row29", "variant0"): 1.0}
    opponents = {"baseline": Opponent("base (baseline)", of(dict.fromkeys(more, 0.0)))}
    assert decide(of(more), opponents, DEFAULTS).verdict == "accepted"


def test_groups_and_clean_rows_are_what_must_be_enough() -> None:
    """30 rows are 29 groups if two are of one conversation, or if one is dirty for either system."""
    ours, base = scores(*[1.0] * 30), scores(*[0.0] * 30)

    def undecided(candidate: Scores, opponent: Scores) -> list[str]:
        decision = decide(candidate, {"baseline": Opponent("base (baseline)", opponent)}, DEFAULTS)
        assert (decision.verdict == "undecided") == bool(decision.reasons and "needed" in decision.reasons[0])
        return decision.reasons

    assert "better than" in undecided(ours, base)[0]
    assert len(undecided(scores(*[1.0] * 30, groups={"row0": "a", "row1": "a"}), base)) == 2
    assert undecided(scores(*[1.0] * 30, dirty=("row7",)), base)[0].endswith(
        "(registration.min_groups); 1 dirty row left out"
    )
    (reason,) = undecided(ours, scores(*[0.0] * 30, dirty=("row7",)))
    assert reason.startswith(
        "failed: 29 independent groups of clean test rows against base (baseline), at least 30 are needed"
    )


def test_other_rows_are_refused() -> None:
    with pytest.raises(TunesmithError, match="0 rows are only in the candidate's, 1 only in those of old"):
        against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.5, 0.5, 0.5))
    other = of({("s", "row0", "long"): 0.25, ("s", "row1", "short"): 0.25})
    with pytest.raises(TunesmithError, match="1 rows are only in the candidate's, 1 only in those of base"):
        against(scores(0.5, 0.5), other)
    with pytest.raises(TunesmithError, match="at least one test row"):
        against(scores(), scores())


def test_another_fault_refuses_a_candidate_that_is_better() -> None:
    decision = against(scores(0.5, 0.75), scores(0.25, 0.5), None, ("retention: wnut/entities: lost",))
    assert decision.verdict == "refused" and decision.compared["baseline"].difference.direction == 1
    assert decision.reasons[-1] == "failed: retention: wnut/entities: lost"


@pytest.mark.parametrize(
    ("confidence", "shown"), [(0.95, "95%"), (0.9, "90%"), (0.9781254911, "97.8125%"), (0.9999607, "99.9961%")]
)
def test_a_confidence_is_shown_as_exactly_as_it_must_be(confidence: float, shown: str) -> None:
    assert percent(confidence) == shown
