"""Which part a cluster goes to: where it was, or where the hash puts it. What would bridge two parts is left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.core.files import unit_interval
from tasks.split.clusters import Nodes
from tasks.split.params import PARTS, SplitParams
from tasks.text.minhash import Forest, Numbers

Member = tuple[int, int]
"""A text and a group, by their nodes: equal for all rows that show the text in that group."""


@dataclass(frozen=True)
class Placed:
    """Where the hash and the past put rows.

    Attributes:
        part: row → number of its part; -1 where it has none.
        bridging: row without a part → the parts that it would bridge, such as ``train and test``.
    """

    part: Numbers
    bridging: dict[int, str]


def place(
    nodes: Nodes, rows: Numbers, known: Numbers, weights: Numbers, strata: Sequence[str] | None, params: SplitParams
) -> Placed:
    """Place ``rows``, which are whole clusters.

    Args:
        known: node → number of the part in which it was put before, or -1. Nothing moves what is known.
        weights: row → what it counts in its stratum.
        strata: row → its stratum; None where no stratum's shares are to be met.
    """
    cluster, bridging = _without_bridges(nodes, rows, known)
    rows = np.array([row for row in rows.tolist() if row not in bridging], np.int64)
    cluster_of = cluster[nodes.text[rows]]
    part_of = np.full(nodes.count, -1, np.int64)
    for node in (nodes.text[rows], nodes.group[rows]):
        told = known[node] >= 0
        part_of[cluster_of[told]] = known[node[told]]
    new = np.unique(cluster_of[part_of[cluster_of] < 0])
    lowest = np.full(nodes.count, nodes.count, np.int64)
    np.minimum.at(lowest, cluster_of, nodes.group[rows])
    group = (nodes.groups[node - nodes.first_group] for node in lowest[new].tolist())
    position = np.array([unit_interval(params.seed, "split", name) for name in group])
    if strata is None:
        part_of[new] = _parts_at(position, params.shares())
    else:
        named = _strata(cluster_of.tolist(), [strata[row] for row in rows.tolist()], weights[rows].tolist())
        _meet_shares(
            part_of, new, position, named, np.bincount(cluster_of, weights[rows], nodes.count).astype(float), params
        )
    part = np.full(len(nodes.text), -1, np.int64)
    part[rows] = part_of[cluster_of]
    return Placed(part, bridging)


def _parts_at(position: NDArray[np.float64], shares: dict[str, float]) -> Numbers:
    """The parts whose stretches of the shares' total hold the positions in [0, 1)."""
    stretches = {part: share for part, share in shares.items() if share > 0}
    ends = np.cumsum(list(stretches.values()))
    numbers = np.array([PARTS.index(part) for part in stretches])
    return numbers[np.minimum(np.searchsorted(ends, position * ends[-1], side="right"), len(ends) - 1)]


