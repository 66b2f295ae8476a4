"""Connected components of a graph whose edges are pairs of numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

Numbers = NDArray[np.int64]


def components(count: int, i: Numbers, j: Numbers) -> Numbers:
    """Number of each of ``count`` nodes → number of its component, from 0; ``i[k]`` and ``j[k]`` are joined."""
    graph = coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def lowest_members(count: int, i: Numbers, j: Numbers) -> Numbers:
    """Number of each of ``count`` nodes → lowest number in its component."""
    component = components(count, i, j)
    return np.unique(component, return_index=True)[1][component]


def spanning_pairs(i: Numbers, j: Numbers) -> Numbers:
    """Positions of the pairs of a spanning forest: without a cycle, they join all that all pairs join."""
    if not len(i):
        return np.zeros(0, np.int64)
    nodes, ends = np.unique(np.stack([i, j]), return_inverse=True)
    low, high = np.sort(ends.reshape(2, -1), axis=0)
    first = np.unique(low * len(nodes) + high, return_index=True)[1]
    graph = coo_matrix((first + 1.0, (low[first], high[first])), shape=(len(nodes), len(nodes)))
    return minimum_spanning_tree(graph).data.astype(np.int64) - 1
