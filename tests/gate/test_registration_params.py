"""Parameters of the gate: keys of earlier versions, and the metrics that cannot decide."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.params import load, parse
from tasks.gate.params import RegistrationParams
from tasks.metrics.names import HIGHER_IS_BETTER

PATH = Path(__file__).parents[2] / "params/registration.yaml"


def test_the_projects_own_parameters_load() -> None:
    assert load(RegistrationParams, PATH, "registration").alias == "champion"
    with pytest.raises(TunesmithError, match=r"registration\.metrik: unknown key"):
        parse(RegistrationParams, {"metrik": "bleu"}, PATH, "registration")


def test_the_key_of_earlier_versions_names_the_new_one() -> None:
    with pytest.raises(TunesmithError) as error:
        parse(RegistrationParams, {"min_rows": 40}, "params/registration.yaml", "registration")
    assert str(error.value) == (
        "params/registration.yaml: registration: min_rows is now min_groups, which counts independent groups of clean "
        "rows; min_rows is 40; rename the key"
    )


@pytest.mark.parametrize(
    "metric",
    [
        *("copied_4grams", "repetition", "empty", "negation_differs", "numbers_differ"),  # less is better
        *("length_ratio", "distinct_1", "new_tokens", "finished"),  # better has no meaning
        *("hub:meteor", "hub.meteor.meteor"),  # of unknown direction, and one value for all rows
        *("macro_f1", "matthews", "pearson", "spearman"),  # one value for all rows
        *("loss", "validation_loss", "loss_per_byte"),
    ],
)
def test_a_metric_that_cannot_decide_is_refused_with_those_that_can(metric: str) -> None:
    with pytest.raises(TunesmithError) as error:
        parse(RegistrationParams, {"metric": metric}, "params/registration.yaml", "registration")
    assert str(error.value).startswith("params/registration.yaml: registration.metric: must be a score that each row")
    assert f"it is {metric!r}" in str(error.value)
    assert f"there are: {', '.join(HIGHER_IS_BETTER)}" in str(error.value)


def test_metrics_of_rows_of_which_more_is_better_are_taken() -> None:
    assert len(HIGHER_IS_BETTER) == 18
    for metric in HIGHER_IS_BETTER:
        assert RegistrationParams(metric=metric).metric == metric
