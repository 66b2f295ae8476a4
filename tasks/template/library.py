"""The template library: one YAML file a kind of data, several wordings each.

Packaged sets lie in ``tasks/template/library``, a user's own and imported ones in its folder ``own``. Both are named
by their path in the library (``sentiment``, ``own/glue_mrpc``), so that ``template@S`` depends in ``dvc.yaml`` on
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

_NAME = re.compile(rf"({OWN}/)?[a-z0-9][a-z0-9_-]*")


def _known_metrics(names: list[str] | None) -> list[str] | None:
    if unknown := [name for name in names or () if not known(name)]:
        raise ValueError(
            f"no metric {unknown[0]!r}; there are: {', '.join(METRICS)}, loss, and hub:NAME for one of the hub"
            f"{did_you_mean(unknown[0], METRICS)}"
        )
    return names


class Template(Params):
    """One wording, in Jinja2 over the set's columns.

    Attributes:
        prompt: Jinja2 text; blank ends are cut.
        references: Jinja2 *expression* that gives a text or a list of texts: the accepted completions. The first
            is what training learns; scores take the best.
        completion: Jinja2 text of the only accepted completion; exactly one of ``references`` and this is given.
        task: the set's when not given.
        answer_choices: texts of which the completion is one (a label), or a Jinja2 text that renders to them with
            ``|||`` between, for each row.
        metrics: names of ``METRICS``, or ``hub:NAME[@REVISION]``; the set's when not given.
        inverted: the wording asks for what the data set's task is given, such as a review for a rating.
        extractive: the completion may stand in the prompt, as an answer stands in its passage, or a text stands there
            whose punctuation is corrected.
    """

    id: str
    prompt: str
    references: str | None = None
    completion: str | None = None
    task: str | None = None
    answer_choices: list[str] | str | None = Field(default=None, min_length=1)
    metrics: list[str] | None = Field(default=None, min_length=1)
    inverted: bool = False
    extractive: bool = False

    _metrics = field_validator("metrics")(_known_metrics)

    @model_validator(mode="after")
    def _one_answer(self) -> Template:
        if (self.references is None) == (self.completion is None):
            raise ValueError("a template needs either `references` (an expression) or `completion` (a text)")
        return self

    def prompt_columns(self) -> set[str]:
        return names_in(self.prompt)

    def columns(self) -> set[str]:
        """Every name that the wording uses: in prompt, completion and answer choices."""
        answer = names_in(self.completion or "") | names_in_expression(self.references or "''")
        choices = names_in(self.answer_choices) if isinstance(self.answer_choices, str) else set()
        return self.prompt_columns() | answer | choices


class TemplateSet(Params):
    """One file of the library.

    Attributes:
        license: a note on the terms of the data that the set is for.
        columns: name → what stands in it. The first is the main text.
        optional: columns that a row may lack or leave empty. A wording that uses one is no candidate for such a row.
        required: columns that every wording must use; those of ``identity`` when not given.
        text: Jinja2 expression of the main text, where the first column is no text (``tokens | join(' ')``).
        identity: columns whose values together make two rows the same example; the main text when not given.
        metrics: of wordings that name none. Without any, ``accuracy`` and ``macro_f1`` for answer choices, else
            ``rouge``.
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

    def inputs(self) -> list[str]:
        """What groups rows: the set's ``identity`` or else the columns that prompts of the original task use."""
        if self.identity:
            return self.identity
        originals = [t for t in self.templates if not t.inverted] or self.templates
        used = {name for template in originals for name in template.prompt_columns()}
        return [name for name in self.columns if name in used]

    def required_columns(self) -> list[str]:
        if self.required is not None:
            return self.required
        return [name for name in self.identity or [next(iter(self.columns))] if name not in self.optional]

    def task_of(self, template: Template) -> str:
        return template.task or self.task

    def metrics_of(self, template: Template) -> list[str]:
        default = ["accuracy", "macro_f1"] if template.answer_choices else ["rouge"]
        return template.metrics or self.metrics or default


def library_of(root: Path) -> Path:
    """The library of a workspace; that of the installed package where the workspace has none."""
    own = root / "tasks/template/library"
    return own if own.is_dir() else LIBRARY


def known_sets(library: Path = LIBRARY) -> list[str]:
    """Names of the packaged sets and, as ``own/NAME``, of the user's own."""
    packaged = sorted(path.stem for path in library.glob("*.yaml"))
    return packaged + sorted(f"{OWN}/{path.stem}" for path in (library / OWN).glob("*.yaml"))


def load_set(name: str, library: Path = LIBRARY) -> TemplateSet:
    """Read and check one template set.

    Raises:
        TunesmithError: no such set (the known ones are named), a bad key, an id used twice, bad Jinja2, or a
            wording that uses a column which the set does not have.
    """
    path = library / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.exists():
        raise TunesmithError(
            f"no template set {name!r} (`template.set` in params/sources.yaml); there are: "
            f"{', '.join(known_sets(library))} (your own lie in tasks/template/library/{OWN})"
            f"{did_you_mean(name, known_sets(library))}"
        )
    return read_set(path)


def read_set(path: Path) -> TemplateSet:
    """As ``load_set``, for a file anywhere."""
    found = parse(TemplateSet, read_yaml(path), path)
    ids = [template.id for template in found.templates]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise TunesmithError(f"{path}: template ids must be unique; used twice: {', '.join(sorted(twice))}")
    if problem := reserved_problem(found.columns):
        raise TunesmithError(f"{path}: columns: {problem}; rename it (`template.columns` maps it to a source's column)")
    for key in ("identity", "optional", "required"):
        _refuse_unknown(path, key, getattr(found, key) or [], found)
    if found.text is not None:
        _refuse_unknown(path, "text", _checked(path, "text", found.text), found)
    if next(iter(found.columns)) in found.optional:
        raise TunesmithError(f"{path}: optional: the first column is the main text, which every row needs")
    for template in found.templates:
        names: set[str] = set()
        for text, expression in _texts_of(template):
            names |= _checked(path, template.id, text, expression)
        _refuse_unknown(path, template.id, names, found)
    return found


def _texts_of(template: Template) -> list[tuple[str, bool]]:
    choices = template.answer_choices if isinstance(template.answer_choices, str) else None
    texts = [(template.prompt, False), (template.references, True), (template.completion, False), (choices, False)]
    return [(text, expression) for text, expression in texts if text is not None]


def _checked(path: Path, where: str, text: str, expression: bool = True) -> set[str]:
    """Names that a Jinja2 text uses, after it compiled."""
    try:
        if expression:
            ENVIRONMENT.compile_expression(text)
            return names_in_expression(text)
        ENVIRONMENT.from_string(text)
        return names_in(text)
    except Exception as error:  # too deep a nesting, for one, is no TemplateSyntaxError
        raise TunesmithError(f"{path}: {where}: {jinja_problem(error)}") from None


def _refuse_unknown(path: Path, where: str, names: list[str] | set[str], found: TemplateSet) -> None:
    if unknown := sorted(name for name in names if name not in found.columns):
        raise TunesmithError(
            f"{path}: {where}: no column {unknown[0]!r} in the set; there are: {', '.join(found.columns)}"
        )
