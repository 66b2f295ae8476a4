"""Change a file of ``params/`` as text: one number, or new entries. Every other character stays as it is."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

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
    own: Mapping[str, Any] = mapping.lc.data or {}  # the keys that are written here, without those of a merge (<<)
    if key in own:
        line, column = mapping.lc.value(key)
        old = lines[line]
        lines[line] = old[:column] + re.sub(r"^\d+", str(value), old[column:])
        return
    if not own and mapping:  # all keys are merged; the caller refuses
        return
    if not own:  # written as {}
        line, column = mapping.lc.line, mapping.lc.col + 1
        entry = f"{key}: {value}"
    else:
        line, column = mapping.lc.key(next(iter(own)))
        entry = f"{key}: {value}, " if mapping.fa.flow_style() else f"{key}: {value}\n{' ' * column}"
    lines[line] = lines[line][:column] + entry + lines[line][column:]


def with_entries(text: str, path: Path, section: str, entries: Mapping[str, Mapping[str, Any]]) -> str:
    """``text``, the content of ``path``, with ``entries`` after the last one of ``section``, one per line.

    Raises:
        TunesmithError: the section is not a block of YAML with a line per entry.
    """
    added = [_on_one_line(name, entry) for name, entry in entries.items()]
    expected: Any = YAML(typ="safe").load(text)
    expected[section] = {**(expected[section] or {}), **entries}
    changed = _inserted(text, section, added)
    try:
        is_as_expected = changed is not None and YAML(typ="safe").load(changed) == expected
    except YAMLError:
        is_as_expected = False
    if changed is None or not is_as_expected:
        raise TunesmithError(
            f"{path}: {section}: must be written as a block of YAML to be changed here; write by hand: "
            f"{'; '.join(f'`{line}`' for line in added)}"
        )
    return changed


def _on_one_line(name: str, entry: Mapping[str, Any]) -> str:
    value = CommentedMap(entry)
    value.fa.set_flow_style()
    yaml, text = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.dump({name: value}, text)
    return text.getvalue().strip()


def _inserted(text: str, section: str, added: Sequence[str]) -> str | None:
    """``text`` with the lines ``added`` behind the last entry of ``section``; None if it has no block of entries."""
    nodes = {key.value: value for key, value in YAML().compose(text).value}
    block = nodes[section]
    if not isinstance(block, MappingNode) or block.flow_style or not block.value:
        return None
    indent, line = " " * block.value[0][0].start_mark.column, _last_line(block)
    lines = text.splitlines(keepends=True)
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if not lines[line].endswith("\n"):
        lines[line] += end
    return "".join([*lines[: line + 1], *(f"{indent}{new}{end}" for new in added), *lines[line + 1 :]])


def _last_line(node: Any) -> int:
    """Number of the last line of ``node``; the end of a block itself is behind the comments that follow it."""
    if isinstance(node, MappingNode | SequenceNode) and node.value and not node.flow_style:
        # An alias has the position of its anchor, which is above.
        inner = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        return max(map(_last_line, inner))
    mark = node.end_mark
    return int(mark.line) - (mark.column == 0)  # a text of several lines ends at the start of the next line
