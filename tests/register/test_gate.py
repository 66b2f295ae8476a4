from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.params import load, parse
from tasks.register.gate import Decision, Difference, Opponent, Scores, decide
from tasks.register.params import RegistrationParams

PARAMS = RegistrationParams(min_rows=2)


def scores(*values: float) -> dict[tuple[str, str, str], float]:
    return {("s", f"row{number}", "short"): value for number, value in enumerate(values)}


def against(candidate: Scores, base: Scores, champion: Scores | None = None, faults: tuple[str, ...] = ()) -> Decision:
    opponents = {"baseline": Opponent("base (baseline)", base)}
    if champion is not None:
        opponents["champion"] = Opponent("old (champion, version 1)", champion)
    return decide(candidate, opponents, PARAMS, faults)


def test_a_candidate_better_on_every_row_is_accepted() -> None:
    decision = against(scores(0.5, 0.75, 0.5), scores(0.25, 0.5, 0.25))
    assert decision.verdict == "accepted"
    # All differences are 0.25, so every resample has that mean.
    assert decision.differences == {"baseline": Difference(0.25, 0.25, 0.25, 3)}
    assert decision.reasons == [
        "rouge1_f: better than base (baseline): +0.2500 [+0.2500, +0.2500] on 3 rows (95% interval)"
    ]


def test_a_gain_within_chance_does_not_beat_the_base() -> None:
    decision = against(scores(1.0, 0.0), scores(0.0, 0.75))
    difference = decision.differences["baseline"]
    # Differences +1 and -0.75: a quarter of the resamples holds the second twice.
    assert (difference.mean, difference.low, difference.high) == (0.125, -0.75, 1.0)
    assert decision.verdict == "refused"
    assert decision.reasons[0].startswith("rouge1_f: cannot be told apart from base (baseline): +0.1250 [-0.7500, ")


def test_a_candidate_must_beat_the_champion_too() -> None:
    decision = against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.75, 0.75))
    assert decision.verdict == "refused"
    assert decision.differences["baseline"].direction == 1
    assert decision.differences["champion"] == Difference(-0.25, -0.25, -0.25, 2)
    assert decision.reasons[1].startswith("rouge1_f: worse than old (champion, version 1): -0.2500 [")
    assert against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.375, 0.375)).verdict == "accepted"


def test_an_equal_candidate_is_refused() -> None:
    decision = against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.5, 0.5))
    assert decision.verdict == "refused"
    assert decision.reasons[1].startswith("rouge1_f: cannot be told apart from old (champion, version 1): +0.0000 [")


def test_rows_are_paired_by_id_not_by_place() -> None:
    turned = dict(reversed(scores(0.25, 0.5).items()))
    assert against(scores(0.5, 0.75), turned).differences["baseline"].low == 0.25


def test_wordings_of_one_row_are_one_draw() -> None:
    """Four wordings of a row say no more than one: as four draws, this gain would look sure."""
    rows = {("s", f"row{r}", f"wording{w}"): 0.5 for r in range(2) for w in range(4)}
    ours = {row: score + (1.0 if row[1] == "row0" else -0.75) for row, score in rows.items()}
    assert against(ours, rows).differences["baseline"] == Difference(0.125, -0.75, 1.0, 2)


def test_equal_rows_of_two_sources_are_two_rows() -> None:
    ours = {(source, "row0", "short"): 0.5 for source in ("one", "two")}
    assert against(ours, dict.fromkeys(ours, 0.25)).differences["baseline"].rows == 2


@pytest.mark.parametrize("wordings", [1, 3])
def test_too_few_rows_decide_nothing(wordings: int) -> None:
    """29 rows are too few by default, and further wordings of them are no further rows."""
    ours = {("s", f"row{r}", f"wording{w}"): 1.0 for r in range(29) for w in range(wordings)}
    opponents = {"baseline": Opponent("base (baseline)", dict.fromkeys(ours, 0.0))}
    decision = decide(ours, opponents, RegistrationParams())
    assert decision == Decision("undecided", ["29 test rows, at least 30 are needed (registration.min_rows)"], {})
    more = ours | {("s", "row29", "wording0"): 1.0}
    opponents = {"baseline": Opponent("base (baseline)", dict.fromkeys(more, 0.0))}
    assert decide(more, opponents, RegistrationParams()).verdict == "accepted"


def test_other_rows_are_refused() -> None:
    with pytest.raises(TunesmithError, match="0 rows are only in the candidate's, 1 only in those of old"):
        against(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.5, 0.5, 0.5))
    other = {("s", "row0", "long"): 0.25, ("s", "row1", "short"): 0.25}
    with pytest.raises(TunesmithError, match="1 rows are only in the candidate's, 1 only in those of base"):
        against(scores(0.5, 0.5), other)
    with pytest.raises(TunesmithError, match="at least one test row"):
        against({}, {})


def test_the_projects_own_parameters_load() -> None:
    path = Path(__file__).parents[2] / "params/registration.yaml"
    assert load(RegistrationParams, path, "registration").alias == "champion"
    with pytest.raises(TunesmithError, match=r"registration\.metrik: unknown key"):
        parse(RegistrationParams, {"metrik": "bleu"}, path, "registration")


def test_another_fault_refuses_a_candidate_that_is_better() -> None:
    decision = against(scores(0.5, 0.75), scores(0.25, 0.5), None, ("retention: wnut/entities: lost",))
    assert decision.verdict == "refused" and decision.differences["baseline"].direction == 1
    assert decision.reasons[-1] == "retention: wnut/entities: lost"
