"""Remedies for a plain value in a parameter file that needs a mapping or a list.

For ``base_model: NAME`` the remedy is ``write `{name: NAME}```, derived from the pydantic models of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML


@dataclass(frozen=True)
class PatchOf:
    """In ``Annotated[dict[str, Any], PatchOf(Model)]``: the mapping holds some keys of ``Model``."""

    model: type[BaseModel]


def remedy_for(annotation: Any, value: Any) -> str:
    """``; write `{name: NAME}```: the user's value in the shape that ``annotation`` needs; empty if none fits."""
    if value is None and (model := model_in(annotation)):
        return f"; write `{_flow(_required(model))}`" if _required(model) else ""
    wrapped = _wrapped(annotation, value)
    if wrapped is not _MISFIT:
        return f"; write `{_flow(wrapped)}`"
    model = model_in(annotation)
    return f"; known here: {', '.join(sorted(model.model_fields))}" if model else ""


_MISFIT: Any = object()


def _wrapped(annotation: Any, value: Any) -> Any:
    """``value`` inside the mapping or list that ``annotation`` needs; ``_MISFIT`` if the key is unclear."""
    for option in _options(annotation):
        origin, arguments = get_origin(option), get_args(option)
        if model := model_in(option):
            wrapped = _in_model(model, value, patch=isinstance(option, PatchOf))
        elif origin is list:
            wrapped = list(value) if isinstance(value, dict) else [value]
            wrapped = wrapped if _fits(option, wrapped) else _MISFIT
        elif origin is dict:
            wrapped = _in_dict(arguments, value)
        else:
            continue
        if wrapped is not _MISFIT:
            return wrapped
    return _MISFIT


def _in_model(model: type[BaseModel], value: Any, patch: bool) -> Any:
    """``value`` as the most likely field of ``model``: the first field, or the next one that accepts it unchanged.

    Every text field accepts a text. So for a text, only required fields and fields with a few allowed words count.
    """
    (first, *others) = [(name, _annotated(field), field.is_required()) for name, field in model.model_fields.items()]
    candidates = [(first[0], value if _fits(first[1], value) else _wrapped(first[1], value))]
    candidates += [
        (name, value)
        for name, annotation, required in others
        if _fits(annotation, value) and (not isinstance(value, str) or required or _literal(annotation))
    ]
    name, wrapped = next((pair for pair in candidates if pair[1] is not _MISFIT), ("", _MISFIT))
    return _MISFIT if wrapped is _MISFIT else ({} if patch else _required(model)) | {name: wrapped}


def _in_dict(arguments: tuple[Any, ...], value: Any) -> Any:
    """``{train: VALUE}`` for known keys, ``{VALUE: {}}`` for models by name, ``{KEY: VALUE}`` for plain values."""
    keys, values = arguments
    if known := _literal(keys):
        inner = value if _fits(values, value) else _wrapped(values, value)
        return _MISFIT if inner is _MISFIT else {known[0]: inner}
    names = value if isinstance(value, list) else [value]
    model = model_in(values)
    if model and names and all(isinstance(name, str) for name in names):
        return {name: _required(model) for name in names}
    return {"KEY": value} if _fits(values, value) and values is not Any else _MISFIT


def _fits(annotation: Any, value: Any) -> bool:
    """Whether the annotation accepts the value unchanged: an integer is not taken for a float."""
    try:
        return type(TypeAdapter(annotation).validate_python(value, strict=True)) is type(value)
    except (ValidationError, PydanticUserError):
        return False


def _required(model: type[BaseModel]) -> dict[str, Any]:
    return {name: name.upper() for name, field in model.model_fields.items() if field.is_required()}


def _flow(value: Any) -> str:
    """One line of YAML."""
    yaml, text = YAML(), StringIO()
    yaml.default_flow_style, yaml.width = True, 10_000
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.dump(value, text)
    return text.getvalue().strip()


def annotation_at(model: type[BaseModel], location: tuple[Any, ...]) -> Any:
    """The annotation at ``location``; parts that name a branch of a union are skipped."""
    current: Any = model
    for part in location:
        for option in _options(current):
            origin, fields = get_origin(option), getattr(model_in(option), "model_fields", {})
            if part in fields:
                current = _annotated(fields[part])
                break
            if (origin is dict and not isinstance(part, int)) or (origin is list and isinstance(part, int)):
                current = get_args(option)[-1]
                break
    return current


def _annotated(field: FieldInfo) -> Any:
    """A field's type with its constraints."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _options(annotation: Any) -> list[Any]:
    """The types that an annotation allows; a ``PatchOf`` comes before the dictionary that it describes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return [*(part for part in arguments[1:] if isinstance(part, PatchOf)), *_options(arguments[0])]
    if origin in (Union, UnionType):
        return [option for argument in arguments for option in _options(argument)]
    return [annotation]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that an annotation allows."""
    for option in _options(annotation):
        if isinstance(option, PatchOf):
            return option.model
        if _is_model(option):
            return cast("type[BaseModel]", option)
    return None


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _literal(annotation: Any) -> tuple[Any, ...]:
    """The words of a ``Literal``."""
    return next((get_args(option) for option in _options(annotation) if get_origin(option) is Literal), ())
