"""Typed, frozen parameters read from YAML 1.2 (the dialect that DVC reads, where ``2e-3`` is a number)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tasks.core.errors import TunesmithError
from tasks.core.remedies import annotation_at, model_in, remedy_for


class Params(BaseModel):
    """Base of every parameter model: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


P = TypeVar("P", bound=Params)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        TunesmithError: the file is missing, is not UTF-8, is not valid YAML, or holds no mapping.
    """
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TunesmithError(f"{path}: no such file; create it or restore it with git") from None
    except UnicodeDecodeError as error:
        raise TunesmithError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except MarkedYAMLError as error:
        if (mark := conflict_mark(path)) is not None:
            raise TunesmithError(f"{path}:{mark}: {CONFLICT}; keep one side and remove the marks") from None
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise TunesmithError(f"{path}:{line}: not valid YAML: {error.problem}; fix that line") from None
    except YAMLError as error:
        raise TunesmithError(f"{path}: not valid YAML: {' '.join(str(error).split())}; correct the file") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise TunesmithError(
            f"{path}: must be a mapping of keys to values; it is a {type(data).__name__}; correct the file"
        )
    return data


CONFLICT = "the marks of a merge conflict begin here"

_MARK = re.compile(r"(<<<<<<<|\|\|\|\|\|\|\||>>>>>>>)( |$)|=======$")


def conflict_mark(path: Path) -> int | None:
    """The line of the first mark of a merge conflict; None if the file has none. Git writes no space before a mark."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if _MARK.match(line)), None)


def value_at(data: Any, key: str) -> Any:
    """The value at a dotted key such as ``sources.demo.split``; None if there is none."""
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def write_yaml(path: Path, data: dict[str, Any]) -> None:
    """Write ``data`` with its keys in the order given."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(data, file)


Origin = tuple[Path | str, str]
"""The file and the key that a value comes from."""


def parse(model: type[P], data: Any, file: Path | str, key: str = "") -> P:
    """Validate ``data`` (the value at ``key`` of ``file``) as ``model``.

    Raises:
        TunesmithError: ``data`` is wrong; the error has one line per problem, not only the first.
    """
    return parse_merged(model, data, lambda location: (file, key))


def parse_merged(model: type[P], data: Any, origin: Callable[[tuple[Any, ...]], Origin]) -> P:
    """As ``parse``; ``origin`` gives the file and key of the value at a location of ``data``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_line(problem, model, *origin(problem["loc"])) for problem in error.errors()]
        raise TunesmithError("\n".join(lines)) from None


def load(model: type[P], path: Path, *keys: str) -> P:
    """Read the section ``keys`` of the YAML file ``path`` and check it against the parameter class ``model``.

    An empty section counts as ``{}``.

    Raises:
        TunesmithError: the section is missing, or is not a valid ``model``.
    """
    data: Any = read_yaml(path)
    for depth, key in enumerate(keys):
        if not isinstance(data, dict) or key not in data:
            known = ", ".join(map(str, data)) if isinstance(data, dict) else "nothing"
            raise TunesmithError(f"{path}: {'.'.join(keys[: depth + 1])}: no such key; there is: {known}")
        data = data[key]
    return parse(model, {} if data is None else data, path, ".".join(keys))


def _line(problem: Any, model: type[Params], file: Path | str, key: str) -> str:
    where = ".".join(str(part) for part in (*filter(None, [key]), *problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = ", ".join(_known_keys(model, problem["loc"][:-1]))
        return f"{file}: {where}: unknown key; known here: {known}"
    if problem["type"] == "missing":
        return f"{file}: {where}: this key is required; add it"
    if problem["type"] in _SHAPES:
        shape, value = _SHAPES[problem["type"]], problem["input"]
        remedy = remedy_for(annotation_at(model, problem["loc"]), value)
        location = f"{file}: {where}" if where else f"{file}"
        return f"{location}: must be {shape}; it is {'empty' if value is None else repr(value)}{remedy}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{file}: {where}: {message}" if where else f"{file}: {message}"
    return f"{file}: {where}: {message[0].lower() + message[1:]}; it is {problem['input']!r}"


_SHAPES = {
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "list_type": "a list",
}
"""Type of pydantic's error → the shape that the value needs."""


def _known_keys(model: type[Params], location: tuple[Any, ...]) -> list[str]:
    """The keys of the model nested at ``location``; those of ``model`` if the annotations name no nested model."""
    return sorted((model_in(annotation_at(model, location)) or model).model_fields)


def merge(defaults: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``defaults``, updated by ``patch`` at every depth of nested mappings."""
    merged = dict(defaults)
    for key, value in patch.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
