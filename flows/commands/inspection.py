"""Look once at every row of new files, to detect their format and to prove it."""

from __future__ import annotations

from collections.abc import Sequence

from flows.commands.detect import Detected, detect
from flows.commands.oddities import Checked, Oddities
from flows.commands.proof import First, Rendered, mapping_line, rendered
from flows.commands.suggest import Matched, completions_of
from flows.commands.template_text import available_renderer
from flows.sources.stated import stated_template
from tasks.core.errors import TunesmithError
from tasks.core.params import parse
from tasks.core.paths import Paths
from tasks.model.control_tokens import control_tokens
from tasks.model.rendering import Renderer
from tasks.template.library import TemplateSet, library_of, load_set
from tasks.template.params import TemplateParams
from tasks.text.rows import Row

SAMPLED = 200
"""First rows that decide on the format."""

_BYTES_PER_TOKEN = 4.0
"""Without a tokenizer: bytes of English text per token."""


class Inspection:
    """The first ``SAMPLED`` rows, and of every later row only its line number and a hash.

    Args:
        requested: the value of ``--format``.
    """

    def __init__(self, paths: Paths, name: str, requested: str | None) -> None:
        self._paths, self._name, self._requested = paths, name, requested
        self._first: list[First] = []
        self._stated = stated_template(paths.root, name)
        self._renderer: Renderer | None = None
        self._limit: int | None = None
        self._rendered = Rendered([])
        self._oddities: Oddities | None = None

    def add(self, file: str, line: int, row: Row) -> None:
        """Look at a row.

        Raises:
            TunesmithError: as ``detect``.
        """
        if self._oddities is not None:
            self._oddities.add(file, line, row)
            return
        self._first.append(First(file, line, row))
        if len(self._first) == SAMPLED:
            self._decide()

    def detected(self, every: Sequence[str], some: Sequence[str]) -> Detected:
        """The format, by the columns of all rows; a set that ``params/sources.yaml`` states comes first.

        Raises:
            TunesmithError: as ``detect``.
        """
        stated, root = self._stated, self._paths.root
        if stated is None:
            return detect(root, every, some, [one.row for one in self._first], self._requested)
        if self._requested is not None:
            raise TunesmithError(
                f"params/sources.yaml: sources.{self._name}.template: the source has the set {stated.set!r}, so "
                "`--format` cannot be given; change the template in that file, and leave `--format` out"
            )
        templates = load_set(stated.set, library_of(root))
        columns = {column: stated.columns.get(column, column) for column in templates.columns}
        present = {*every, *some, *(theirs for ours, theirs in columns.items() if ours not in templates.optional)}
        columns = {ours: theirs for ours, theirs in columns.items() if theirs in present and ours not in stated.values}
        matched = Matched(stated.set, columns, [], stated.values, learn=stated.learn)
        return Detected(stated.set, "params/sources.yaml names this set", matched)

    def proof(self, detected: Detected, columns: Sequence[str]) -> list[str]:
        """The lines that prove it; ``columns`` are those of all rows."""
        oddities = self._oddities or self._decide()
        odd = [f"  {line}" for line in oddities.lines(self._remark())]
        odd = ["odd:", *odd] if odd else ["odd: nothing"]
        if detected.matched is None:
            return [detected.why, *odd]
        text_only = "" if self._renderer else " (as text: the tokenizer of the base model is not on this disk yet)"
        return [
            f"format: {detected.format}, since {detected.why}",
            f"mapped: {mapping_line(detected.matched, columns)}",
            f"rows as the model gets them; it learns what is in [[…]]{text_only}:",
            *self._rendered.lines,
            *odd,
        ]

    def _decide(self) -> Oddities:
        """Detect by the first rows, render some, and look at all of them."""
        self._renderer, self._limit = available_renderer(self._paths)
        names = list(dict.fromkeys(column for one in self._first for column in one.row))
        every = [column for column in names if all(column in one.row for one in self._first)]
        matched = self.detected(every, [column for column in names if column not in every]).matched
        checked = Checked((), (), (), names)
        if matched is not None:
            templates = load_set(matched.set, library_of(self._paths.root))
            if not matched.lacking:
                params = self._stated or parse(TemplateParams, matched.template(), "data add")
                self._rendered = rendered(self._first, self._name, templates, params, self._renderer)
            checked = self._checked(matched, templates)
        self._oddities = Oddities(checked)
        for one in self._first:
            self._oddities.add(*one)
        return self._oddities

    def _checked(self, matched: Matched, templates: TemplateSet) -> Checked:
        may_lack = {*templates.optional, *matched.optional}
        needed = [theirs for ours, theirs in matched.columns.items() if ours not in may_lack]
        chats = _conversations(matched) if templates.conversational else []
        main = matched.columns.get(next(iter(templates.columns)))
        texts = dict.fromkeys([*([main] if main else []), *completions_of(self._paths.root, matched)])
        tokens = control_tokens(self._renderer.tokenizer) if self._renderer else ()
        return Checked(
            needed,
            [column for column in texts if column not in chats],
            chats,
            list(matched.columns.values()),
            tokens,
            self._max_bytes(),
            matched.learn == "marked",
        )

    def _max_bytes(self) -> float | None:
        if self._limit is None:
            return None
        each, fixed = self._rendered.bytes_per_token or _BYTES_PER_TOKEN, self._rendered.fixed_tokens
        return max(0.0, self._limit - fixed) * each

    def _remark(self) -> str:
        """How the length of a row is estimated."""
        if self._limit is None:
            return ""
        each, fixed = self._rendered.bytes_per_token or _BYTES_PER_TOKEN, self._rendered.fixed_tokens
        return f"{self._limit:,} tokens, estimated by {each:.1f} bytes per token and {fixed:.0f} tokens of the template"


def _conversations(matched: Matched) -> list[str]:
    """The columns that hold whole conversations."""
    whole = "messages" if "messages" in matched.columns else "chosen"
    return [matched.columns[whole]] if whole in matched.columns and "prompt" not in matched.columns else []
