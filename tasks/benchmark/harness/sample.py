"""Draw the rows of a task to evaluate: seeded, in proportion to the answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tasks.core.params import value_at
from tasks.text.rows import Row

_MOST_STRATA = 20
"""With more different answers than this, answers are texts, not labels."""


def choose(
    rows: list[Row], answer: Callable[[Row], Any], together: list[str], count: int | None, seed: int
) -> list[int] | None:
    """Indices of ``count`` of ``rows``, ascending; None for all.

    Rows are drawn from each right answer in proportion (largest remainders). With ``together``, rows that agree in
    these columns are drawn as one, until there are at least ``count``.
    """
    if count is None or count >= len(rows):
        return None
    shuffler = random.Random(seed)
    if together:
        return _whole_groups(rows, together, count, shuffler)
    strata: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        strata.setdefault(str(answer(row)), []).append(index)
    if len(strata) > _MOST_STRATA:
        strata = {"": list(range(len(rows)))}
    taken = _shares({name: len(indices) for name, indices in strata.items()}, count)
    return sorted(index for name in sorted(strata) for index in shuffler.sample(strata[name], taken[name]))


def _whole_groups(rows: list[Row], together: list[str], count: int, shuffler: random.Random) -> list[int]:
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(str([value_at(row, column) for column in together]), []).append(index)
    order = sorted(groups)
    shuffler.shuffle(order)
    chosen: list[int] = []
    for name in order:
        if len(chosen) >= count:
            break
        chosen += groups[name]
    return sorted(chosen)


def _shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """``count`` divided in proportion to ``sizes``, with the rest to the largest remainders."""
    whole = sum(sizes.values())
    shares = {name: size * count // whole for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(sizes[name] * count % whole), name))
    for name in by_remainder[: count - sum(shares.values())]:
        shares[name] += 1
    return shares
