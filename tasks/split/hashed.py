"""The parts that rows get from earlier splits and from the hash.

A cluster keeps its earlier part; a hash decides the part of a new cluster. A row that would join clusters of two parts
is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from tasks.core.files import unit_interval
from tasks.split.clusters import Nodes
from tasks.split.params import ALL_PARTS, PARTS, SplitParams
from tasks.text.components import Numbers

Member = tuple[int, int]
"""The nodes of a text and of a group; all rows with this text in this group are one member."""


@dataclass(frozen=True)
class HashedParts:
    """Parts of rows.

    Attributes:
        part: row → number of its part in ``ALL_PARTS``; -1 for none.
        bridging: row without a part → the parts that it would join, such as ``train and test``.
    """

    part: Numbers
    bridging: dict[int, str]


def hashed_parts(
    nodes: Nodes, rows: Numbers, earlier: Numbers, weights: Numbers, strata: Sequence[str] | None, params: SplitParams
) -> HashedParts:
    """Assign ``rows``, which must be whole clusters, to parts.

    Args:
        earlier: node → number of its part in earlier splits, or -1. No node changes its part.
        weights: row → its weight within its stratum.
        strata: row → its stratum; None for a split without strata.
    """
    cluster, bridging = _without_bridges(nodes, rows, earlier)
    rows = np.array([row for row in rows.tolist() if row not in bridging], np.int64)
    cluster_of = cluster[nodes.text[rows]]
    part_of = np.full(nodes.count, -1, np.int64)
    for node in (nodes.text[rows], nodes.group[rows]):
        assigned = earlier[node] >= 0
        part_of[cluster_of[assigned]] = earlier[node[assigned]]
    new = np.unique(cluster_of[part_of[cluster_of] < 0])
    lowest = np.full(nodes.count, nodes.count, np.int64)
    np.minimum.at(lowest, cluster_of, nodes.group[rows])
    group = (nodes.groups[node - nodes.first_group] for node in lowest[new].tolist())
    position = np.array([unit_interval(params.seed, "split", name) for name in group])
    if strata is None:
        part_of[new] = _parts_at(position, params.shares())
    else:
        clusters = clusters_by_stratum(
            cluster_of.tolist(), [strata[row] for row in rows.tolist()], weights[rows].tolist()
        )
        weight = np.bincount(cluster_of, weights[rows], nodes.count).astype(float)
        _meet_shares(part_of, new, position, clusters, weight, params)
    part = np.full(len(nodes.text), -1, np.int64)
    part[rows] = part_of[cluster_of]
    return HashedParts(part, bridging)


def _parts_at(position: NDArray[np.float64], shares: dict[str, float]) -> Numbers:
    """The part at each position in [0, 1); each part covers an interval as long as its share."""
    stretches = {part: share for part, share in shares.items() if share > 0}
    ends = np.cumsum(list(stretches.values()))
    numbers = np.array([PARTS.index(part) for part in stretches])
    return numbers[np.minimum(np.searchsorted(ends, position * ends[-1], side="right"), len(ends) - 1)]


def clusters_by_stratum(clusters: list[int], strata: list[str], weights: list[int]) -> dict[str, list[int]]:
    """Stratum → its clusters, from each row's cluster, stratum and weight.

    A cluster with rows of several strata belongs to the stratum with the highest weight.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for cluster, stratum, weight in zip(clusters, strata, weights, strict=True):
        counts[cluster][stratum] += weight
    by_stratum: dict[str, list[int]] = defaultdict(list)
    for cluster, of in sorted(counts.items()):
        by_stratum[min(of, key=lambda stratum: (-of[stratum], stratum))].append(cluster)
    return by_stratum


