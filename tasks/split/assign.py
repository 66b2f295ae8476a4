"""Assign rows to train, validation and test: clusters stay together, old rows never move, duplicates are dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.core.errors import TunesmithError
from tasks.core.files import unit_interval
from tasks.split.assignments import Assignments, kept_key, text_key
from tasks.split.clusters import Nodes
from tasks.split.given import given_parts
from tasks.split.hashed import hashed_parts
from tasks.split.params import ALL_PARTS, PARTS, RETIRED, SplitParams
from tasks.split.rotation import Rows, begin_test_set, refuse_few_groups, rotates
from tasks.text.components import Numbers
from tasks.text.near_duplicates import normalise

COLUMNS = [
    *("row_id", "source_file", "source_line", "task", "template_id", "group", "time", "identity", "completion"),
    "answer_choices",
]
"""The columns of rendered rows (``tasks.text.rows.RENDERED``) that decide on parts."""


@dataclass(frozen=True)
class Split:
    """The part of every row.

    Attributes:
        part: row → number of its part in ``ALL_PARTS``; -1 for a dropped row.
        reason: row → why it was dropped; "" for a row that stays.
        nodes: the clusters of the rows.
        earlier: assignments of earlier splits; if this split begins with a rotation, after that.
        assignments: assignments of earlier splits and of this one.
        strata: row → its stratum; None for a split without strata.
    """

    part: Numbers
    reason: list[str]
    nodes: Nodes
    earlier: Assignments
    assignments: Assignments
    strata: list[str] | None

    def rows(self, part: str) -> Numbers:
        """The numbers of the rows of ``part``, in their order in the table."""
        return np.flatnonzero(self.part == ALL_PARTS.index(part))


def split(table: pa.Table, params: SplitParams, source: str, earlier: Assignments | None = None) -> Split:
    """Assign the rows of ``table`` (columns: ``COLUMNS``) to parts; the ``earlier`` assignments stay.

    Raises:
        TunesmithError: a file has no part, a row has no time, a part is too small, more than ``max_dropped`` of the
            rows must be left out, or a new test set finds too few groups.
    """
    given = given_parts(table, params, source)
    nodes = Nodes.of(table["identity"].to_pylist(), table["group"].to_pylist(), params.near_duplicates)
    same = _same_rows(table, nodes)
    strata = _strata(table, params)
    keys = list(map(kept_key, table["row_id"].to_pylist(), table["template_id"].to_pylist()))
    of_source = Rows(keys, _weights(same), strata)
    earlier = earlier or Assignments()
    assignments = held = begin_test_set(earlier, nodes, of_source, params, source)
    part, reason = _later_parts(given, nodes)
    known = _known_parts(held, nodes, keys)
    if shares := params.shares():
        known[~np.isin(known, [ALL_PARTS.index(name) for name in (*shares, RETIRED)])] = -1
        cluster = nodes.cluster[nodes.text]
        rows = np.flatnonzero(~np.isin(cluster, cluster[given > 0]))
        hashed = hashed_parts(nodes, rows, known, of_source.weights, strata, params)
        part[rows] = hashed.part[rows]
        for row, parts in hashed.bridging.items():
            reason[row] = f"bridges {parts}"
        assignments |= _assignments(nodes, rows[part[rows] >= 0], part)
    _refuse_dropped(reason, params, source)
    kept = np.fromiter((key in assignments.rows for key in keys), np.bool_, len(keys))
    _drop_duplicates(part, reason, same, (known[nodes.text] >= 0) & (known[nodes.group] >= 0), kept)
    for name, most in params.limit.items():
        _drop_over_limit(part, reason, table, name, most, params.seed, kept)
    _refuse_small(part, reason, params, source)
    if rotates(earlier, params):
        refuse_few_groups(nodes.group[part == PARTS.index("test")], params, source)
    assignments |= Assignments(rows={keys[row]: int(part[row]) for row in np.flatnonzero(part >= 0).tolist()})
    return Split(part, reason, nodes, held, assignments, strata)


def _known_parts(held: Assignments, nodes: Nodes, keys: list[str]) -> Numbers:
    """Node → number of its part in ``held``; -1 for none.

    If the key of a text or group is unknown, its kept rows tell the part: keys are hashes of normalised texts, and an
    earlier version normalised them in another way.
    """
    known = nodes.parts(held)
    of_row = np.fromiter((held.rows.get(key, -1) for key in keys), np.int64, len(keys))
    for node in (nodes.text, nodes.group):
        rows = np.flatnonzero((known[node] < 0) & (of_row >= 0))
        # Texts that differed then may be equal now; the later part wins, so that a test row stays.
        np.maximum.at(known, node[rows], of_row[rows])
    return known


def _same_rows(table: pa.Table, nodes: Nodes) -> Numbers:
    """Row → number of its text, template and completion: rows with equal numbers are duplicates."""
    numbers: dict[tuple[int, str, str], int] = {}
    completions = map(normalise, table["completion"].to_pylist())
    keys = zip(nodes.text.tolist(), table["template_id"].to_pylist(), completions, strict=True)
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(table))


def _weights(same: Numbers) -> Numbers:
    """1 for the first of duplicate rows, 0 for the others, which are dropped."""
    weights = np.zeros(len(same), np.int64)
    weights[np.unique(same, return_index=True)[1]] = 1
    return weights


def _strata(table: pa.Table, params: SplitParams) -> list[str] | None:
    """Row → its stratum, such as ``sentiment, positive``; a row without answer choices has no label."""
    if not params.stratify:
        return None
    columns = {"task": table["task"].to_pylist(), "label": table["completion"].to_pylist()}
    closed = [bool(choices) for choices in table["answer_choices"].to_pylist()]
    columns["label"] = [
        label if is_label else "no label" for label, is_label in zip(columns["label"], closed, strict=True)
    ]
    return [", ".join(values) for values in zip(*(columns[name] for name in params.stratify), strict=True)]


def _later_parts(given: Numbers, nodes: Nodes) -> tuple[Numbers, list[str]]:
    """Return row → its given part, -1 if its cluster is also in a later part; and row → the reason for -1.

    The later part keeps the cluster, so that a test set stays whole and training loses the row. A new test set loses
    the rows that resemble retired ones.
    """
    latest_parts = []
    for owner in (nodes.group, nodes.cluster[nodes.text]):
        latest = np.zeros(nodes.count, np.int64)
        np.maximum.at(latest, owner, given)
        latest_parts.append(latest[owner])
    of_group, of_cluster = latest_parts
    reason = [""] * len(given)
    for row in np.flatnonzero(given < of_cluster).tolist():
        shared = "group" if of_group[row] == of_cluster[row] else "near-duplicate"
        reason[row] = f"{ALL_PARTS[given[row]]} row whose {shared} is also in {ALL_PARTS[of_cluster[row]]}"
    return np.where(given < of_cluster, -1, given), reason


def _assignments(nodes: Nodes, rows: Numbers, part: Numbers) -> Assignments:
    """The assignments of the groups and texts of ``rows``."""
    words = nodes.index.normalised
    texts = dict(zip(nodes.text[rows].tolist(), part[rows].tolist(), strict=True))
    groups = dict(zip(nodes.group[rows].tolist(), part[rows].tolist(), strict=True))
    return Assignments(
        {nodes.groups[node - nodes.first_group]: number for node, number in groups.items()},
        {text_key(words[node]): number for node, number in texts.items()},
    )


def _drop_duplicates(
    part: Numbers, reason: list[str], same: Numbers, known: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> None:
    """Keep one of duplicate rows that have a part: the one kept before, else one with an old text, else the first.

    If a new row replaced an old one, the row_ids of a test set would change.
    """
    order = np.lexsort((np.arange(len(part)), ~known, ~kept, part < 0, same))
    for row in order[np.append(False, same[order][1:] == same[order][:-1])].tolist() if len(order) else ():
        part[row], reason[row] = -1, "duplicate"


def _drop_over_limit(
    part: Numbers, reason: list[str], table: pa.Table, name: str, most: int, seed: int, kept: NDArray[np.bool_]
) -> None:
    """Keep ``most`` rows of a part: first rows kept before, then those with the lowest hashes."""
    rows = np.flatnonzero(part == PARTS.index(name))
    if len(rows) <= most:
        return
    ids = zip(table["row_id"].take(rows).to_pylist(), table["template_id"].take(rows).to_pylist(), strict=True)
    position = np.array([unit_interval(seed, "limit", *i) for i in ids])
    for row in rows[np.lexsort((position, ~kept[rows]))[most:]].tolist():
        part[row], reason[row] = -1, f"over the limit of {name}"


def _refuse_dropped(reason: list[str], params: SplitParams, source: str) -> None:
    """Raise an error if too many rows are dropped to keep the parts apart; duplicates and limits come later."""
    dropped = sum(map(bool, reason))
    share = dropped / max(len(reason), 1)
    if share <= params.max_dropped:
        return
    bridges = any(why.startswith("bridges ") for why in reason)
    new_split = (
        f"delete data/splits/{source}/assignments.parquet and run `tunesmith run --new-split {source}` to decide anew "
        "(rows may move to other parts), "
        if bridges
        else ""
    )
    raise TunesmithError(
        f"params/sources.yaml: sources.{source}.split: rows of one cluster must go to one part; for that, {dropped} of "
        f"{len(reason)} rows would be dropped: {_counts(reason)}. Check `template.group`, raise "
        f"`near_duplicates.threshold`, {new_split}or allow more dropped rows with `max_dropped` "
        f"(now {params.max_dropped}; needed {ceil(share * 1e4) / 1e4:.4f})"
    )


def _counts(reason: list[str]) -> str:
    return "; ".join(f"{count} {why}" for why, count in sorted(Counter(filter(None, reason)).items()))


def _refuse_small(part: Numbers, reason: list[str], params: SplitParams, source: str) -> None:
    counts = {name: int((part == number).sum()) for number, name in enumerate(PARTS)}
    for name in params.required_parts():
        if counts[name] < params.min_rows:
            raise TunesmithError(
                f"params/sources.yaml: sources.{source}.split: each part needs at least {params.min_rows} row(s); "
                f"{name} has {counts[name]} ({', '.join(f'{other} {count}' for other, count in counts.items())}); "
                f"dropped: {_counts(reason) or 'none'}; add data or change the fractions, limits or `min_rows`"
            )
