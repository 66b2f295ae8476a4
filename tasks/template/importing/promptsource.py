"""Read a promptsource ``templates.yaml`` without promptsource.

Format: bigscience-workshop/promptsource 0.2.3, ``promptsource/templates.py``. ``jinja`` holds prompt and completion,
``answer_choices`` holds the choices, both separated by ``|||``; both are rendered with a row of the data set.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import TemplateSyntaxError, nodes

from tasks.core.errors import TunesmithError
from tasks.template.compiled import split_choices
from tasks.template.environment import ENVIRONMENT, PRIVATE_SEPARATOR, SEPARATOR, names_in, reserved_problem
from tasks.template.importing.parsed import ParsedSet, ParsedTemplate, compile_problem, in_order

LICENSE = "Of the templates, Apache-2.0 (promptsource); of the data, see its own page."

_METRICS = {
    "accuracy": ["accuracy"],
    "rouge": ["rouge"],
    "bleu": ["bleu"],
    "squad": ["exact_match", "token_f1"],
    "coqa f1": ["token_f1"],
    "pearson correlation": ["pearson"],
    "spearman correlation": ["spearman"],
}
"""promptsource's name of a metric → names of ``METRICS``; AUC, Edit Distance, Mean Squared Error, Other have none."""

_EXTRACTIVE = {"squad", "coqa f1"}
"""Metrics of tasks whose answers are spans of the passage."""


class _Loader(yaml.SafeLoader):
    """A safe loader that reads promptsource's two tags as plain mappings."""


for _tag in ("!Template", "!TemplateMetadata"):
    _Loader.add_constructor(_tag, lambda loader, node: loader.construct_mapping(node, deep=True))


def read(path: Path) -> ParsedSet:
    """Read the templates of one file.

    Raises:
        TunesmithError: the file is not valid YAML, or holds no ``templates``.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TunesmithError(f"{path}: not valid YAML: {' '.join(str(error).split())}; restore the file") from None
    templates = data.get("templates") if isinstance(data, dict) else None
    if not isinstance(templates, dict):
        raise TunesmithError(
            f"{path}: a promptsource file must map `templates` to its templates; it does not; name another file"
        )
    data_set = "/".join(str(data[key]) for key in ("dataset", "subset") if data.get(key))
    name = data_set or path.parent.name
    parsed = ParsedSet(
        path, name, f"Prompts for {name}, imported from promptsource. Look at them before you use them.", LICENSE
    )
    for key, template in templates.items():
        title = str(template.get("name") or key) if isinstance(template, dict) else str(key)
        try:
            parsed.templates.append(_convert(title, template))
        except ValueError as error:
            parsed.refused.append((title, str(error)))
    return parsed


def _convert(name: str, template: Any) -> ParsedTemplate:
    """Convert one template of the file.

    Raises:
        ValueError: the template cannot be imported; the message is the reason.
    """
    text = template.get("jinja") if isinstance(template, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError("it has no text (`jinja`)")
    if SEPARATOR not in text:
        raise ValueError(f"it has no completion (no {SEPARATOR} in it)")
    choices = template.get("answer_choices")
    if choices is not None and not isinstance(choices, str):
        raise ValueError(f"answer_choices must be a text; it is a {type(choices).__name__}")
    _refuse(compile_problem(text, choices))
    columns = names_in(text) | names_in(choices or "")
    _refuse(reserved_problem(columns) if columns else "it uses no column")
    prompt, completion, prompt_columns = _parts(text)
    _refuse(compile_problem(prompt, completion))
    fields = {
        "prompt": prompt,
        "completion": completion,
        **_choices(choices),
        **_metadata(template.get("metadata") or {}),
    }
    return ParsedTemplate(name, columns, prompt_columns, fields)


def _refuse(problem: str | None) -> None:
    if problem:
        raise ValueError(problem)


def _parts(text: str) -> tuple[str, str, list[str] | None]:
    """Prompt, completion, and the prompt's columns; None if the two parts cannot be separated before rendering.

    Each part renders the whole text, and keeps its own part of the result, in two cases: the separator is inside a
    block (``{% if %}``), or the completion uses a variable that the prompt sets.
    """
    prompt, completion = text.split(SEPARATOR, 1)
    if SEPARATOR not in completion:
        try:
            prompt_names, completion_names = names_in(prompt), names_in(completion)
            together = prompt_names | completion_names == names_in(text)
            if together and not _set_in(prompt) & completion_names:
                return prompt.strip(), completion.strip(), in_order(prompt, prompt_names)
        except TemplateSyntaxError:
            pass
    whole = "{% set whole %}" + text.strip().replace(SEPARATOR, PRIVATE_SEPARATOR) + "{% endset %}"
    first = f"{{{{ whole.split('{PRIVATE_SEPARATOR}')[0] | trim }}}}"
    second = f"{{{{ (whole ~ '{PRIVATE_SEPARATOR}').split('{PRIVATE_SEPARATOR}')[1] | trim }}}}"
    return whole + first, whole + second, None


def _set_in(text: str) -> set[str]:
    """Names that a Jinja2 text sets; if one is a column's name, the completion sees the new value."""
    return {name.name for name in ENVIRONMENT.parse(text).find_all(nodes.Name) if name.ctx == "store"}


def _choices(text: str | None) -> dict[str, Any]:
    """The field ``answer_choices``: a list if the choices are the same in every row."""
    if not text or not text.strip():
        return {}
    if names_in(text):
        return {"answer_choices": text.strip()}
    try:
        return {"answer_choices": split_choices(text)({})}
    except Exception as error:  # a template is foreign code
        raise ValueError(f"answer_choices cannot be rendered: {error}") from None


def _metadata(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata must be a mapping; it is a {type(metadata).__name__}")
    listed = metadata.get("metrics") or []
    if not isinstance(listed, list):
        raise ValueError(f"metrics must be a list of names; it is a {type(listed).__name__}")
    given = [re.sub(r"\s+", " ", str(name)).strip().lower() for name in listed]
    metrics = list(dict.fromkeys(ours for name in given for ours in _METRICS.get(name, [])))
    fields: dict[str, Any] = {"metrics": metrics} if metrics else {}
    if metadata.get("original_task") is False:
        fields["inverted"] = True
    if _EXTRACTIVE & set(given):
        fields["extractive"] = True
    return fields
