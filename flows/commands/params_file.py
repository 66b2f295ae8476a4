"""Change one number in a file of ``params/`` and leave every other character as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tasks.core.errors import TunesmithError


def with_number(text: str, path: Path, section: Sequence[str], key: str, value: int) -> str:
    """``text``, the content of ``path``, with ``key`` of the mapping at ``section`` set to ``value``.

    Raises:
        TunesmithError: the section is empty or is shared by an alias, so that the change would not be this one alone.
    """
    lines = text.splitlines(keepends=True)
    mapping: Any = YAML().load(text)
    for part in section:
        mapping = mapping[part]
    if isinstance(mapping, CommentedMap):
        _set(lines, mapping, key, value)
    changed, expected = "".join(lines), YAML(typ="safe").load(text)
    below = expected
    for part in section[:-1]:
        below = below[part]
    below[section[-1]] = {**(below[section[-1]] or {}), key: value}
    if YAML(typ="safe").load(changed) != expected:
        raise TunesmithError(
            f"{path}: {'.'.join(section)}.{key}: must be written as plain YAML to be changed here; set it to {value} "
            "by hand"
        )
    return changed


def _set(lines: list[str], mapping: CommentedMap, key: str, value: int) -> None:
    """Replace the number of ``key``, or put the key before the first one of ``mapping``."""
    if key in mapping:
        line, column = mapping.lc.value(key)
        old = lines[line]
        lines[line] = old[:column] + re.sub(r"^\d+", str(value), old[column:])
        return
    if not mapping:  # written as {}
        line, column = mapping.lc.line, mapping.lc.col + 1
        entry = f"{key}: {value}"
    else:
        line, column = mapping.lc.key(next(iter(mapping)))
        entry = f"{key}: {value}, " if mapping.fa.flow_style() else f"{key}: {value}\n{' ' * column}"
    lines[line] = lines[line][:column] + entry + lines[line][column:]
