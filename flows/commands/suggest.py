"""Suggest blocks for ``params/`` that fit the columns and names of added files, ready to paste."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flows.commands.params_file import yaml_lines
from flows.sources.parts import part_of
from tasks.core.params import read_yaml, value_at
from tasks.ingest.language import MOST, language_of
from tasks.template.library import TemplateSet, known_sets, library_of, load_set


@dataclass(frozen=True)
class Matched:
    """A template set for the columns of some files.

    Attributes:
        columns: column of the set → column of the files, of all that were found.
        lacking: columns that the set needs and no column of the files matches.
        values: column of the set → its text in every row.
        optional: columns of the set that a row may lack, although the set does not say so.
        learn: which turns of a conversation are learned; None for the default.
    """

    set: str
    columns: dict[str, str]
    lacking: list[str]
    values: dict[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    learn: str | None = None

    def template(self) -> dict[str, Any]:
        """``sources.S.template``."""
        renamed = {ours: theirs for ours, theirs in self.columns.items() if ours != theirs}
        stated = {"columns": renamed, "values": self.values, "learn": self.learn}
        return {"set": self.set} | {key: value for key, value in stated.items() if value}


@dataclass(frozen=True)
class Block:
    """Entries for a file of ``params/``.

    Attributes:
        file: its name without ending.
        key: key under which the entries go.
        entries: key → value; for ``evaluation_set`` the whole new list of ``sources``.
        notes: remarks, each a comment.
    """

    file: str
    key: str
    entries: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The block as it is printed, below the file and the key to which it belongs."""
        replaced = ", in place of its `sources`" if self.key == "evaluation_set" else ""
        comments = "".join(f"  # {note}\n" for note in self.notes)
        return f"# params/{self.file}.yaml, under the key `{self.key}`{replaced}:\n{_yaml(self.entries)}{comments}"


def blocks(
    root: Path,
    name: str,
    stems: Sequence[str],
    every: Sequence[str],
    matched: Matched | None,
    stated: Mapping[str, str] = MappingProxyType({}),
    texts: Mapping[str, Sequence[str]] | None = None,
    columns: Sequence[str] = (),
) -> list[Block]:
    """The blocks of ``params/`` for the source ``name``.

    Args:
        stems: names of its files without their endings.
        every: columns that all rows have.
        matched: the template set and its columns; None if no set is known.
        stated: keys of ``ingest`` that ``params/`` must state, such as a delimiter.
        texts: column → some of its texts, by which the language is recognised.
        columns: all columns, for a remark about those that are not used.
    """
    split = split_of(stems)
    template, notes = _template(matched, columns or every)
    language, of_language = _language(root, matched, texts or {})
    template, notes = template | language, [*notes, *of_language]
    needed = list(matched.columns.values()) if matched else every
    required = [column for column in every if column in needed]
    ingest = ({"required": required} if required else {}) | dict(stated)
    source = {"ingest": ingest, "template": template, "split": split}
    current = value_at(read_yaml(root / "params/evaluation.yaml"), "evaluation_set.sources") or []
    trained = [
        Block("mixtures", "mixtures", {name: {"sources": {name: {}}}}),
        Block("experiments", "experiments", {f"{name}_lora": {"method": "lora", "mixture": name}}),
    ]
    return [
        Block("sources", "sources", {name: source}, [*notes, *_split_notes(split, stems)]),
        *(trained if split["by"] == "hash" or "train" in split["files"] else []),
        Block("evaluation", "evaluation_set", {"sources": list(dict.fromkeys([*current, name]))}),
    ]


def match(root: Path, every: Sequence[str], some: Sequence[str]) -> Matched | None:
    """The set that fits best; None if for no set the main column and more than half of all columns are found."""
    library = library_of(root)
    ranked = []
    for number, name in enumerate(known_sets(library)):
        templates = load_set(name, library)
        if templates.conversational:  # the values of a column tell whether it holds conversations
            continue
        matched = match_set(name, templates, every, some)
        wanted = len(matched.columns) + len(matched.lacking)
        exact = sum(ours == theirs for ours, theirs in matched.columns.items())
        main = next(iter(templates.columns))
        if main in matched.columns and 2 * len(matched.lacking) < wanted:
            ranked.append((not matched.lacking, len(matched.columns) - len(matched.lacking), exact, -number, matched))
    return max(ranked, key=lambda one: one[:-1])[-1] if ranked else None


