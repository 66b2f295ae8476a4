"""Who goes where: clusters stay together, old rows never move, no row stands twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.errors import TunesmithError
from tasks.files import unit_interval
from tasks.minhash import Numbers
from tasks.near_duplicates import normalise
from tasks.split.clusters import Nodes
from tasks.split.given import given_parts
from tasks.split.memory import Memory, text_key
from tasks.split.params import PARTS, SplitParams
from tasks.split.place import place

COLUMNS = [
    *("row_id", "source_file", "source_line", "task", "template_id", "group", "time", "identity", "completion"),
    "answer_choices",
]
"""The columns of rendered rows (``tasks.rows.RENDERED``) that decide."""


@dataclass(frozen=True)
class Split:
    """A decision on every row.

    Attributes:
        part: row → number of its part in ``PARTS``; -1 where it was dropped.
        reason: row → why it was dropped; "" where it was not.
        nodes: what belongs together.
        memory: what the hash has decided until now, this time included.
        strata: row → its stratum; None where none were asked for.
    """

    part: Numbers
    reason: list[str]
    nodes: Nodes
    memory: Memory
    strata: list[str] | None

    def rows(self, part: str) -> Numbers:
        """The numbers of the rows of ``part``, in their old order."""
        return np.flatnonzero(self.part == PARTS.index(part))


def split(table: pa.Table, params: SplitParams, source: str, memory: Memory | None = None) -> Split:
    """Decide on the rows of ``table`` (columns: ``COLUMNS``), where ``memory`` holds what was decided before.

    Raises:
        TunesmithError: a file has no part, a row has no time, or a part is too small.
    """
    memory = memory or Memory()
    given = given_parts(table, params, source)
    nodes = Nodes.of(table["identity"].to_pylist(), table["group"].to_pylist(), params.near_duplicates)
    same = _same_rows(table, nodes)
    strata = _strata(table, params)
    part, reason = _later_parts(given, nodes)
    known = nodes.known(memory)
    if shares := params.shares():
        known[~np.isin(known, [PARTS.index(name) for name in shares])] = -1
        cluster = nodes.cluster[nodes.text]
        rows = np.flatnonzero(~np.isin(cluster, cluster[given > 0]))
        placed = place(nodes, rows, known, _weights(same), strata, params)
        part[rows] = placed.part[rows]
        for row, parts in placed.bridging.items():
            reason[row] = f"bridges {parts}"
        memory |= _decided(nodes, rows[part[rows] >= 0], part)
    _drop_duplicates(part, reason, same, (known[nodes.text] >= 0) & (known[nodes.group] >= 0))
    for name, most in params.limit.items():
        _drop_over_limit(part, reason, table, name, most, params.seed)
    _refuse_small(part, params, source)
    return Split(part, reason, nodes, memory, strata)


def _same_rows(table: pa.Table, nodes: Nodes) -> Numbers:
    """Row → number of its text, wording and completion: equal for rows of which one is enough."""
    numbers: dict[tuple[int, str, str], int] = {}
    completions = map(normalise, table["completion"].to_pylist())
    keys = zip(nodes.text.tolist(), table["template_id"].to_pylist(), completions, strict=True)
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(table))


def _weights(same: Numbers) -> Numbers:
    """1 for the first of equal rows, 0 for the others: they do not stay."""
    weights = np.zeros(len(same), np.int64)
    weights[np.unique(same, return_index=True)[1]] = 1
    return weights


def _strata(table: pa.Table, params: SplitParams) -> list[str] | None:
    """Row → its stratum, such as ``sentiment, positive``; a row without choices has no label."""
    if not params.stratify:
        return None
    columns = {"task": table["task"].to_pylist(), "label": table["completion"].to_pylist()}
    closed = [bool(choices) for choices in table["answer_choices"].to_pylist()]
    columns["label"] = [
        label if is_label else "no label" for label, is_label in zip(columns["label"], closed, strict=True)
    ]
    return [", ".join(values) for values in zip(*(columns[name] for name in params.stratify), strict=True)]


def _later_parts(given: Numbers, nodes: Nodes) -> tuple[Numbers, list[str]]:
    """Row → its part where its cluster stands in no later one, else -1, and the reason for that.

    The later part keeps what several hold: a test set stays whole, training loses the row.
    """
    homes = []
    for owner in (nodes.group, nodes.cluster[nodes.text]):
        latest = np.zeros(nodes.count, np.int64)
        np.maximum.at(latest, owner, given)
        homes.append(latest[owner])
    of_group, of_cluster = homes
    reason = [""] * len(given)
    for row in np.flatnonzero(given < of_cluster).tolist():
        what = "group" if of_group[row] == of_cluster[row] else "near-duplicate"
        reason[row] = f"{PARTS[given[row]]} row whose {what} is also in {PARTS[of_cluster[row]]}"
    return np.where(given < of_cluster, -1, given), reason


def _decided(nodes: Nodes, rows: Numbers, part: Numbers) -> Memory:
    words = nodes.index.normalised
    texts = dict(zip(nodes.text[rows].tolist(), part[rows].tolist(), strict=True))
    groups = dict(zip(nodes.group[rows].tolist(), part[rows].tolist(), strict=True))
    return Memory(
        {nodes.groups[node - nodes.first_group]: number for node, number in groups.items()},
        {text_key(words[node]): number for node, number in texts.items()},
    )


def _drop_duplicates(part: Numbers, reason: list[str], same: Numbers, known: NDArray[np.bool_]) -> None:
    """Keep one of equal rows: one that has a part, of these one that was there before, of these the first."""
    order = np.lexsort((np.arange(len(part)), ~known, part < 0, same))
    for row in order[np.append(False, same[order][1:] == same[order][:-1])].tolist() if len(order) else ():
        part[row], reason[row] = -1, "duplicate"


def _drop_over_limit(part: Numbers, reason: list[str], table: pa.Table, name: str, most: int, seed: int) -> None:
    """Keep the ``most`` rows with the lowest hash: more rows may enter, no kept set is reshuffled."""
    rows = np.flatnonzero(part == PARTS.index(name))
    if len(rows) <= most:
        return
    ids = zip(table["row_id"].take(rows).to_pylist(), table["template_id"].take(rows).to_pylist(), strict=True)
    position = np.array([unit_interval(seed, "limit", *i) for i in ids])
    for row in rows[np.argsort(position, kind="stable")[most:]].tolist():
        part[row], reason[row] = -1, f"over the limit of {name}"


def _refuse_small(part: Numbers, params: SplitParams, source: str) -> None:
    counts = {name: int((part == number).sum()) for number, name in enumerate(PARTS)}
    for name in params.asked():
        if counts[name] < params.min_rows:
            raise TunesmithError(
                f"params/sources.yaml: sources.{source}.split: each part needs at least {params.min_rows} row(s); "
                f"{name} has {counts[name]} ({', '.join(f'{other} {count}' for other, count in counts.items())}); "
                "add data or change the fractions, limits or `min_rows`"
            )
