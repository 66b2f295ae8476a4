"""A new test set: the test rows retire, and rows that no experiment has seen take their place.

A test set that decided many times wears out: among many candidates, one wins by chance (docs/gate.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import TunesmithError
from tasks.core.files import unit_interval
from tasks.split.assignments import Assignments, row_of, text_key
from tasks.split.clusters import Nodes
from tasks.split.hashed import clusters_by_stratum
from tasks.split.params import ALL_PARTS, RETIRED, SplitParams
from tasks.text.components import Numbers

_TEST, _RETIRED = ALL_PARTS.index("test"), ALL_PARTS.index(RETIRED)


@dataclass(frozen=True)
class Rows:
    """The rows of a source, for a rotation.

    Attributes:
        keys: row → its ``kept_key``.
        weights: row → 0 for a duplicate of an earlier row, else 1.
        strata: row → its stratum; None for a split without strata.
    """

    keys: list[str]
    weights: Numbers
    strata: list[str] | None


def rotates(earlier: Assignments, params: SplitParams) -> bool:
    """Whether ``params`` ask for a later test set than that of ``earlier``. A first split rotates nothing."""
    return bool(earlier.groups) and params.test_set > earlier.test_set


def begin_test_set(earlier: Assignments, nodes: Nodes, rows: Rows, params: SplitParams, source: str) -> Assignments:
    """The assignments under which rows are split: ``earlier``, rotated if ``params.test_set`` is higher than before.

    A rotation retires the test groups, texts and rows. It puts clusters that no experiment has seen into test, by hash,
    until test has as many rows as before: in each stratum, if the split has strata. All other assignments stay.

    Raises:
        TunesmithError: ``test_set`` is lower than before, or too few groups are unseen.
    """
    if earlier.groups and params.test_set < earlier.test_set:
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.test_set: must not be lower than before; it is "
            f"{params.test_set}, and data/splits/{source} has test set {earlier.test_set}, whose rows experiments have "
            f"seen; set it to {earlier.test_set}"
        )
    if not rotates(earlier, params):
        return replace(earlier, test_set=params.test_set)
    unseen = unseen_clusters(earlier, nodes, rows.keys)
    fresh = np.flatnonzero(unseen[nodes.cluster[nodes.text]] & (rows.weights > 0))
    groups = len(np.unique(nodes.group[fresh]))
    if groups < params.min_test_groups:
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.test_set: a new test set needs at least "
            f"{params.min_test_groups} groups of rows that no experiment has seen (min_test_groups); {source} has "
            f"{groups}, with {len(fresh)} rows. Add rows with `tunesmith data add FILE --name {source} --append`, and "
            f"rotate before the next run splits them; until then, keep `test_set: {earlier.test_set}`"
        )
    return _rotated(earlier, nodes, unseen, _chosen(earlier, nodes, rows, fresh, params), params.test_set)


def unseen_clusters(earlier: Assignments, nodes: Nodes, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Cluster → whether no experiment can have seen it: no part ever kept one of its rows.

    That holds for new rows and for rows over a limit. If rows that were kept are gone from the source, their clusters
    are unknown. Then every group and text with an assignment counts as seen, so that rows over a limit do too.
    """
    kept, ids = {row_of(key) for key in earlier.rows}, [row_of(key) for key in keys]
    seen = np.zeros(nodes.count, np.bool_)
    rows = np.array([row in kept for row in ids], np.bool_)
    seen[nodes.cluster[nodes.text[rows]]] = True
    if not kept or not kept <= set(ids):
        seen[nodes.cluster[nodes.parts(earlier) >= 0]] = True
    return ~seen


def refuse_few_groups(groups: Numbers, params: SplitParams, source: str) -> None:
    """Raise TunesmithError if ``groups``, those of a new test set, are too few."""
    if (count := len(np.unique(groups))) < params.min_test_groups:
        remedy = "raise limit.test or add rows" if "test" in params.limit else "add rows"
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.test_set: a new test set needs at least "
            f"{params.min_test_groups} groups (min_test_groups); it would have {count} without duplicates, bridges "
            f"and rows over a limit; {remedy}"
        )


def _chosen(earlier: Assignments, nodes: Nodes, rows: Rows, fresh: Numbers, params: SplitParams) -> Numbers:
    """The clusters of the new test set, out of those of the rows ``fresh``.

    Unseen clusters that are in test already come first: only the limit of test kept them out.
    """
    cluster = nodes.cluster[nodes.text[fresh]]
    strata = rows.strata or [""] * len(rows.keys)
    size = np.bincount(cluster, minlength=nodes.count).tolist()
    groups = np.bincount(nodes.cluster[np.unique(nodes.group[fresh])], minlength=nodes.count)
    in_test = np.zeros(nodes.count, np.bool_)
    in_test[nodes.cluster[nodes.parts(earlier) == _TEST]] = True
    position = _positions(nodes, fresh, params)
    order = sorted(position, key=lambda number: (not in_test[number], position[number], number))
    by_stratum = clusters_by_stratum(cluster.tolist(), [strata[row] for row in fresh.tolist()], [1] * len(fresh))
    stratum_of = {number: stratum for stratum, numbers in by_stratum.items() for number in numbers}
    room = Counter(stratum for key, stratum in zip(rows.keys, strata, strict=True) if earlier.rows.get(key) == _TEST)
    chosen: list[int] = []
    rest: list[int] = []
    for number in order:
        fits = size[number] <= room[stratum_of[number]]
        room[stratum_of[number]] -= size[number] if fits else 0
        (chosen if fits else rest).append(number)
    # A small test set, or one whose strata are gone, is filled up to what a decision needs.
    while groups[chosen].sum() < params.min_test_groups:
        chosen.append(rest.pop(0))
    return np.array(chosen, np.int64)


def _positions(nodes: Nodes, rows: Numbers, params: SplitParams) -> dict[int, float]:
    """Cluster of ``rows`` → its position in [0, 1), by a hash of its alphabetically first group."""
    first: dict[int, int] = {}
    for cluster, group in zip(nodes.cluster[nodes.text[rows]].tolist(), nodes.group[rows].tolist(), strict=True):
        first[cluster] = min(group, first.get(cluster, group))
    names = {cluster: nodes.groups[group - nodes.first_group] for cluster, group in first.items()}
    return {c: unit_interval(params.seed, "test set", params.test_set, name) for c, name in names.items()}


def _rotated(
    earlier: Assignments, nodes: Nodes, unseen: NDArray[np.bool_], chosen: Numbers, test_set: int
) -> Assignments:
    """``earlier`` with its test groups, texts and rows retired, except unseen ones, and with ``chosen`` in test."""
    names = [*map(text_key, nodes.index.normalised), *nodes.groups]
    texts, groups = (range(nodes.first_group), range(nodes.first_group, nodes.count))
    new = np.isin(nodes.cluster, chosen)

    def after(parts: dict[str, int], of: range) -> dict[str, int]:
        free = {names[node] for node in of if unseen[nodes.cluster[node]]}
        retired = {key: _retired(part) if key not in free else part for key, part in parts.items()}
        return retired | {names[node]: _TEST for node in of if new[node]}

    return replace(
        earlier,
        groups=after(earlier.groups, groups),
        texts=after(earlier.texts, texts),
        rows={key: _retired(part) for key, part in earlier.rows.items()},
        test_set=test_set,
    )


def _retired(part: int) -> int:
    return _RETIRED if part == _TEST else part