def match_set(name: str, templates: TemplateSet, every: Sequence[str], some: Sequence[str]) -> Matched:
    columns: dict[str, str] = {}
    for same in (_equal, _alike):  # equal names first: a similar name must not take their column
        for wanted in templates.columns:
            offered = [*every, *some] if wanted in templates.optional else every
            free = [column for column in offered if column not in columns.values()]
            if wanted not in columns and (matching := [column for column in free if same(wanted, column)]):
                columns[wanted] = matching[0]
    lacking = [c for c in templates.columns if c not in columns and c not in templates.optional]
    return Matched(name, {c: columns[c] for c in templates.columns if c in columns}, lacking)


def words_of(column: str) -> list[str]:
    """Lower-case words of a column's name, plural endings cut: ``abstractiveSummaries`` → abstractive, summary."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    words = re.findall(r"[^\W_]+", spaced.lower())
    return [re.sub(r"(?<=\w{3})s$", "", re.sub(r"ies$", "y", word)) for word in words]


def _equal(wanted: str, column: str) -> bool:
    return words_of(wanted) == words_of(column)


def _alike(wanted: str, column: str) -> bool:
    """One name has all words of the other: ``tags`` and ``ner_tags``."""
    ours, theirs = set(words_of(wanted)), set(words_of(column))
    return bool(ours and theirs) and (ours <= theirs or theirs <= ours)


def _template(matched: Matched | None, columns: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    if matched is None:
        return {"set": "NAME"}, [
            "no set of the library has these columns: name one instead of NAME (`tunesmith templates list`), map its",
            "columns with `columns: {COLUMN OF THE SET: COLUMN OF THE DATA}`, or write a set (docs/data.md)",
        ]
    free = [column for column in columns if column not in matched.columns.values()]
    return matched.template(), [
        f"the set needs {wanted!r} too: name its column under `columns` (unused: {', '.join(free) or 'none'}), or one "
        "text for all rows under `values`; other sets: `tunesmith templates list`"
        for wanted in matched.lacking
    ]


def _language(
    root: Path, matched: Matched | None, texts: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], list[str]]:
    """``language`` of the completions, or of all texts if they show none; empty if these do not either."""
    for columns in (completions_of(root, matched), list(texts)):
        read = [column for column in columns if texts.get(column)]
        # A long column would leave no room for the next one.
        language = language_of(" ".join(dict.fromkeys(texts[column]))[: MOST // len(read)] for column in read)
        if language is not None:
            return {"language": language}, [
                f"language: {language}, recognised in {', '.join(read)}; it decides how outputs are scored "
                "(docs/metrics.md); correct it if it is another"
            ]
    return {}, []


def completions_of(root: Path, matched: Matched | None) -> list[str]:
    """Columns of the files that completions of the set use and prompts do not."""
    if matched is None:
        return []
    templates = load_set(matched.set, library_of(root)).templates
    names = {name for one in templates if not one.inverted for name in one.columns() - one.prompt_columns()}
    return [column for name, column in matched.columns.items() if name in names]


def split_of(stems: Sequence[str]) -> dict[str, Any]:
    """``split`` by file if the name of each file states a part, else by hash."""
    files: dict[str, list[str]] = {}
    for stem in stems:
        if (part := part_of(stem)) is None:
            return {"by": "hash"}
        files.setdefault(part, []).append(stem)
    if "test" in files and ("train" in files or "validation" not in files):
        return {"by": "file", "files": _in_order(files)}
    if {"train", "validation"} == files.keys():  # validation rows can be cut from training ones, test rows cannot
        return {"by": "file", "files": {"train": files["train"], "test": files["validation"]}}
    return {"by": "hash"}


def _in_order(files: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {part: files[part] for part in ("train", "validation", "test") if part in files}


def _split_notes(split: dict[str, Any], stems: Sequence[str]) -> list[str]:
    if split["by"] == "hash":
        several = "; the names of the files do not tell train and test" if len(stems) > 1 else ""
        return [f"split: 80 % train, 10 % validation, 10 % test{several}"]
    files = split["files"]
    if "train" not in files:
        return ["split: a benchmark, which is only tested on"]
    if "validation" in files:
        return []
    note = "split: 10 % of the training rows become validation"
    return [note + ("; there is no test file, so the validation file is tested on" if _no_test(stems) else "")]


def _no_test(stems: Sequence[str]) -> bool:
    return all(part_of(stem) != "test" for stem in stems)


def _yaml(data: dict[str, Any]) -> str:
    """``data`` as YAML, indented once."""
    return "".join(f"  {line}\n" for line in yaml_lines(data))
