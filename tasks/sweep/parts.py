"""Divide validation rows into a part for the search and a part that the search does not see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tasks.core.errors import TunesmithError
from tasks.core.files import unit_interval
from tasks.sweep.trial_params import ValidationParts
from tasks.text.rows import Row, group_key

Group = tuple[str, str]
"""Source and group of a row (``group_key``)."""


def check_groups(rows: Iterable[Row], parts: ValidationParts) -> frozenset[Group]:
    """The groups of the check part: those with the lowest hashes, ``check_share`` of all, at least one.

    The order of ``rows`` does not matter, and a group lies in one part with all of its rows.

    Raises:
        TunesmithError: there are fewer than two groups, so that one part would be empty.
    """
    groups = {group_key(row) for row in rows}
    if len(groups) < 2:
        raise TunesmithError(
            f"a sweep needs validation rows of at least two groups, one to search with and one to check with; the "
            f"mixture has {len(groups)}; raise the validation share of a split in params/sources.yaml"
        )
    ordered = sorted(groups, key=lambda group: (unit_interval(parts.seed, "sweep", *group), group))
    return frozenset(ordered[: min(max(1, round(parts.check_share * len(groups))), len(groups) - 1)])


def divided(rows: Sequence[Row], parts: ValidationParts) -> tuple[list[Row], list[Row]]:
    """The rows of the search part and those of the check part, each in the order of ``rows``.

    Raises:
        TunesmithError: as ``check_groups``.
    """
    held_out = check_groups(rows, parts)
    search = [row for row in rows if group_key(row) not in held_out]
    return search, [row for row in rows if group_key(row) in held_out]
