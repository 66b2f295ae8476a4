"""Write imported wordings as template sets, and say what came of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.scalarstring import LiteralScalarString

from tasks.errors import TunesmithError
from tasks.files import replacing
from tasks.params import parse, write_yaml
from tasks.template.importing import formats, promptsource
from tasks.template.importing.found import Found, main_columns
from tasks.template.library import TemplateSet, read_set


@dataclass(frozen=True)
class Imported:
    """Counts and places of an import; ``refused`` are lines ``FILE: NAME: reason``."""

    written: list[Path]
    imported: int
    refused: list[str]

    def summary(self) -> str:
        total = self.imported + len(self.refused)
        return f"imported {self.imported} of {total} templates, refused {len(self.refused)}"


def import_templates(path: Path, folder: Path, name: str | None = None, replace: bool = False) -> Imported:
    """Import a file or every ``templates.yaml`` below a folder; one set a data set is written to ``folder``.

    Raises:
        TunesmithError: nothing to import, a broken file, ``name`` for several sets, or a set that exists and
            ``replace`` is off. Nothing is written then.
    """
    found = _read(path)
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
    written = []
    for one, target in zip(found, targets, strict=True):
        if one.wordings:
            _write(one, target)
            written.append(target)
    refused = [f"{one.file}: {template}: {reason}" for one in found for template, reason in one.refused]
    return Imported(written, sum(len(one.wordings) for one in found), refused)


def _read(path: Path) -> list[Found]:
    if path.is_dir():
        files = sorted(path.rglob("templates.yaml"))
        if not files:
            raise TunesmithError(f"{path}: no file templates.yaml in this folder or below; name another one")
        return [promptsource.read(file) for file in files]
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; name a promptsource templates.yaml, a folder of them, or a list")
    # Only promptsource's files have tags, which stop a plain reader: look before reading.
    is_list = path.suffix == ".json" or not re.search(r"^templates:", path.read_text(encoding="utf-8"), re.MULTILINE)
    return formats.read(path) if is_list else [promptsource.read(path)]


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


def _write(found: Found, target: Path) -> None:
    """Write the set and read it again, so that what is counted as imported can be used."""
    data = _set(found, target.stem)
    built = parse(TemplateSet, data, target)
    with replacing(target) as temporary:
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
    """``value`` with texts of several lines as YAML blocks."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value
