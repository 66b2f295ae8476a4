"""Change a file of ``params/`` as text: one number, or new entries. Every other character stays as it is."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from tasks.core.errors import TunesmithError


def with_value(text: str, path: Path, section: Sequence[str], key: str, value: int | list[str]) -> str:
    """``text``, the content of ``path``, with ``key`` of the mapping at ``section`` set to ``value``.

    A number replaces the present one. A list is for a mapping that has no such key; see ``with_item``.

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


def _set(lines: list[str], mapping: CommentedMap, key: str, value: int | list[str]) -> None:
    """Replace the number of ``key``, or put the key before the first one of ``mapping``."""
    written = json.dumps(value)
    own: Mapping[str, Any] = mapping.lc.data or {}  # the keys that are written here, without those of a merge (<<)
    if key in own:
        line, column = mapping.lc.value(key)
        old = lines[line]
        lines[line] = old[:column] + re.sub(r"^\d+", written, old[column:])
        return
    if not own and mapping:  # all keys are merged; the caller refuses
        return
    if not own:  # written as {}
        line, column = mapping.lc.line, mapping.lc.col + 1
        entry = f"{key}: {written}"
    else:
        line, column = mapping.lc.key(next(iter(own)))
        entry = f"{key}: {written}, " if mapping.fa.flow_style() else f"{key}: {written}\n{' ' * column}"
    lines[line] = lines[line][:column] + entry + lines[line][column:]


def with_entries(
    text: str, path: Path, section: str, entries: Mapping[str, Mapping[str, Any]], one_line: bool = True
) -> str:
    """``text``, the content of ``path``, with ``entries`` after the last one of ``section``.

    Args:
        one_line: write each entry on one line; else as a block whose innermost collections are on one line.

    Raises:
        TunesmithError: the section is not a block of YAML with a line per entry.
    """
    written = on_one_line if one_line else _as_block
    added = [line for name, entry in entries.items() for line in written(name, entry)]
    expected: Any = YAML(typ="safe").load(text)
    expected[section] = {**(expected[section] or {}), **entries}
    changed = _inserted(text, section, added)
    if not _holds(changed, expected):
        raise TunesmithError(
            f"{path}: {section}: must be written as a block of YAML to be changed here; write by hand: "
            f"{'; '.join(f'`{line}`' for name, entry in entries.items() for line in on_one_line(name, entry))}"
        )
    assert changed is not None
    return changed


def with_section(text: str, path: Path, section: str) -> str:
    """``text``, the content of ``path``, with the empty section ``section`` at its end, unless it has that section.

    Raises:
        TunesmithError: the file is not a block of YAML.
    """
    expected: Any = YAML(typ="safe").load(text) or {}
    if section in expected:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    changed = f"{text}{'' if not text or text.endswith(end) else end}{end}{section}:{end}"
    if not _holds(changed, {**expected, section: None}):
        raise TunesmithError(
            f"{path}: must be a block of YAML to be changed here; add the key `{section}: {{}}` by hand, and try again"
        )
    return changed


def with_item(text: str, path: Path, section: Sequence[str], item: str) -> str:
    """``text``, the content of ``path``, with ``item`` at the end of the list at ``section``.

    Raises:
        TunesmithError: there is no list, or it is shared by an alias.
    """
    expected: Any = YAML(typ="safe").load(text)
    above, node = expected, YAML().compose(text)
    for part in section[:-1]:
        above = above.get(part) if isinstance(above, dict) else None
    for part in section:
        values = {key.value: value for key, value in node.value} if isinstance(node, MappingNode) else {}
        node = values.get(part)
    changed = None
    if isinstance(above, dict) and isinstance(node, SequenceNode):
        above[section[-1]] = [*above[section[-1]], item]
        plain = YAML(typ="safe").load(item) == item  # the id of a row may look like a number
        changed = _with_last(text, node, item if plain else json.dumps(item))
    if not _holds(changed, expected):
        raise TunesmithError(
            f"{path}: {'.'.join(section)}: must be a list of plain YAML to be changed here; add `{item}` to it by hand"
        )
    assert changed is not None
    return changed


