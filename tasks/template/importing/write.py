"""Write imported wordings as template sets, and say what came of each."""

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
from tasks.template.importing.found import Found, main_columns
from tasks.template.library import TemplateSet, read_set


@dataclass(frozen=True)
class Imported:
    """Counts and places of an import.

    Attributes:
        refused: lines ``FILE: NAME: reason``, one a template.
        unread: lines ``FILE: reason``, one for each broken file of a folder; nobody knows how many templates it has.
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
    """Import a file or every ``templates.yaml`` below a folder; one set a data set is written to ``folder``.

    A template that cannot be used is refused, a broken file of a folder left out, and the others are imported.

    Raises:
        TunesmithError: nothing to import, ``path`` is a broken file, ``name`` for several sets, or a set that exists
            and ``replace`` is off. Nothing is written then.
    """
    found, unread = _read(path)
    if name is not None and (len(found) > 1 or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)):
        raise TunesmithError(
            f"templates import: --name must be one name of lower-case letters, digits, '-' and '_' for one set; {path} "
            f"holds {len(found)} and the name is {name!r}"
        )
    names = [name] if name else _distinct([one.name for one in found])
    targets = [folder / f"{target}.yaml" for target in names]
    taken = [target for target, one in zip(targets, found, strict=True) if one.wordings and target.exists()]
    if taken and not replace:
        raise TunesmithError(f"{taken[0]}: there is such a set; choose another --name, or give --replace")
    for one in found:
        _refuse_unwritable(one)
    written = []
    with ExitStack() as stack:  # all are built before the first takes its place
        for one, target in zip(found, targets, strict=True):
            if one.wordings:
                _write(one, target, stack.enter_context(replacing(target)))
                written.append(target)
    refused = [f"{one.file}: {template}: {reason}" for one in found for template, reason in one.refused]
    return Imported(written, sum(len(one.wordings) for one in found), refused, unread)


def _read(path: Path) -> tuple[list[Found], list[str]]:
    """What there is to import, and why files of a folder cannot be read."""
    if path.is_dir():
        files = sorted(path.rglob("templates.yaml"))
        if not files:
            raise TunesmithError(f"{path}: no file templates.yaml in this folder or below; name another one")
        found, unread = [], []
        for file in files:
            try:
                found.append(promptsource.read(file))
            except TunesmithError as error:
                unread.append(str(error))
        return found, unread
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; name a promptsource templates.yaml, a folder of them, or a list")
    # Only promptsource's files have tags, which stop a plain reader: look before reading.
    is_list = path.suffix == ".json" or not re.search(rb"^templates:", path.read_bytes(), re.MULTILINE)
    return (formats.read(path) if is_list else [promptsource.read(path)]), []


def _slug(text: str, otherwise: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "_", text.lower()).strip("_-") or otherwise


def _distinct(names: list[str], otherwise: str = "imported") -> list[str]:
    """Names that are good for files and ids; a number tells equal ones apart."""
    given: list[str] = []
    for name in (_slug(name, otherwise) for name in names):
        number, distinct = 2, name
        while distinct in given:
            distinct, number = f"{name}_{number}", number + 1
        given.append(distinct)
    return given


def _refuse_unwritable(found: Found) -> None:
    """A half of a surrogate pair, which YAML and JSON can spell, is no text that a file can hold."""
    for wording in list(found.wordings):
        try:
            json.dumps([wording.name, wording.fields, sorted(wording.used)], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            found.wordings.remove(wording)
            found.refused.append((ascii(wording.name), f"not UTF-8: {error.reason}"))


def _write(found: Found, target: Path, temporary: Path) -> None:
    """Write the set and read it again, so that what is counted as imported can be used."""
    data = _set(found, target.stem)
    built = parse(TemplateSet, data, target)
    write_yaml(temporary, _readable(data))
    if read_set(temporary) != built:
        raise TunesmithError(f"{target}: the written set must read as it was built; this is a defect of the import")


def _set(found: Found, name: str) -> dict[str, Any]:
    main, identity = main_columns(found.wordings)
    used = {column for wording in found.wordings for column in wording.used}
    tasks = ["classification" if "answer_choices" in w.fields else "generation" for w in found.wordings]
    task = max(("classification", "generation"), key=tasks.count)
    ids = _distinct([wording.name for wording in found.wordings], "template")
    return {
        "name": name,
        "task": task,
        "description": found.description,
        "license": found.license,
        "columns": dict.fromkeys([main, *identity, *sorted(used)], "as in the data set"),
        "text": f"{main} | plain",
        "identity": identity,
        "required": sorted(used.intersection(*(wording.used for wording in found.wordings))),
        "templates": [
            {"id": i, **({} if own == task else {"task": own}), **wording.fields}
            for i, own, wording in zip(ids, tasks, found.wordings, strict=True)
        ],
    }


def _readable(value: Any) -> Any:
    """``value`` with texts of several lines as YAML blocks, which hold no control characters."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    block = isinstance(value, str) and "\n" in value and value.replace("\n", "").isprintable()
    return LiteralScalarString(value) if block else value
