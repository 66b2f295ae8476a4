"""The template library: one YAML file a kind of data, several wordings each."""

from __future__ import annotations

from pathlib import Path

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment
from pydantic import Field

from tasks.errors import TunesmithError
from tasks.params import Params, parse, read_yaml

LIBRARY = Path(__file__).parent / "library"

# autoescape would turn the quotes and ampersands of a chat into HTML entities.
ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


class Template(Params):
    """One wording. ``prompt`` is Jinja2 over the set's columns.

    ``references`` is a Jinja2 *expression* that gives a text or a list of texts: the accepted
    completions. The first is what training learns; scores take the best.
    """

    id: str
    prompt: str
    references: str
    answer_choices: list[str] | None = None


class TemplateSet(Params):
    """One file of the library.

    Attributes:
        columns: name → what stands in it. The first is the main text.
        identity: columns whose values together make two rows the same example; the first column when not given.
    """

    name: str
    task: str
    description: str
    columns: dict[str, str] = Field(min_length=1)
    identity: list[str] | None = Field(default=None, min_length=1)
    templates: list[Template] = Field(min_length=1)

    def inputs(self) -> list[str]:
        """The columns that some prompt of the set uses: what a model is told, in any wording."""
        used = {name for t in self.templates for name in meta.find_undeclared_variables(ENVIRONMENT.parse(t.prompt))}
        return [name for name in self.columns if name in used]

    def identified_by(self) -> list[str]:
        """The columns that make a row the same example as another."""
        return self.identity or [next(iter(self.columns))]


def load_set(name: str, library: Path = LIBRARY) -> TemplateSet:
    """Read and check one template set.

    Raises:
        TunesmithError: no such set (the known ones are named), a bad key, an id used twice, bad Jinja2.
    """
    path = library / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in library.glob("*.yaml")))
        raise TunesmithError(f"no template set {name!r} (`template.set` in params/sources.yaml); there are: {known}")
    found = parse(TemplateSet, read_yaml(path), path)
    ids = [template.id for template in found.templates]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise TunesmithError(f"{path}: template ids must be unique; used twice: {', '.join(sorted(twice))}")
    if unknown := [name for name in found.identified_by() if name not in found.columns]:
        raise TunesmithError(
            f"{path}: identity: no column {unknown[0]!r} in the set; there are: {', '.join(found.columns)}"
        )
    for template in found.templates:
        try:
            ENVIRONMENT.from_string(template.prompt)
            ENVIRONMENT.compile_expression(template.references)
        except TemplateSyntaxError as error:
            raise TunesmithError(f"{path}: {template.id}: not valid Jinja2 in line {error.lineno}: {error}") from None
    return found
