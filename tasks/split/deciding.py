"""What decides on the sides of a source's rows, and how that has changed since its rows were last split."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tasks.files import canonical_json
from tasks.split.params import PARTS, SplitParams

_OF_SET = "template.set: "


@dataclass(frozen=True)
class Change:
    """One deciding value that is another now.

    Attributes:
        key: below ``sources.S`` of ``params/sources.yaml``, such as ``split.stratify``.
        before, now: the value as it would be written there; None where there was or is none.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        if self.key.startswith("template.columns.") and None in (self.before, self.now):
            column = self.key.removeprefix("template.columns.")
            return f"the set {'now' if self.before is None else 'no longer'} tells rows apart by its column {column}"
        return f"{self.key} was {shown(self.before)}, now it is {shown(self.now)}"


def values(params: SplitParams, grouped_by: bytes | None) -> dict[str, Any]:
    """Key below ``sources.S`` → value, of all that decides.

    Args:
        grouped_by: what made the groups and texts (``tasks.rows.GROUPED_BY``); None where that is unknown.
    """
    deciding = params.deciding()
    shares = {"split.fractions": deciding["shares"]} if params.by == "hash" else {}
    if params.by != "hash" and deciding["shares"]:
        shares = {"split.validation_fraction": deciding["shares"]["validation"]}
    near = params.near_duplicates
    found = {
        "split.by": params.by,
        **shares,
        **{f"split.{name}": value for name, value in deciding["given"].items()},
        "split.near_duplicates": near and {"threshold": near.threshold, "ngram": near.ngram},
        "split.stratify": params.stratify,
        "split.seed": params.seed,
    }
    made = json.loads(grouped_by) if grouped_by else {}
    found |= {f"template.{name}": made[name] for name in ("set", "group") if name in made}
    found |= {f"{_OF_SET}{name}": made[name] for name in ("identity", "text") if name in made}
    for wanted, (column, value) in made.get("columns", {}).items():
        found |= {f"template.columns.{wanted}": column} if value is None else {f"template.values.{wanted}": value}
    return json.loads(canonical_json(found))


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """What differs between two results of ``values``; a file that is named anew changes nothing for the others."""
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        one, other = before.get(key), now.get(key)
        if one == other or (key == "split.files" and one and other and _only_more(one, other)):
            continue
        if key == "split.validation_fraction" and one is None:  # the hash decided nothing before
            continue
        found.append(Change(key, one, other))
    if any(change.key == "template.set" for change in found):  # another set has other columns and identities
        found = [change for change in found if not change.key.startswith(("template.columns.", _OF_SET))]
    return found


def _only_more(before: dict[str, list[str]], now: dict[str, list[str]]) -> bool:
    """Whether each file that was named has its part still."""
    return all(set(before.get(part, [])) <= set(now.get(part, [])) for part in PARTS)


def shown(value: Any) -> str:
    """A value as YAML in one line (JSON is YAML), with bare names instead of quoted ones."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    bare = isinstance(value, str) and re.fullmatch(r"[a-z][\w/]*", value) and value not in _NO_TEXT
    return str(value) if bare else json.dumps(value, ensure_ascii=False)


_NO_TEXT = {"true", "false", "null"}
"""Bare words that YAML reads as something else than text."""
