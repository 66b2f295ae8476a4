"""Read FLAN-style lists: YAML or JSON with (input, target) pairs of Python format strings.

The file is a list of pairs, or a mapping from names of data sets to such lists, like ``PATTERNS`` in
google-research/FLAN (``flan/templates.py``). A pair is a list of two texts, or a mapping with ``input`` and ``target``.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from tasks.core.errors import TunesmithError
from tasks.template.environment import names_in, reserved_problem
from tasks.template.importing.parsed import ParsedSet, ParsedTemplate, in_order

LICENSE = "Of the templates and the data: see where they come from."


def read(path: Path) -> list[ParsedSet]:
    """Read the lists of one file, one list per data set.

    Raises:
        TunesmithError: the file is not valid YAML or JSON, or holds neither a list nor lists by name.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TunesmithError(
            f"{path}: not valid {path.suffix[1:].upper()}: {' '.join(str(error).split())}; correct the file"
        ) from None
    named = {path.stem: data} if isinstance(data, list) else data
    if not isinstance(named, dict) or not named or not all(isinstance(pairs, list) for pairs in named.values()):
        raise TunesmithError(
            f"{path}: must be a promptsource file (with `templates`), a list of (input, target) pairs, or such lists "
            f"by name; it is a {type(data).__name__}"
        )
    return [_read_list(path, str(name), pairs) for name, pairs in named.items()]


def _read_list(path: Path, name: str, pairs: list[Any]) -> ParsedSet:
    parsed = ParsedSet(
        path, name, f"Templates for {name}, imported from {path.name}. Look at them before you use them.", LICENSE
    )
    for number, pair in enumerate(pairs, start=1):
        try:
            parsed.templates.append(_template(f"p{number}", pair))
        except ValueError as error:
            parsed.refused.append((f"p{number}", str(error)))
    return parsed


def _template(name: str, pair: Any) -> ParsedTemplate:
    texts = [pair.get("input"), pair.get("target")] if isinstance(pair, dict) else pair
    if not isinstance(texts, list) or len(texts) != 2 or not all(isinstance(text, str) for text in texts):
        raise ValueError("a pair must be two texts, the input and the target")
    prompt, completion = (to_jinja(text).strip() for text in texts)
    columns = names_in(prompt) | names_in(completion)
    if not columns:
        raise ValueError("it uses no column")
    return ParsedTemplate(
        name, columns, in_order(texts[0], names_in(prompt)), {"prompt": prompt, "completion": completion}
    )


def to_jinja(text: str) -> str:
    """Jinja2 that renders as ``text.format(**row)`` would.

    Raises:
        ValueError: the text is not a format string, or has a field that is not a plain column name.
    """
    parts = []
    for literal, column, spec, conversion in Formatter().parse(text):
        parts.append(literal.replace("{", "{{ '{' }}"))  # a brace before a column would open a Jinja2 tag
        if column is None:
            continue
        if not column.isidentifier() or spec or conversion:
            shown = column + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise ValueError(f"a field must be the name of a column alone; it is {{{shown}}}")
        if problem := reserved_problem([column]):
            raise ValueError(problem)
        parts.append(f"{{{{ {column} }}}}")
    return "".join(parts)
