"""Words of an output that its reference lacks."""

from __future__ import annotations

import pytest

from tasks.report.words import MOST, marked


@pytest.mark.parametrize(
    ("output", "references", "expected"),
    [
        ("The lamp is broken.", ["The lamp is late."], "The lamp is <mark>broken</mark>."),
        ("the LAMP, is late", ["The lamp is late."], "the LAMP, is late"),
        ("a new red lamp", ["a lamp"], "a <mark>new red</mark> lamp"),
        ("lamp new", ["new lamp"], "lamp <mark>new</mark>"),
        ("a < b", [""], "<mark>a &lt; b</mark>"),
        ("the lamp is late", ["a parcel", "the lamp is late"], "the lamp is late"),
        ("今天很好", ["今天不好"], "今天<mark>很</mark>好"),
        ("", ["x"], ""),
        ("only output", [], "only output"),
    ],
)
def test_marks_words_that_the_most_similar_reference_lacks(output: str, references: list[str], expected: str) -> None:
    assert str(marked(output, references)) == expected


def test_a_very_long_text_is_escaped_and_not_marked() -> None:
    text = "<b> " * (MOST + 1)
    assert str(marked(text, ["c"])) == "&lt;b&gt; " * (MOST + 1)
