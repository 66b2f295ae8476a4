"""The signs on pairs that are hard for them, marked by hand, and what each of them reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.params import read_yaml
from tasks.metrics.negation import negation, same_negation
from tasks.metrics.quantities import numbers, same_numbers

PAIRS = read_yaml(Path(__file__).parent / "hard_pairs.yaml")
SAME = {"negation": same_negation, "numbers": same_numbers}

MISSED = {
    "negation": {"The plan lacks support.", "He denied the theft."},
    "numbers": {"He finished second."},
}
"""Pairs that differ and are missed, to spare texts in which such a word means something else."""


@pytest.mark.parametrize("sign", SAME)
def test_every_alarm_is_right_and_what_is_missed_is_known(sign: str) -> None:
    marked = PAIRS[sign]
    assert len(marked["same"]) >= 20 and len(marked["differ"]) >= 15
    for one, other in marked["same"]:
        assert SAME[sign](one, other) and SAME[sign](other, one), (one, other)
    for one, other in marked["differ"]:
        assert SAME[sign](one, other) == SAME[sign](other, one) == (one in MISSED[sign]), (one, other)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("I cannot", "certain"),
        ("canoe notes", "none"),
        ("She mightn’t come", "certain"),
        ("A knot is nothing", "certain"),
        ("Not only cheap, and not good", "certain"),  # one of two is harmless
        ("No. 5 and no 7", "none"),
        ("The vote was rejected", "possible"),
        ("", "none"),
    ],
)
def test_negation_of_a_text(text: str, level: str) -> None:
    assert negation(text) == level


@pytest.mark.parametrize(
    ("text", "certain", "possible"),
    [
        ("3.5 and 12 and twelve", {"3.5", "12"}, set()),
        ("1,234,567 and 1.234.567 and 1.234", {"1234567", "1.234"}, set()),
        ("0.500 or .5", {"0.5", "5"}, set()),
        ("at 17:05, at 5:05, at 5.", {"17:05", "~5:05", "~5:00"}, set()),
        ("quarter to one, 12 am, noon", {"~12:45", "0:00", "12:00"}, set()),
        ("the '90s and the 1890s", {"1990s", "1890s"}, set()),
        ("one hundred and one", {"101"}, set()),
        ("One of the first two", {"2"}, {"1"}),
        ("2½ cups, ½ spoon", {"2.5", "0.5"}, set()),
        ("#Person1# has covid19 and a B-52", set(), {"52"}),
        ("dozens of hundreds of people", set(), set()),
        ("20 % of $5.99", {"20%", "5.99"}, set()),
        ("3 dozen, 1.5 million", {"36", "1500000"}, set()),
    ],
)
def test_numbers_of_a_text(text: str, certain: set[str], possible: set[str]) -> None:
    result = numbers(text)
    assert (result.certain, result.possible) == (certain, possible)


def test_a_number_counts_once_and_a_time_has_one_partner() -> None:
    assert same_numbers("She paid 20 dollars. The 20 dollars were hers.", "She paid 20 dollars.")
    assert not same_numbers("5 pm and 5 am", "5 o'clock")
    assert same_numbers("5 pm and 6", "6 and 5 o'clock")