def _holds(text: str | None, expected: Any) -> bool:
    """Whether ``text`` is YAML with the value ``expected``."""
    try:
        return text is not None and bool(YAML(typ="safe").load(text) == expected)
    except YAMLError:
        return False


def _with_last(text: str, node: SequenceNode, item: str) -> str:
    lines = text.splitlines(keepends=True)
    if node.flow_style:
        line, column = node.end_mark.line, node.end_mark.column - 1  # before the closing bracket
        separator = ", " if node.value else ""
        lines[line] = f"{lines[line][:column].rstrip(' ')}{separator}{item}{lines[line][column:]}"
        return "".join(lines)
    return _below(lines, _last_line(node), f"{' ' * node.start_mark.column}- {item}")


def _below(lines: list[str], line: int, *added: str) -> str:
    """The text of ``lines`` with ``added`` below ``line``."""
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if not lines[line].endswith("\n"):
        lines[line] += end
    return "".join([*lines[: line + 1], *(f"{new}{end}" for new in added), *lines[line + 1 :]])


def on_one_line(name: str, entry: Mapping[str, Any]) -> list[str]:
    """An entry as one line of YAML."""
    value = CommentedMap(_quoted(entry))
    value.fa.set_flow_style()
    yaml, text = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.dump({name: value}, text)
    return [text.getvalue().strip()]


def _as_block(name: str, entry: Mapping[str, Any]) -> list[str]:
    return yaml_lines({name: dict(entry)})


def yaml_lines(data: Mapping[str, Any]) -> list[str]:
    """``data`` as lines of YAML; the innermost collections are on one line."""
    yaml, text = YAML(), io.StringIO()
    yaml.Representer = _NullAsWord
    yaml.default_flow_style = None
    yaml.width = 4096
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.dump(_quoted(data), text)
    return text.getvalue().splitlines()


class _NullAsWord(RoundTripRepresenter):
    """Writes ``null`` instead of nothing."""


_NullAsWord.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null"))


def _quoted(value: Any) -> Any:
    """``value`` with quotes around texts such as ``embedded:NAME``, which some readers of YAML refuse in braces."""
    if isinstance(value, Mapping):
        return {key: _quoted(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_quoted(below) for below in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and re.fullmatch(r"\w+:\S+", value) else value


def _inserted(text: str, section: str, added: Sequence[str]) -> str | None:
    """``text`` with the lines ``added`` behind the last entry of ``section``; None if it has no block of entries."""
    nodes = {key.value: (key, value) for key, value in YAML().compose(text).value}
    key, block = nodes[section]
    lines = text.splitlines(keepends=True)
    if isinstance(block, MappingNode) and not block.value and block.flow_style:  # written as {}
        start, end = block.start_mark, block.end_mark
        if start.line == end.line:
            line = lines[start.line]
            lines[start.line] = line[: start.column].rstrip(" ") + line[end.column :]
            return _below(lines, start.line, *(f"  {new}" for new in added))
    if not isinstance(block, MappingNode):
        return _below(lines, key.end_mark.line, *(f"  {new}" for new in added)) if block.value == "" else None
    if block.flow_style or not block.value:
        return None
    column = block.value[0][0].start_mark.column
    return _below(lines, _last_comment(lines, _last_line(block), column), *(f"{' ' * column}{new}" for new in added))


def _last_comment(lines: Sequence[str], line: int, column: int) -> int:
    """Number of the last comment below ``line`` that is indented by more than ``column``, so part of the entry."""
    for below in lines[line + 1 :]:
        text = below.lstrip(" ")
        if not text.startswith("#") or len(below) - len(text) <= column:
            break
        line += 1
    return line


def _last_line(node: Any) -> int:
    """Number of the last line of ``node``; the end of a block itself is behind the comments that follow it."""
    if isinstance(node, MappingNode | SequenceNode) and node.value and not node.flow_style:
        # An alias has the position of its anchor, which is above.
        inner = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        return max(map(_last_line, inner))
    mark = node.end_mark
    return int(mark.line) - (mark.column == 0)  # a text of several lines ends at the start of the next line
