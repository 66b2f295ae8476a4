"""One number in a file of parameters changes, and nothing else in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands.params_file import with_number
from tasks.core.errors import TunesmithError

FILE, SPLIT = Path("params/sources.yaml"), ("sources", "s", "split")


def changed(text: str) -> str:
    return with_number(text, FILE, SPLIT, "test_set", 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # a block, with comments and other sources
            "# top\nsources:\n  r: {split: {by: hash}}\n  s:\n    # why\n    split:   # one\n      # two\n"
            "      by: hash        # three\n      limit: {test: 9}\n",
            "# top\nsources:\n  r: {split: {by: hash}}\n  s:\n    # why\n    split:   # one\n      # two\n"
            "      test_set: 3\n      by: hash        # three\n      limit: {test: 9}\n",
        ),
        ("sources:\n  s:\n    split: {by: hash}  # c\n", "sources:\n  s:\n    split: {test_set: 3, by: hash}  # c\n"),
        ("sources:\n  s: {split: {}}\n", "sources:\n  s: {split: {test_set: 3}}\n"),
        (
            "sources:\n  s:\n    split:\n      test_set: 12   # raised\n      seed: 12\n",
            "sources:\n  s:\n    split:\n      test_set: 3   # raised\n      seed: 12\n",
        ),
        (
            "sources:\n  s:\n    split: {by: hash,\n      test_set: 2}\n",
            "sources:\n  s:\n    split: {by: hash,\n      test_set: 3}\n",
        ),
    ],
)
def test_a_number_is_set_and_every_other_character_stays(before: str, after: str) -> None:
    assert changed(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "sources:\n  r: {split: &x {by: hash}}\n  s: {split: *x}\n",  # would change r, too
        "sources:\n  s:\n    split:\n",
    ],
)
def test_what_cannot_be_changed_alone_is_left_to_the_user(text: str) -> None:
    with pytest.raises(TunesmithError, match=r"sources\.yaml: sources\.s\.split\.test_set: .* set it to 3 by hand"):
        changed(text)