def _strata(clusters: list[int], strata: list[str], weights: list[int]) -> dict[str, list[int]]:
    """Stratum → its clusters. A cluster with rows of several strata counts to that of the most."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for cluster, stratum, weight in zip(clusters, strata, weights, strict=True):
        counts[cluster][stratum] += weight
    found: dict[str, list[int]] = defaultdict(list)
    for cluster, of in sorted(counts.items()):
        found[min(of, key=lambda stratum: (-of[stratum], stratum))].append(cluster)
    return found


def _meet_shares(
    part_of: Numbers,
    new: Numbers,
    position: NDArray[np.float64],
    strata: dict[str, list[int]],
    weight: NDArray[np.float64],
    params: SplitParams,
) -> None:
    """Give the new clusters of each stratum, in the order of their hashes, what its parts lack of their shares."""
    position_of = dict(zip(new.tolist(), position.tolist(), strict=True))
    for stratum, clusters in strata.items():
        total = weight[clusters].sum()
        old = [cluster for cluster in clusters if cluster not in position_of]
        lacks = {
            part: max(0.0, share * total - weight[[c for c in old if PARTS[part_of[c]] == part]].sum())
            for part, share in params.shares().items()
        }
        ordered = np.array(sorted(position_of.keys() & set(clusters), key=lambda c: (position_of[c], c)), np.int64)
        # Systematic sampling: with a start of chance, a stratum of a few clusters is not always a training one.
        start = unit_interval(params.seed, "stratum", stratum)
        # Clusters of which no row counts are taken alike.
        sizes = weight[ordered] if weight[ordered].any() else np.ones(len(ordered))
        ranked = (np.cumsum(sizes) - sizes + start * sizes) / sizes.sum()
        part_of[ordered] = _parts_at(ranked, lacks if sum(lacks.values()) else params.shares())


def _without_bridges(nodes: Nodes, rows: Numbers, known: Numbers) -> tuple[Numbers, dict[int, str]]:
    """The clusters, none of which was put in two parts before, and the rows that had to be left out for it."""
    lowest, highest = np.full(nodes.count, len(PARTS)), np.full(nodes.count, -1)
    told = np.flatnonzero(known >= 0)
    np.minimum.at(lowest, nodes.cluster[told], known[told])
    np.maximum.at(highest, nodes.cluster[told], known[told])
    torn = (lowest < highest)[nodes.cluster[nodes.text[rows]]]
    if not torn.any():
        return nodes.cluster, {}
    rows = rows[torn]
    of_rows = list(zip(nodes.text[rows].tolist(), nodes.group[rows].tolist(), strict=True))
    forest, left_out = _grown(nodes, sorted(set(of_rows)), known.tolist())
    # A torn cluster's nodes are numbered anew, by the lowest node of their piece, above all other clusters.
    cluster = np.where((lowest < highest)[nodes.cluster], nodes.count + forest.roots()[: nodes.count], nodes.cluster)
    cluster = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return cluster, {
        row: left_out[member] for row, member in zip(rows.tolist(), of_rows, strict=True) if member in left_out
    }


def _grown(nodes: Nodes, members: list[Member], known: list[int]) -> tuple[Forest, dict[Member, str]]:
    """Put the members back one after the other; one that would join two parts is left out.

    What is known comes first, test rows before all: two known members are only near each other where one was gone when
    the other came. Of a chain of new members between two parts, those near training rows come first, so that what is
    left out is near test rows. All that is known of one part is joined to a node for the part.
    """
    forest = Forest(nodes.count + len(PARTS))
    for node in {node for member in members for node in member if known[node] >= 0}:
        forest.join(node, nodes.count + known[node])
    texts = np.array(sorted({text for text, _ in members}), np.int64)
    near = nodes.neighbours(texts, texts)
    present: set[int] = set()
    left_out: dict[Member, str] = {}

    def joined(member: Member) -> list[int]:
        return [*member, *present.intersection(near.get(member[0], ()))]

    def touched(member: Member) -> list[int]:
        roots = set(map(forest.find, joined(member)))
        return [part for part in range(len(PARTS)) if forest.find(nodes.count + part) in roots]

    def insert(member: Member) -> None:
        if len(parts := touched(member)) > 1:
            left_out[member] = " and ".join(PARTS[part] for part in parts)
            return
        for node in joined(member):
            forest.join(member[0], node)
        present.add(member[0])

    # By the names and words, not by the numbers, which hang on the order of the rows.
    words = nodes.index.normalised
    members = sorted(members, key=lambda member: (member[1], words[member[0]]))
    old = [m for m in members if known[m[0]] == known[m[1]] >= 0]
    for member in sorted(old, key=lambda member: -known[member[0]]):
        insert(member)
    new = [m for m in members if not known[m[0]] == known[m[1]] >= 0]
    first = {member: touched(member)[-1:] for member in new}
    for member in sorted(new, key=first.__getitem__):
        insert(member)
    return forest, left_out
