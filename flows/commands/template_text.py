"""Text of template sets and rendered rows, for ``tunesmith templates list``, ``show`` and ``render``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.bases import available_base
from tasks.core.errors import TunesmithError
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.model.base_models import find_on_disk, load_tokenizer
from tasks.model.chat import CHAT_DATE
from tasks.model.rendering import Renderer
from tasks.resolve.params import TrainingDefaults
from tasks.resolve.pins import load_default_base
from tasks.template.library import Template, TemplateSet, known_sets, library_of, load_set
from tasks.template.render import render
from tasks.template.source_rows import raw_row, template_params
from tasks.template.validate import Report
from tasks.text.rows import Row


@dataclass(frozen=True)
class Listed:
    """One template of the library, for a table."""

    set: str
    id: str
    task: str
    inverted: bool
    metrics: list[str]


def listed(root: Path) -> list[Listed]:
    """Every template of every set."""
    library = library_of(root)
    sets = {name: load_set(name, library) for name in known_sets(library)}
    return [
        Listed(name, template.id, templates.task_of(template), template.inverted, templates.metrics_of(template))
        for name, templates in sets.items()
        for template in templates.templates
    ]


def described(root: Path, name: str, template: str | None = None) -> str:
    """A set with its columns, and the text of all its templates or of one.

    Raises:
        TunesmithError: there is no such set, or no such template in it.
    """
    templates = load_set(name, library_of(root))
    chosen = [t for t in templates.templates if template in (None, t.id)]
    if not chosen:
        raise TunesmithError(
            f"templates show: no template {template!r} in set {name!r}; there are: "
            f"{', '.join(t.id for t in templates.templates)}"
        )
    head = [name, templates.description, f"license: {templates.license or 'not stated'}", "columns:"]
    head += [
        f"  {column}{' (optional)' if column in templates.optional else ''}: {meaning}"
        for column, meaning in templates.columns.items()
    ]
    return "\n".join([*head, *(_variant_text(templates, t) for t in chosen)])


def _variant_text(templates: TemplateSet, template: Template) -> str:
    marks = [mark for mark in ("inverted", "extractive") if getattr(template, mark)]
    choices = template.answer_choices
    task, metrics = ", ".join([templates.task_of(template), *marks]), ", ".join(templates.metrics_of(template))
    lines = ["", f"-- {template.id}: {task}; {metrics}"]
    if template.messages is not None:
        lines += [f"messages: {template.messages}", *([f"tools: {template.tools}"] if template.tools else [])]
    else:
        lines += [template.prompt or "", f">> {template.completion or template.references}"]
    if choices:
        lines.append(f">> one of: {choices if isinstance(choices, str) else ', '.join(choices)}")
    return "\n".join(lines)


def base_renderer(paths: Paths) -> tuple[Renderer, int]:
    """The default base model's renderer, and the most tokens that prompt and completion may have.

    Raises:
        TunesmithError: the base model is missing, or params/training.yaml is wrong.
    """
    file = paths.params / "training.yaml"
    defaults = load(TrainingDefaults, file).defaults
    base = available_base(load_default_base(paths), paths.root)
    date = str(defaults.get("chat_date") or CHAT_DATE)
    return Renderer(load_tokenizer(base), base.kind, date), int(defaults["max_length"])


def rendered_row(paths: Paths, source: str, number: int, every: bool) -> str:
    """Row ``number`` of a source, rendered with its template or with ``every`` one; supervised text is in ``[[…]]``.

    Raises:
        TunesmithError: no such source or row, or a template fails on it.
    """
    params = template_params(paths, source)
    if every:
        params = params.model_copy(update={"assign": "all"})
    row = raw_row(paths, source, number)
    report = Report()
    rows = list(render([row], source, load_set(params.set, library_of(paths.root)), params, report))
    show, note = _shown(paths)
    blocks = [f"{source} row {number} ({row['source_file']}:{row['source_line']}), set {params.set}"]
    blocks += [f"-- {r['template_id']} ({r['task']})\n{show(r)}{_also(r)}" for r in rows]
    blocks += [f"dropped: {reason}, at {report.first[reason]}" for reason in report.dropped]
    return "\n\n".join([*blocks, *note])


def _shown(paths: Paths) -> tuple[Callable[[Row], str], list[str]]:
    """A function that shows a row with its mask, and a note if there is no tokenizer."""
    try:
        renderer, _ = base_renderer(paths)
    except TunesmithError as error:
        return lambda row: row_text(None, row), [f"text only, no tokens: {error}"]
    return lambda row: row_text(renderer, row), []


def row_text(renderer: Renderer | None, row: Row) -> str:
    """A rendered row with its supervised text in ``[[…]]``; without a renderer, its text columns."""
    if renderer is None:
        return f"{row['prompt']}\n[[{row['completion']}]]"
    return renderer.marked(renderer.encode_row(row))


def available_renderer(paths: Paths) -> tuple[Renderer | None, int | None]:
    """As ``base_renderer``, but nothing is downloaded, converted or hashed: None if that would be needed.

    Rows are then shown as text. What is wrong with the base model is an error of ``tunesmith plan``.
    """
    try:
        file = paths.params / "training.yaml"
        defaults = load(TrainingDefaults, file).defaults
        base = find_on_disk(load_default_base(paths), paths.root)
        limit, date = int(defaults["max_length"]), str(defaults.get("chat_date") or CHAT_DATE)
        return None if base is None else Renderer(load_tokenizer(base), base.kind, date), limit
    except (TunesmithError, OSError, ValueError):  # a folder without the files of a tokenizer
        return None, None


def _also(row: Row) -> str:
    others = row["references"][1:]
    accepted = f"\nalso accepted: {' | '.join(others)}" if others else ""
    choices = f"\nanswer choices: {', '.join(row['answer_choices'])}" if row["answer_choices"] else ""
    return accepted + choices
