"""Connected components of small graphs, by hand."""

from __future__ import annotations

import numpy as np

from tasks.text.components import components, lowest_members, spanning_pairs

# 0 - 3 - 5 and 1 - 4; 2 stands alone.
LEFT, RIGHT = np.array([5, 4, 3, 0, 4]), np.array([3, 1, 0, 3, 1])


def test_components_are_numbered_as_their_lowest_members_come() -> None:
    assert components(6, LEFT, RIGHT).tolist() == [0, 1, 2, 0, 1, 0]


def test_each_node_has_the_lowest_member_of_its_component() -> None:
    assert lowest_members(6, LEFT, RIGHT).tolist() == [0, 1, 2, 0, 1, 0]
    assert lowest_members(6, np.array([5, 2]), np.array([4, 5])).tolist() == [0, 1, 2, 3, 2, 2]


def test_a_pair_that_comes_256_times_joins() -> None:
    assert lowest_members(2, np.zeros(256, np.int64), np.ones(256, np.int64)).tolist() == [0, 0]


def test_no_pair_joins_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert lowest_members(3, none, none).tolist() == [0, 1, 2]
    assert lowest_members(0, none, none).tolist() == []
    assert spanning_pairs(none, none).tolist() == []


def test_spanning_pairs_join_what_all_pairs_join_without_a_cycle() -> None:
    # A triangle 7, 8, 9 with one side twice, and a pair 20, 30.
    i, j = np.array([7, 8, 9, 8, 30]), np.array([8, 9, 7, 7, 20])
    chosen = spanning_pairs(i, j)
    assert len(chosen) == 3 and 4 in chosen.tolist()
    assert lowest_members(31, i[chosen], j[chosen]).tolist() == lowest_members(31, i, j).tolist()