def _meet_shares(
    part_of: Numbers,
    new: Numbers,
    position: NDArray[np.float64],
    strata: dict[str, list[int]],
    weight: NDArray[np.float64],
    params: SplitParams,
) -> None:
    """Assign the new clusters of each stratum, in the order of their hashes, to the parts that lack weight."""
    position_of = dict(zip(new.tolist(), position.tolist(), strict=True))
    for stratum, clusters in strata.items():
        # Retired rows count in no part's share.
        counted = [c for c in clusters if c in position_of or part_of[c] < len(PARTS)]
        total = weight[counted].sum()
        old = [cluster for cluster in counted if cluster not in position_of]
        lacks = {
            part: max(0.0, share * total - weight[[c for c in old if PARTS[part_of[c]] == part]].sum())
            for part, share in params.shares().items()
        }
        ordered = np.array(sorted(position_of.keys() & set(clusters), key=lambda c: (position_of[c], c)), np.int64)
        # Systematic sampling with a random start; otherwise the few clusters of a small stratum would all be train.
        start = unit_interval(params.seed, "stratum", stratum)
        # Clusters without weight count equally.
        sizes = weight[ordered] if weight[ordered].any() else np.ones(len(ordered))
        ranked = (np.cumsum(sizes) - sizes + start * sizes) / sizes.sum()
        part_of[ordered] = _parts_at(ranked, lacks if sum(lacks.values()) else params.shares())


def _without_bridges(nodes: Nodes, rows: Numbers, earlier: Numbers) -> tuple[Numbers, dict[int, str]]:
    """Cut clusters that would join two earlier parts.

    Returns:
        Node → its cluster, and row left out → the parts that it would join.
    """
    lowest, highest = np.full(nodes.count, len(ALL_PARTS)), np.full(nodes.count, -1)
    assigned = np.flatnonzero(earlier >= 0)
    np.minimum.at(lowest, nodes.cluster[assigned], earlier[assigned])
    np.maximum.at(highest, nodes.cluster[assigned], earlier[assigned])
    torn = (lowest < highest)[nodes.cluster]
    rows = rows[torn[nodes.text[rows]]]
    if not len(rows):
        return nodes.cluster, {}
    members = list(zip(nodes.text[rows].tolist(), nodes.group[rows].tolist(), strict=True))
    pieces, left_out = _pieces(nodes, sorted(set(members)), earlier.tolist())
    # The nodes of a torn cluster are numbered by the lowest node of their piece, above all other clusters.
    cluster = np.where(torn, nodes.count + pieces, nodes.cluster)
    cluster = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return cluster, {
        row: left_out[member] for row, member in zip(rows.tolist(), members, strict=True) if member in left_out
    }


def _pieces(nodes: Nodes, members: list[Member], earlier: list[int]) -> tuple[Numbers, dict[Member, str]]:
    """Node → lowest node of its piece, and the members that are left out → the parts that each would join.

    The members are inserted one after the other, and one that would join two parts is left out. One extra node per part
    joins all nodes that have this part from earlier splits.

    The order decides which members are left out. Members with an earlier part come first, those of test before the
    others; two of them are near-duplicates only if one was missing when the other was assigned. Then come new members,
    those near training rows before those near test rows: if a chain of new members links two parts, the member left out
    is near test rows.
    """
    joined = DisjointSet(
        [*{node for member in members for node in member}, *range(nodes.count, nodes.count + len(ALL_PARTS))]
    )
    for node in {node for member in members for node in member if earlier[node] >= 0}:
        joined.merge(node, nodes.count + earlier[node])
    texts = np.array(sorted({text for text, _ in members}), np.int64)
    near = nodes.neighbours(texts, texts)
    present: set[int] = set()
    left_out: dict[Member, str] = {}

    def connected(member: Member) -> list[int]:
        return [*member, *present.intersection(near.get(member[0], ()))]

    def touched(member: Member) -> list[int]:
        roots = {joined[node] for node in connected(member)}
        return [part for part in range(len(ALL_PARTS)) if joined[nodes.count + part] in roots]

    def insert(member: Member) -> None:
        if len(parts := touched(member)) > 1:
            left_out[member] = " and ".join(ALL_PARTS[part] for part in parts)
            return
        for node in connected(member):
            joined.merge(member[0], node)
        present.add(member[0])

    # Sorted by names and words: the nodes' numbers depend on the order of the rows.
    words = nodes.index.normalised
    members = sorted(members, key=lambda member: (member[1], words[member[0]]))
    old = [m for m in members if earlier[m[0]] == earlier[m[1]] >= 0]
    for member in sorted(old, key=lambda member: -earlier[member[0]]):
        insert(member)
    new = [m for m in members if not earlier[m[0]] == earlier[m[1]] >= 0]
    first = {member: touched(member)[-1:] for member in new}
    for member in sorted(new, key=first.__getitem__):
        insert(member)
    pieces = np.arange(nodes.count)
    for piece in joined.subsets():
        real = [node for node in piece if node < nodes.count]
        pieces[real] = min(real, default=0)
    return pieces, left_out
