from __future__ import annotations

from pathlib import Path

import pytest

from tasks.errors import TunesmithError
from tasks.params import load, parse
from tasks.register.gate import Difference, decide
from tasks.register.params import RegistrationParams

PARAMS = RegistrationParams()


def scores(*values: float) -> dict[tuple[str, str, str], float]:
    return {("s", f"row{number}", "short"): value for number, value in enumerate(values)}


def test_a_candidate_better_on_every_row_is_accepted() -> None:
    decision = decide(scores(0.5, 0.75, 0.5), scores(0.25, 0.5, 0.25), None, PARAMS)
    assert decision.accepted
    # All differences are 0.25, so every resample has that mean.
    assert decision.differences == {"baseline": Difference(0.25, 0.25, 0.25, 3)}
    assert decision.reasons == [
        "rouge1_f: better than the baseline: +0.2500 [+0.2500, +0.2500] on 3 rows (95% interval)"
    ]


def test_a_gain_within_chance_does_not_beat_the_base() -> None:
    decision = decide(scores(1.0, 0.0), scores(0.0, 0.75), None, PARAMS)
    difference = decision.differences["baseline"]
    # Differences +1 and -0.75: a quarter of the resamples holds the second twice.
    assert (difference.mean, difference.low, difference.high) == (0.125, -0.75, 1.0)
    assert not decision.accepted
    assert decision.reasons[0].startswith("rouge1_f: not shown to be better than the baseline: +0.1250 [-0.7500, ")


def test_a_candidate_must_beat_the_champion_too() -> None:
    decision = decide(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.75, 0.75), PARAMS)
    assert not decision.accepted
    assert decision.differences["baseline"].better
    assert decision.differences["champion"] == Difference(-0.25, -0.25, -0.25, 2)
    assert decide(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.375, 0.375), PARAMS).accepted


def test_an_equal_candidate_is_refused() -> None:
    assert not decide(scores(0.5, 0.5), scores(0.25, 0.25), scores(0.5, 0.5), PARAMS).accepted


def test_rows_are_paired_by_id_not_by_place() -> None:
    turned = dict(reversed(scores(0.25, 0.5).items()))
    assert decide(scores(0.5, 0.75), turned, None, PARAMS).differences["baseline"].low == 0.25


def test_wordings_of_one_row_are_one_draw() -> None:
    """Four wordings of a row say no more than one: as four draws, this gain would look sure."""
    rows = {("s", f"row{r}", f"wording{w}"): 0.5 for r in range(2) for w in range(4)}
    ours = {row: score + (1.0 if row[1] == "row0" else -0.75) for row, score in rows.items()}
    difference = decide(ours, rows, None, PARAMS).differences["baseline"]
    assert difference == Difference(0.125, -0.75, 1.0, 2)


def test_equal_rows_of_two_sources_are_two_rows() -> None:
    ours = {(source, "row0", "short"): 0.5 for source in ("one", "two")}
    assert decide(ours, dict.fromkeys(ours, 0.25), None, PARAMS).differences["baseline"].rows == 2


def test_other_rows_are_refused() -> None:
    with pytest.raises(TunesmithError, match="0 only in the candidate's, 1 only in the champion's"):
        decide(scores(0.5), scores(0.25), scores(0.5, 0.5), PARAMS)
    other = {("s", "row0", "long"): 0.25}
    with pytest.raises(TunesmithError, match="1 only in the candidate's, 1 only in the baseline's"):
        decide(scores(0.5), other, None, PARAMS)
    with pytest.raises(TunesmithError, match="at least one test row"):
        decide({}, {}, None, PARAMS)


def test_the_projects_own_parameters_load() -> None:
    path = Path(__file__).parents[2] / "params/registration.yaml"
    assert load(RegistrationParams, path, "registration").alias == "champion"
    with pytest.raises(TunesmithError, match=r"registration\.metrik: unknown key"):
        parse(RegistrationParams, {"metrik": "bleu"}, path, "registration")


def test_a_lost_task_refuses_a_candidate_that_is_better() -> None:
    decision = decide(scores(0.5, 0.75), scores(0.25, 0.5), None, PARAMS, ["wnut/entities: lost"])
    assert not decision.accepted and decision.differences["baseline"].better
    assert decision.reasons[-1] == "retention: wnut/entities: lost; registration.retention demands that it is kept"
