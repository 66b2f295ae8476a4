"""The values that decide which part each row of a source gets, and their changes since the last split."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tasks.core.files import canonical_json
from tasks.split.params import ALL_PARTS, RETIRED, SplitParams

_OF_SET = "template.set: "
COLUMNS, VALUES = "template.columns.", "template.values."


@dataclass(frozen=True)
class Change:
    """A deciding value that differs from that of the last split.

    Attributes:
        key: key below ``sources.S`` in ``params/sources.yaml``, such as ``split.stratify``.
        before, now: the value as it would be written there; None if there was or is none.
        of_set: whether the value belongs to the template set, not to ``params/sources.yaml``.
    """

    key: str
    before: Any
    now: Any
    of_set: bool = False

    def __str__(self) -> str:
        if self.of_set and self.key.startswith(COLUMNS):
            column = self.key.removeprefix(COLUMNS)
            adverb = "now" if self.before is None else "no longer"
            return f"the template set {adverb} identifies a row by its column {column}"
        return f"{self.key} was {shown(self.before)}, now it is {shown(self.now)}"


def values(params: SplitParams, grouped_by: bytes | None) -> dict[str, Any]:
    """Every value that decides the assignment, by its key below ``sources.S``.

    Args:
        grouped_by: the settings that made groups and texts (``tasks.text.rows.GROUPED_BY``); None if unknown.
    """
    deciding = params.deciding()
    shares = {"split.fractions": deciding["shares"]} if params.by == "hash" else {}
    if params.by != "hash" and deciding["shares"]:
        shares = {"split.validation_fraction": deciding["shares"]["validation"]}
    near = params.near_duplicates
    result = {
        "split.by": params.by,
        **shares,
        **{f"split.{name}": value for name, value in deciding["given"].items()},
        "split.near_duplicates": near and {"threshold": near.threshold, "ngram": near.ngram},
        "split.stratify": params.stratify,
        "split.seed": params.seed,
    }
    made = json.loads(grouped_by) if grouped_by else {}
    result |= {f"template.{name}": made[name] for name in ("set", "group") if name in made}
    result |= {f"{_OF_SET}{name}": made[name] for name in ("identity", "text") if name in made}
    for name, (column, value) in made.get("columns", {}).items():
        result |= {f"{COLUMNS}{name}": column} if value is None else {f"{VALUES}{name}": value}
    return json.loads(canonical_json(result))


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """Differences between two results of ``values``; files that were only added to ``split.files`` do not count.

    Nor does a test file that is retired now.
    """
    differences = []
    for key in [*before, *(key for key in now if key not in before)]:
        one, other = before.get(key), now.get(key)
        if one == other or (key == "split.files" and one and other and _only_more(one, other)):
            continue
        if key == "split.validation_fraction" and one is None:  # no part was decided by the hash before
            continue
        differences.append(Change(key, one, other, _is_of_set(key, before, now)))
    if any(change.key == "template.set" for change in differences):  # another set has other columns and identities
        differences = [change for change in differences if not change.key.startswith((COLUMNS, _OF_SET))]
    return differences


def _is_of_set(key: str, before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the template set caused this difference: by its identity or text, or by a column that is new or gone."""
    if key.startswith(_OF_SET):
        return True
    moved = key.replace(COLUMNS, VALUES)  # the source moved the key to `values`, or back
    in_both = key in before and key in now
    return key.startswith(COLUMNS) and not in_both and moved not in before and moved not in now


def _only_more(before: dict[str, list[str]], now: dict[str, list[str]]) -> bool:
    """Whether each file that was named before is still in the same part, or is a test file that is retired now."""
    still = {part: {*now.get(part, []), *(now.get(RETIRED, []) if part == "test" else [])} for part in ALL_PARTS}
    return all(set(before.get(part, [])) <= still[part] for part in ALL_PARTS)


def shown(value: Any) -> str:
    """Format a value as one line of YAML (JSON is YAML), with simple names unquoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    bare = isinstance(value, str) and re.fullmatch(r"[a-z][\w/]*", value) and value not in _NO_TEXT
    return str(value) if bare else json.dumps(value, ensure_ascii=False)


_NO_TEXT = {"true", "false", "null"}
"""Bare words that YAML does not read as text."""
