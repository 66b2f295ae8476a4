"""``splits.json``: the counts of a split, and the check that its parts share nothing."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tasks.split.assign import Split
from tasks.split.assignments import Assignments, row_of
from tasks.split.clusters import Nodes
from tasks.split.params import ALL_PARTS, PARTS, RETIRED, SplitParams


def report(tasks: list[str], decided: Split, params: SplitParams) -> dict[str, Any]:
    """Count the rows of a split.

    Args:
        tasks: row → its task.

    Returns:
        ``rows`` and ``tasks`` count the rows read (``in``), those in each part, and those dropped. ``dropped`` counts
        dropped rows by reason (``duplicate``: equal words, template and completion). ``clusters`` describes the
        clusters of all rows read, and ``strata`` the shares of each stratum. ``test_set`` is its number.
    """
    where = [ALL_PARTS[part] if part >= 0 else "dropped" for part in decided.part.tolist()]
    counts = Counter(zip(tasks, where, strict=True))
    names = ("in", *written_parts(decided), "dropped")
    of_task = {task: {name: counts[task, name] for name in names[1:]} for task in sorted(set(tasks))}
    of_task = {task: {"in": sum(by_part.values()), **by_part} for task, by_part in of_task.items()}
    return {
        "rows": {name: sum(by_part[name] for by_part in of_task.values()) for name in names},
        "tasks": of_task,
        "dropped": dict(sorted(Counter(reason for reason in decided.reason if reason).items())),
        "clusters": _clusters(decided.nodes),
        "strata": _strata(decided, params),
        "test_set": params.test_set,
    }


def written_parts(decided: Split) -> list[str]:
    """The parts that have a file: ``retired`` only if it has rows."""
    return [part for part in ALL_PARTS if part != RETIRED or len(decided.rows(part))]


def _clusters(nodes: Nodes) -> dict[str, int]:
    of_row = nodes.cluster[nodes.text]
    sizes = np.bincount(of_row)
    groups = np.bincount(nodes.cluster[np.unique(nodes.group)], minlength=len(sizes))
    texts = np.bincount(nodes.cluster[np.unique(nodes.text)], minlength=len(sizes))
    return {
        "number": int((sizes > 0).sum()),
        "largest": int(sizes.max()),
        "of_several_groups": int((groups > 1).sum()),
        "of_several_texts": int((texts > 1).sum()),
    }


def _strata(decided: Split, params: SplitParams) -> dict[str, Any] | None:
    """Requested and actual shares of the parts that the hash assigns, per stratum, before any limit."""
    if decided.strata is None:
        return None
    parts = params.shares()
    limited = {f"over the limit of {part}": part for part in PARTS}
    counts: dict[str, Counter[str]] = {}
    for stratum, number, reason in zip(decided.strata, decided.part.tolist(), decided.reason, strict=True):
        part = ALL_PARTS[number] if number >= 0 else limited.get(reason)
        if part in parts:
            counts.setdefault(stratum, Counter())[part] += 1
    realised = {
        stratum: {part: round(by_part[part] / by_part.total(), 4) for part in parts}
        for stratum, by_part in sorted(counts.items())
    }
    deviations = [abs(shares[part] - parts[part]) for shares in realised.values() for part in parts]
    return {
        "requested": parts,
        "realised": {name: {"rows": counts[name].total(), **shares} for name, shares in realised.items()},
        "largest_deviation": round(max(deviations), 4),
    }


def verify(folder: Path, nodes: Nodes, earlier: Assignments, params: SplitParams) -> dict[str, int]:
    """Read the parts in ``folder`` again; check that they share no group and no cluster, and that no group moved.

    Args:
        earlier: ``Split.earlier``, in which a new test set has retired all earlier ones.

    Returns:
        ``shared_groups``, ``shared_clusters`` (pairs of near-duplicate or equal texts in two parts), ``moved`` (groups
        that ``earlier`` assigned to another part) and ``seen`` (test rows that another part kept before); each is 0.
    """
    groups: dict[str, set[str]] = {}
    texts: dict[str, np.ndarray] = {}
    parts = [part for part in ALL_PARTS if (folder / f"{part}.parquet").exists()]
    for part in parts:
        table = pq.read_table(folder / f"{part}.parquet", columns=["group", "identity"])
        groups[part] = set(table["group"].to_pylist())
        texts[part] = np.unique(nodes.index.numbers(table["identity"].to_pylist()))
    counts = {"shared_groups": 0, "shared_clusters": 0, "moved": 0, "seen": 0}
    for one, other in combinations(parts, 2):
        counts["shared_groups"] += len(groups[one] & groups[other])
        counts["shared_clusters"] += len(np.intersect1d(texts[one], texts[other]))
        counts["shared_clusters"] += sum(map(len, nodes.neighbours(texts[one], texts[other]).values()))
    remembered = ALL_PARTS if params.by == "hash" else tuple(params.shares())
    for part in filter(groups.__contains__, remembered):
        number = ALL_PARTS.index(part)
        counts["moved"] += sum(earlier.groups.get(group, number) != number for group in groups[part])
    if params.by == "hash":
        kept = {row_of(key) for key, number in earlier.rows.items() if ALL_PARTS[number] != "test"}
        ids = pq.read_table(folder / "test.parquet", columns=["row_id"])["row_id"].to_pylist()
        counts["seen"] = len(kept.intersection(ids))
    assert not any(counts.values()), f"a split must keep its parts apart: {counts}"
    return counts
