"""The template library: one YAML file per kind of data, each with several templates.

Packaged sets are in ``tasks/template/library``; a user's own and imported sets are in its folder ``own``. A set is
named by its path in the library (``sentiment``, ``own/glue_mrpc``), so that ``template@S`` depends in ``dvc.yaml`` on
the one file that it reads.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import Params, parse, read_yaml
from tasks.metrics.names import METRICS, known
from tasks.template.environment import ENVIRONMENT, jinja_problem, names_in, names_in_expression, reserved_problem

LIBRARY = Path(__file__).parent / "library"
OWN = "own"

_MESSAGES, _TOOLS = "{# messages #}", "{# tools #}"
_OF_PROMPTS = ("references", "completion", "inverted", "answer_choices")

_NAME = re.compile(rf"({OWN}/)?[a-z0-9][a-z0-9_-]*")


def _known_metrics(names: list[str] | None) -> list[str] | None:
    if unknown := [name for name in names or () if not known(name)]:
        raise ValueError(
            f"no metric {unknown[0]!r}; there are: {', '.join(METRICS)}, loss, and hub:NAME for one of the hub"
            f"{did_you_mean(unknown[0], METRICS)}"
        )
    return names


class Template(Params):
    """One template, in Jinja2 over the set's columns: of a prompt and its completion, or of a conversation.

    Attributes:
        prompt: Jinja2 text; white space at its ends is cut, but not that of a value.
        references: Jinja2 *expression* that gives the accepted completions, as a text or a list of texts. Training uses
            the first; scores use the best.
        completion: Jinja2 text of the only accepted completion. A prompt has either this or ``references``.
        messages: Jinja2 *expression* that gives the messages of a conversation (``tasks.text.conversations.parse``).
        tools: Jinja2 expression that gives the schemas of the conversation's tools.
        task: name of the task; None takes the set's.
        answer_choices: the labels of which the completion is one, or a Jinja2 text that renders to the labels of a row,
            separated by ``|||``.
        metrics: names of ``METRICS``, or ``hub:NAME[@REVISION]``; None takes the set's.
        inverted: the prompt asks for an input of the data set's task, such as a review for a rating.
        extractive: the completion may occur in the prompt, as an answer in its passage, or a text to be corrected.
    """

    id: str
    prompt: str | None = None
    references: str | None = None
    completion: str | None = None
    messages: str | None = None
    tools: str | None = None
    task: str | None = None
    answer_choices: list[str] | str | None = Field(default=None, min_length=1)
    metrics: list[str] | None = Field(default=None, min_length=1)
    inverted: bool = False
    extractive: bool = False

    _metrics = field_validator("metrics")(_known_metrics)

    @model_validator(mode="after")
    def _one_answer(self) -> Template:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("a template needs either `prompt` (a text) or `messages` (an expression)")
        if self.messages is not None:
            if stray := [name for name in _OF_PROMPTS if getattr(self, name)]:
                raise ValueError(f"{stray[0]}: a template with `messages` takes none; remove it")
        elif self.tools is not None:
            raise ValueError("tools: only a template with `messages` takes them; remove it")
        elif (self.references is None) == (self.completion is None):
            raise ValueError("a template needs either `references` (an expression) or `completion` (a text)")
        return self

    @property
    def text(self) -> str:
        """The Jinja2 text of the prompt; of a conversation its expressions, each after a mark (``of_text``)."""
        if self.messages is None:
            return self.prompt or ""
        return _MESSAGES + self.messages + (_TOOLS + self.tools if self.tools else "")

    @classmethod
    def of_text(cls, name: str, text: str) -> Template:
        """The template ``name`` without completions, from its ``text``."""
        if not text.startswith(_MESSAGES):
            return cls(id=name, prompt=text, completion="")
        messages, _, tools = text.removeprefix(_MESSAGES).partition(_TOOLS)
        return cls(id=name, messages=messages, tools=tools or None)

    def prompt_columns(self) -> set[str]:
        """Every column that the prompt or the conversation uses."""
        if self.messages is None:
            return names_in(self.prompt or "")
        return names_in_expression(self.messages) | names_in_expression(self.tools or "''")

    def columns(self) -> set[str]:
        """Every column that prompt, completion, conversation and answer choices use."""
        answer = names_in(self.completion or "") | names_in_expression(self.references or "''")
        choices = names_in(self.answer_choices) if isinstance(self.answer_choices, str) else set()
        return self.prompt_columns() | answer | choices


class TemplateSet(Params):
    """One file of the library.

    Attributes:
        license: a note on the license of the data.
        columns: name → description. The first column is the main text.
        optional: columns that a row may lack or leave empty. A template that uses one is not used for such a row.
        required: columns that every template must use; None takes those of ``identity``.
        text: Jinja2 expression for the main text, if the first column is not a text (``tokens | join(' ')``).
        identity: two rows with equal values in these columns are the same example; None compares the main text.
        metrics: metrics of templates that name none; None means ``accuracy`` and ``macro_f1`` for templates with answer
            choices, and ``rouge`` for others.
    """

    name: str
    task: str
    description: str
    license: str | None = None
    columns: dict[str, str] = Field(min_length=1)
    optional: list[str] = Field(default_factory=list)
    required: list[str] | None = None
    text: str | None = None
    identity: list[str] | None = Field(default=None, min_length=1)
    metrics: list[str] | None = Field(default=None, min_length=1)
    templates: list[Template] = Field(min_length=1)

    _metrics = field_validator("metrics")(_known_metrics)

    @model_validator(mode="after")
    def _one_kind(self) -> TemplateSet:
        if not self.conversational:
            return self
        if prompts := [one.id for one in self.templates if one.messages is None]:
            raise ValueError(
                f"templates: a set has either prompts or conversations; {prompts[0]!r} has a `prompt` and others have "
                "`messages`; make two sets"
            )
        if stray := [name for name in ("text", "identity") if getattr(self, name) is not None]:
            raise ValueError(f"{stray[0]}: a set with `messages` takes none, since its conversations decide; remove it")
        return self

    @property
    def conversational(self) -> bool:
        """Whether its templates give conversations."""
        return any(one.messages is not None for one in self.templates)

    def inputs(self) -> list[str]:
        """The columns that group rows: the set's ``identity``, else those that prompts of the original task use."""
        if self.identity:
            return self.identity
        originals = [t for t in self.templates if not t.inverted] or self.templates
        used = {name for template in originals for name in template.prompt_columns()}
        return [name for name in self.columns if name in used]

    def required_columns(self) -> list[str]:
        """The columns that every template must use."""
        if self.required is not None:
            return self.required
        return [name for name in self.identity or [next(iter(self.columns))] if name not in self.optional]

    def task_of(self, template: Template) -> str:
        return template.task or self.task

    def metrics_of(self, template: Template) -> list[str]:
        default = ["accuracy", "macro_f1"] if template.answer_choices else ["rouge"]
        return template.metrics or self.metrics or default


