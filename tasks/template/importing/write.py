"""Write parsed templates as template sets, and report the result."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.scalarstring import LiteralScalarString

from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.params import parse, write_yaml
from tasks.template.importing import formats, promptsource
from tasks.template.importing.parsed import ParsedSet, main_columns
from tasks.template.library import TemplateSet, read_set


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Attributes:
        written: files of the new sets.
        imported: number of templates in them.
        refused: one line ``FILE: NAME: reason`` per template that cannot be imported.
        unread: one line ``FILE: reason`` per broken file of a folder; the number of its templates is unknown.
    """

    written: list[Path]
    imported: int
    refused: list[str]
    unread: list[str]

    def summary(self) -> str:
        total = self.imported + len(self.refused)
        files = f", {len(self.unread)} file{'s' * (len(self.unread) > 1)} unread" if self.unread else ""
        templates = "template" if total == 1 else "templates"
        return f"imported {self.imported} of {total} {templates}, refused {len(self.refused)}{files}"


def import_templates(path: Path, folder: Path, name: str | None = None, replace: bool = False) -> Imported:
    """Import a file, or every ``templates.yaml`` below a folder, as one set per data set in ``folder``.

    Templates that cannot be used, and broken files of a folder, are left out; the others are imported.

    Raises:
        TunesmithError: there is nothing to import, ``path`` is a broken file, ``name`` is given for several sets, or a
            set exists and ``replace`` is off. Nothing is written then.
    """
    parsed, unread = _read(path)
    if name is not None and (len(parsed) > 1 or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)):
        raise TunesmithError(
            f"templates import: --name must name a single set, with lower-case letters, digits, '-' and '_'; {path} "
            f"holds {len(parsed)} and the name is {name!r}"
        )
    names = [name] if name else _distinct([one.name for one in parsed])
    targets = [folder / f"{target}.yaml" for target in names]
    taken = [target for target, one in zip(targets, parsed, strict=True) if one.templates and target.exists()]
    if taken and not replace:
        raise TunesmithError(f"{taken[0]}: a set of this name exists; choose another --name, or add --replace")
    for one in parsed:
        _refuse_unwritable(one)
    written = []
    with ExitStack() as stack:  # all sets are built before the first one is renamed
        for one, target in zip(parsed, targets, strict=True):
            if one.templates:
                _write(one, target, stack.enter_context(replacing(target)))
                written.append(target)
    refused = [f"{one.file}: {template}: {reason}" for one in parsed for template, reason in one.refused]
    return Imported(written, sum(len(one.templates) for one in parsed), refused, unread)


def _read(path: Path) -> tuple[list[ParsedSet], list[str]]:
    """The parsed sets, and one line per file of a folder that cannot be read."""
    if path.is_dir():
        files = sorted(path.rglob("templates.yaml"))
        if not files:
            raise TunesmithError(f"{path}: no file templates.yaml in this folder or below; name another one")
        parsed, unread = [], []
        for file in files:
            try:
                parsed.append(promptsource.read(file))
            except TunesmithError as error:
                unread.append(str(error))
        return parsed, unread
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; name a promptsource templates.yaml, a folder of them, or a list")
    # promptsource's files have YAML tags that a plain reader refuses, so the reader is chosen before reading.
    is_list = path.suffix == ".json" or not re.search(rb"^templates:", path.read_bytes(), re.MULTILINE)
    return (formats.read(path) if is_list else [promptsource.read(path)]), []


def _slug(text: str, otherwise: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "_", text.lower()).strip("_-") or otherwise


def _distinct(names: list[str], otherwise: str = "imported") -> list[str]:
    """Names for files and ids; equal ones get a number."""
    given: list[str] = []
    for name in (_slug(name, otherwise) for name in names):
        number, distinct = 2, name
        while distinct in given:
            distinct, number = f"{name}_{number}", number + 1
        given.append(distinct)
    return given


def _refuse_unwritable(parsed: ParsedSet) -> None:
    """Refuse templates that UTF-8 cannot hold: YAML and JSON can spell half of a surrogate pair."""
    for template in list(parsed.templates):
        try:
            json.dumps([template.name, template.fields, sorted(template.columns)], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            parsed.templates.remove(template)
            parsed.refused.append((ascii(template.name), f"not UTF-8: {error.reason}"))


def _write(parsed: ParsedSet, target: Path, temporary: Path) -> None:
    """Write the set, and read it again to check that its templates can be used."""
    data = _set(parsed, target.stem)
    built = parse(TemplateSet, data, target)
    write_yaml(temporary, _readable(data))
    if read_set(temporary) != built:
        raise TunesmithError(f"{target}: the written set must read as it was built; this is a defect of the import")


def _set(parsed: ParsedSet, name: str) -> dict[str, Any]:
    main, identity = main_columns(parsed.templates)
    used = {column for template in parsed.templates for column in template.columns}
    tasks = ["classification" if "answer_choices" in t.fields else "generation" for t in parsed.templates]
    task = max(("classification", "generation"), key=tasks.count)
    ids = _distinct([template.name for template in parsed.templates], "template")
    return {
        "name": name,
        "task": task,
        "description": parsed.description,
        "license": parsed.license,
        "columns": dict.fromkeys([main, *identity, *sorted(used)], "as in the data set"),
        "text": f"{main} | plain",
        "identity": identity,
        "required": sorted(used.intersection(*(template.columns for template in parsed.templates))),
        "templates": [
            {"id": i, **({} if own == task else {"task": own}), **template.fields}
            for i, own, template in zip(ids, tasks, parsed.templates, strict=True)
        ],
    }


def _readable(value: Any) -> Any:
    """``value`` with texts of several lines as YAML blocks, unless they hold control characters."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    block = isinstance(value, str) and "\n" in value and value.replace("\n", "").isprintable()
    return LiteralScalarString(value) if block else value
