"""The proof that ``data add`` prints: format and why, mapping, three rendered rows, what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flows.commands.oddities import byte_count, texts_in
from flows.commands.suggest import Matched
from flows.commands.template_text import row_text
from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.model.rendering import Renderer
from tasks.template.library import TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.validate import Report
from tasks.text.rows import Row

_RENDERED = 20
"""First rows that are rendered, for the number of tokens; the first ``_SHOWN`` are printed."""

_SHOWN, _LINES, _WIDTH = 3, 24, 240


class First(NamedTuple):
    """One of the first rows, with its location."""

    file: str
    line: int
    row: Row


@dataclass(frozen=True)
class Rendered:
    """The first rows as the model learns them.

    Attributes:
        lines: three of them, or why there are none.
        bytes_per_token: bytes of the columns that templates use, per token of their texts; None without a tokenizer.
        fixed_tokens: mean number of tokens that a row has besides, of its templates.
    """

    lines: list[str]
    bytes_per_token: float | None = None
    fixed_tokens: float = 0.0


def rendered(
    first: Sequence[First], source: str, templates: TemplateSet, params: TemplateParams, renderer: Renderer | None
) -> Rendered:
    """Render the first rows with the templates of ``params``; learned text is in ``[[…]]``."""
    names = dict.fromkeys(column for one in first for column in one.row)
    columns = [params.columns.get(column, column) for column in templates.columns if column not in params.values]
    shown: list[str] = []
    problem = ""
    counts: list[tuple[int, int, int]] = []  # of a row: bytes of its texts, their tokens, all tokens
    for one in first[:_RENDERED]:
        try:
            for row in render([{**names, **one.row, **_own(one)}], source, templates, params, Report()):
                if len(shown) < _SHOWN:
                    shown.append(f"-- {one.file}:{one.line}\n{_cut(row_text(renderer, row))}")
                if renderer is not None:
                    own = texts_in(one.row, columns)
                    tokens = sum(len(renderer.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in own)
                    counts.append((sum(map(byte_count, own)), tokens, len(renderer.encode_row(row))))
        except TunesmithError as error:
            problem = problem or f"a row cannot be rendered: {error}"
    lines = [*(shown or ["none of the first rows can be rendered"]), *([problem] if problem else [])]
    size, tokens, whole = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
    return Rendered(lines, size / tokens, max(0, whole - tokens) / len(counts)) if tokens else Rendered(lines)


def _own(one: First) -> Row:
    return {"row_id": digest([one.file, one.line])[:24], "source_file": one.file, "source_line": one.line}


def _cut(text: str) -> str:
    """``text`` without the middle of long lines, and of many lines; the learned text often is a line of its own."""
    lines = [
        line if len(line) <= _WIDTH else f"{line[: _WIDTH // 2]} … {line[-_WIDTH // 2 :]}" for line in text.split("\n")
    ]
    if len(lines) > _LINES:
        lines[_LINES // 2 : -_LINES // 2] = ["…"]
    return "\n".join(lines)


def mapping_line(matched: Matched, columns: Sequence[str]) -> str:
    """``question → prompt, answer → completion (template set prompt_completion); unused: id``."""
    mapped = ", ".join(f"{theirs} → {ours}" for ours, theirs in matched.columns.items())
    texts = "".join(f", {text!r} → {column}" for column, text in matched.values.items())
    unused = [column for column in columns if column not in matched.columns.values()]
    return f"{mapped}{texts} (template set {matched.set}); unused: {', '.join(unused) or 'none'}"