def library_of(root: Path) -> Path:
    """The library of a workspace; the installed package's if the workspace has none."""
    own = root / "tasks/template/library"
    return own if own.is_dir() else LIBRARY


def known_sets(library: Path = LIBRARY) -> list[str]:
    """Names of the packaged sets and, as ``own/NAME``, of the user's own sets."""
    packaged = sorted(path.stem for path in library.glob("*.yaml"))
    return packaged + sorted(f"{OWN}/{path.stem}" for path in (library / OWN).glob("*.yaml"))


def load_set(name: str, library: Path = LIBRARY) -> TemplateSet:
    """Read and check one template set.

    Raises:
        TunesmithError: the set is unknown, a key is wrong, an id is used twice, a text is not valid Jinja2, or a
            template uses a column that the set does not have.
    """
    path = library / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.exists():
        raise TunesmithError(
            f"no template set {name!r} (`template.set` in params/sources.yaml); there are: "
            f"{', '.join(known_sets(library))} (your own are in tasks/template/library/{OWN})"
            f"{did_you_mean(name, known_sets(library))}"
        )
    return read_set(path)


def read_set(path: Path) -> TemplateSet:
    """Load a template set from any file; see ``load_set``."""
    templates = parse(TemplateSet, read_yaml(path), path)
    ids = [template.id for template in templates.templates]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise TunesmithError(f"{path}: template ids must be unique; used twice: {', '.join(sorted(twice))}")
    if problem := reserved_problem(templates.columns):
        raise TunesmithError(f"{path}: columns: {problem}; rename it (`template.columns` maps it to a source's column)")
    for key in ("identity", "optional", "required"):
        _refuse_unknown(path, key, getattr(templates, key) or [], templates)
    if templates.text is not None:
        _refuse_unknown(path, "text", _checked(path, "text", templates.text), templates)
    if next(iter(templates.columns)) in templates.optional:
        raise TunesmithError(f"{path}: optional: the first column is the main text, which every row needs")
    for template in templates.templates:
        names: set[str] = set()
        for text, expression in _texts_of(template):
            names |= _checked(path, template.id, text, expression)
        _refuse_unknown(path, template.id, names, templates)
    return templates


def _texts_of(template: Template) -> list[tuple[str, bool]]:
    choices = template.answer_choices if isinstance(template.answer_choices, str) else None
    texts = [(template.prompt, False), (template.references, True), (template.completion, False), (choices, False)]
    texts += [(template.messages, True), (template.tools, True)]
    return [(text, expression) for text, expression in texts if text is not None]


def _checked(path: Path, where: str, text: str, expression: bool = True) -> set[str]:
    """The names that a Jinja2 text uses, after checking that it compiles."""
    try:
        if expression:
            ENVIRONMENT.compile_expression(text)
            return names_in_expression(text)
        ENVIRONMENT.from_string(text)
        return names_in(text)
    except Exception as error:  # such as too deep nesting, which raises no TemplateSyntaxError
        raise TunesmithError(f"{path}: {where}: {jinja_problem(error)}; correct the text") from None


def _refuse_unknown(path: Path, where: str, names: list[str] | set[str], templates: TemplateSet) -> None:
    if unknown := sorted(name for name in names if name not in templates.columns):
        raise TunesmithError(
            f"{path}: {where}: no column {unknown[0]!r} in the set; there are: {', '.join(templates.columns)}"
        )
