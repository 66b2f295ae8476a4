"""Assignments of an earlier version, whose keys of texts are unknown: the ids of rows are not."""

from __future__ import annotations

import pytest

from tasks.split.assignments import Assignments, kept_key
from tasks.split.params import PARTS
from tests.split.rows import decide, line, row, text


@pytest.mark.parametrize("group", ["g0", "old"])
def test_kept_rows_are_known_by_their_id_if_their_keys_are_of_an_earlier_version(group: str) -> None:
    """A row between a training and a test row is the bridge; in the order of words or of groups, it comes first."""
    train, test, bridge = row(0, identity=line(20)), row(1, "z", identity=line(40)), row(10, "a", identity=line(30))
    parts = {"r0": PARTS.index("train"), "r1": PARTS.index("test")}
    rows = {kept_key(i, "t"): part for i, part in parts.items()}
    groups = {"g0": 0, "z": 2} if group == "g0" else {"old train": 0, "old test": 2}
    earlier = Assignments(groups, {"an old key": 0, "another": 2}, rows)
    for order in ([train, test, bridge], [bridge, test, train]):
        decided, dropped = decide([*order, *(row(i, identity=text(i)) for i in range(20, 60))], earlier)
        assert "r0" in decided["train"] and "r1" in decided["test"]
        assert dropped == {"bridges train and test": 1}


def test_of_texts_that_are_equal_only_now_the_test_row_stays() -> None:
    """They were of two parts; the training row is dropped."""
    train, test = row(0, identity=text(0)), row(1, identity=f"{text(0)}!")
    rows = {kept_key("r0", "t"): PARTS.index("train"), kept_key("r1", "t"): PARTS.index("test")}
    earlier = Assignments({"g0": 0, "g1": 2}, {"an old key": 0}, rows)
    decided, dropped = decide([train, test, *(row(i, identity=text(i)) for i in range(20, 60))], earlier)
    assert "r1" in decided["test"] and dropped == {"bridges train and test": 1}
