"""Detect the format of rows by their columns and first values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.commands.row_formats import CHAT_NAMES, FORMATS, FORMS, Form
from flows.commands.suggest import Matched, match, match_set, words_of
from flows.commands.value_kinds import CONVERSATIONS, DESCRIBED, Kind, kinds_of, marks_turns, shown
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.template.library import known_sets, library_of, load_set
from tasks.text.rows import Row


@dataclass(frozen=True)
class Detected:
    """How rows become training rows.

    Attributes:
        format: name of a format, or of a template set whose columns the rows have; None if neither is clear.
        why: what shows it, or why it is not clear.
        matched: the template set and its columns; None if ``format`` is None.
    """

    format: str | None
    why: str
    matched: Matched | None

    @classmethod
    def unclear(cls, why: str, candidates: Sequence[str], rows: Sequence[Row]) -> Detected:
        """No format, or several; ``why`` ends with what the rows hold and how to go on."""
        lines = [
            f"the format is not clear: {why}",
            "the columns, each with a value:",
            *(f"  {one}" for one in seen(rows)),
        ]
        if candidates:
            lines.append(f"name one with {' or '.join(f'`--format {name}`' for name in candidates)}")
            return cls(None, "\n".join(lines), None)
        lines.append("name a format or a set of templates, or rename the columns to those of a format:")
        lines += [f"  --format {name}: {held}" for name, held in FORMATS.items()]
        return cls(
            None, "\n".join([*lines, "  --format SET: see `tunesmith templates list`; own sets: docs/data.md"]), None
        )


def detect(
    root: Path, every: Sequence[str], some: Sequence[str], rows: Sequence[Row], requested: str | None = None
) -> Detected:
    """Detect the format of the first ``rows`` of some files.

    A template set of the library wins if it has all its columns in the data, and more of them than a format.

    Args:
        every, some: columns that all rows have, and those that only some have.
        requested: name of a format or set; it is taken, if the rows can have it.

    Raises:
        TunesmithError: ``requested`` is unknown, or the rows lack columns of that format.
    """
    kinds = kinds_of(rows)
    usual = [column for column in [*every, *some] if 2 * sum(column in row for row in rows) >= len(rows)]
    if requested is not None:
        return _as_requested(root, requested, every, some, usual, kinds, rows)
    fitting = {}
    for form in FORMS:
        if form.format not in fitting and (matched := _fit(form, usual, [*every, *some], kinds, rows)):
            fitting[form.format] = matched
    fitting = _largest(fitting)
    library = match(root, every, some)
    whole = library if library and not library.lacking and not _is_format(library.set) else None
    if whole and all(len(whole.columns) > len(one.columns) for one in fitting.values()):
        return Detected(whole.set, f"the library's set {whole.set!r} has these columns", whole)
    if len(fitting) == 1:
        name, matched = next(iter(fitting.items()))
        return Detected(name, _why(matched, kinds), matched)
    if fitting:
        listed = "; or ".join(f"{name}, since {_why(one, kinds)}" for name, one in fitting.items())
        return Detected.unclear(f"several fit: {listed}", list(fitting), rows)
    if library and not _is_format(library.set):
        lacking = ", ".join(library.lacking)
        why = f"the rows have most columns of the library's set {library.set!r}; they lack {lacking}"
        return Detected(library.set, why, library)
    return Detected.unclear("no format and no template set has these columns with these values", [], rows)


def _largest(fitting: dict[str, Matched]) -> dict[str, Matched]:
    """The formats whose columns are no proper subset of another's: ``alpaca`` wins over its part ``input_output``."""
    columns = {name: set(matched.columns.values()) for name, matched in fitting.items()}
    return {name: one for name, one in fitting.items() if not any(columns[name] < other for other in columns.values())}


def _is_format(name: str) -> bool:
    return any(form.set == name for form in FORMS)


def _fit(
    form: Form, usual: Sequence[str], columns: Sequence[str], kinds: dict[str, Kind | None], rows: Sequence[Row]
) -> Matched | None:
    """The columns of ``form`` in the data; None if one is missing, or its values are of another kind."""
    mapped: dict[str, str] = {}
    for wanted, names in form.columns.items():
        allowed = form.kinds[wanted]
        fitting = [column for column in usual if kinds[column] in allowed and column not in mapped.values()]
        column = _named(names, fitting) if names else _conversation(fitting, usual)
        if column is None:
            return None
        mapped[wanted] = column
    lacking = []
    for wanted, names in form.optional.items():
        if (column := _named(names, [column for column in columns if column not in mapped.values()])) is not None:
            mapped[wanted] = column
        else:
            lacking.append(wanted)
    values = {wanted: text for wanted, text in form.values.items() if wanted in lacking}
    optional = tuple(wanted for wanted in form.optional if wanted in mapped)
    learned = [column for column in mapped.values() if kinds.get(column) in CONVERSATIONS]
    learn = "marked" if any(marks_turns(rows, column) for column in learned) else None
    return Matched(form.set, mapped, [], values, optional, learn)


def _named(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column of the first of ``names`` that the data has, regardless of case, plural and signs between words."""
    for name in names:
        for column in columns:
            if words_of(column) == words_of(name):
                return column
    return None


def _conversation(fitting: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column of conversations: the only candidate, else the one with a usual name; None if the rows are pairs."""
    if _named(("chosen",), columns) and _named(("rejected",), columns) and not _named(CHAT_NAMES, fitting):
        return None
    if _named(("prompt",), fitting) and _named(("completion", "response"), fitting):
        return None
    return fitting[0] if len(fitting) == 1 else _named(CHAT_NAMES, fitting)


def _why(matched: Matched, kinds: dict[str, Kind | None]) -> str:
    """Columns and the kinds of their values, as the end of a sentence."""
    needed = [column for wanted, column in matched.columns.items() if wanted not in matched.optional]
    parts = [f"`{column}` has {DESCRIBED[kind]}" for column in needed if (kind := kinds.get(column))]
    return " and ".join(parts)


def _as_requested(
    root: Path,
    requested: str,
    every: Sequence[str],
    some: Sequence[str],
    usual: Sequence[str],
    kinds: dict[str, Kind | None],
    rows: Sequence[Row],
) -> Detected:
    if requested in FORMATS:
        forms = [form for form in FORMS if form.format == requested]
        for form in forms:
            if matched := _fit(form, usual, [*every, *some], kinds, rows):
                return Detected(requested, f"`--format` names it and {_why(matched, kinds)}", matched)
        raise TunesmithError(
            f"data add: `--format {requested}` needs {FORMATS[requested]}; the rows have "
            f"{'; '.join(seen(rows))}; rename columns, or name another format"
        )
    sets = known_sets(library_of(root))
    if requested not in sets:
        known = [*FORMATS, *(name for name in sets if name not in FORMATS)]
        raise TunesmithError(
            f"data add: `--format` must be a format ({', '.join(FORMATS)}) or a template set "
            f"(`tunesmith templates list`); it is {requested!r}{did_you_mean(requested, known)}"
        )
    matched = match_set(requested, load_set(requested, library_of(root)), every, some)
    return Detected(requested, "`--format` names it", matched)


def seen(rows: Sequence[Row]) -> list[str]:
    """Each column with a value: ``talk: "Hello"``."""
    examples: Row = {}
    for row in rows:
        for column, value in row.items():
            if examples.get(column) in (None, "", []):
                examples[column] = value
    return [f"{column}: {shown(value)}" for column, value in examples.items()]
