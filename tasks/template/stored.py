"""A source's templates as JSON, kept with its rows and models, to render prompts as ``template@S`` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.core.params import Params
from tasks.template.compiled import Compiled, choose, columns_of, compile_chosen, messages_and_tools
from tasks.template.conversation import prompt_of
from tasks.template.environment import CHOICE_KEY, plain
from tasks.template.library import Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.text.rows import Row, without_nan


class SourceTemplates(Params):
    """The prompts of one source's templates, without completions.

    Attributes:
        set: the templates in use, in the order of ``template.use`` or of their file, with the columns of their prompts.
        columns: column of the set → column of the source, if the names differ.
        values: column of the set → its text in every row.
        seed: seed of random choices inside templates.
    """

    set: TemplateSet
    columns: dict[str, str]
    values: dict[str, str]
    seed: int

    def names(self) -> list[str]:
        """Columns that a row may have: by their names in the source, then by other names in the set."""
        own = [name for name in self.set.columns if name not in self.values]
        return list(dict.fromkeys([*(self.columns.get(name, name) for name in own), *own]))


def stored(templates: TemplateSet, params: TemplateParams, source: str) -> SourceTemplates:
    """The templates with which ``template@SOURCE`` renders prompts."""
    chosen = [
        Template.of_text(one.id, one.text).model_copy(
            update={"task": templates.task_of(one), "answer_choices": _of_prompt(one)}
        )
        for one in choose(templates, params, source)
    ]
    return _source(
        source,
        chosen,
        [name for name in templates.columns if any(name in one.columns() for one in chosen)],
        templates.optional,
        params,
    )


def of_texts(source: str, texts: dict[str, str]) -> SourceTemplates:
    """Templates from their prompts alone: ``texts`` is template id → ``Template.text``."""
    chosen = [Template.of_text(name, text) for name, text in texts.items()]
    names = sorted({name for one in chosen for name in one.prompt_columns()})
    return _source(source, chosen, names or ["text"], [], TemplateParams(set=source))


def _of_prompt(template: Template) -> list[str] | str | None:
    """The answer choices, if the prompt shows them; else None, so that a row may lack their columns."""
    return template.answer_choices if "answer_choices" in template.text else None


def _source(
    source: str, chosen: list[Template], columns: list[str], optional: list[str], params: TemplateParams
) -> SourceTemplates:
    return SourceTemplates(
        set=TemplateSet(
            name=source,
            task=chosen[0].task or source,
            description="",
            columns=dict.fromkeys(columns, ""),
            optional=[name for name in optional if name in columns],
            required=[],
            templates=chosen,
        ),
        columns={name: column for name, column in params.columns.items() if name in columns},
        values={name: text for name, text in params.values.items() if name in columns},
        seed=params.seed,
    )


@dataclass(frozen=True)
class Prompt:
    """One template, ready to render.

    Attributes:
        name: ``SOURCE/ID``.
        task: task of the template.
        compiled: the compiled template, which renders rows.
        source: all templates of its source.
    """

    name: str
    task: str
    compiled: Compiled
    source: SourceTemplates

    @property
    def conversational(self) -> bool:
        """Whether it renders conversations."""
        return self.compiled.messages is not None

    @property
    def takes_messages(self) -> bool:
        """Whether it renders conversations from the set's column ``messages``."""
        return self.conversational and "messages" in self.compiled.template.columns()

    @property
    def columns(self) -> list[str]:
        """Columns that a row must have, in the source's names; of a conversation, those that it may have."""
        needed = self.compiled.template.columns() - self.source.values.keys()
        return [self.source.columns.get(name, name) for name in self.source.set.columns if name in needed]

    def lacks(self, row: Row) -> list[str]:
        """Columns that this template needs and the row lacks.

        An empty value of an optional column counts as lacking: ``template@S`` does not use this template for the row
        either. A conversation lacks nothing if the row has any message to answer.
        """
        row = self._renamed(row)
        if self.conversational:
            return self._lacks_messages(row)
        optional = {self.source.columns.get(name, name) for name in self.compiled.needs}
        return [
            name
            for name in self.columns
            if name not in row or (name in optional and not plain(without_nan(row[name])).strip())
        ]

    def _lacks_messages(self, row: Row) -> list[str]:
        own = [name for name in self.columns if plain(without_nan(row.get(name))).strip()]
        try:
            return [] if own and self.render(row, "")["prompt"] else self.columns
        except TunesmithError:
            return []  # rendering it raises the error with the row's location

    def render(self, row: Row, where: str) -> Row:
        """The columns ``prompt``, ``messages`` and ``tools`` of a row that lacks no column; ``prompt`` may be empty.

        Raises:
            TunesmithError: the template fails on this row.
        """
        row = self._renamed(row)
        if self.conversational:
            row = {**dict.fromkeys(self.columns), **row}
        values = columns_of(row, self._set(), self._params(), where)
        # A row with an id gets the same random choices as in training; another row's choices follow from its content.
        identity = row.get("row_id") or digest(plain(list(values.values())))[:24]
        choice_key = [self.source.seed, identity]
        if self.conversational:
            return prompt_of(*messages_and_tools(self.compiled, values, choice_key, where), where)
        return {"prompt": self._prompt(values, choice_key, where), "messages": None, "tools": None}

    def _prompt(self, values: Row, choice_key: list[Any], where: str) -> str:
        used = [name for name in self.source.set.columns if name in self.compiled.template.prompt_columns()]
        main = next((name for name in used if name not in self.source.values), None)
        if main is not None and not plain(values[main]).strip():
            return ""
        context = {**values, CHOICE_KEY: choice_key, "answer_choices": None}
        try:
            context["answer_choices"] = self.compiled.choices(context)
            return self.compiled.prompt(context)
        except Exception as error:  # a template is the user's code
            raise TunesmithError(
                f"{where}: template {self.name} fails on this row: {error}; correct the row or the template"
            ) from None

    def _set(self) -> TemplateSet:
        """The set with the columns of this template only: a row may lack those of the others."""
        used = self.compiled.template.columns()
        columns = {name: text for name, text in self.source.set.columns.items() if name in used}
        return self.source.set.model_copy(update={"columns": columns})

    def _params(self) -> TemplateParams:
        return TemplateParams(set=self.source.set.name, columns=self.source.columns, values=self.source.values)

    def _renamed(self, row: Row) -> Row:
        """``row`` with the set's column names replaced by the source's."""
        other = {column: row[name] for name, column in self.source.columns.items() if name in row and column not in row}
        return {**row, **other}


def prompts_of(name: str, source: SourceTemplates) -> list[Prompt]:
    """The templates of the source ``name``, in their order."""
    params = TemplateParams(set=source.set.name, columns=source.columns, values=source.values, seed=source.seed)
    return [
        Prompt(f"{name}/{one.template.id}", one.task, one, source) for one in compile_chosen(source.set, params, name)
    ]
