"""Scenarios: rows of local files, rendered as prompts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import Params, parse, read_yaml, value_at
from tasks.ingest.readers import read
from tasks.template.compiled import Compiled, columns_of, compile_chosen, render_one
from tasks.template.library import TemplateSet, load_set, read_set
from tasks.template.params import TemplateParams
from tasks.text.rows import Row

METRICS = ("accuracy", "calibration", "robustness", "fairness", "bias", "toxicity", "efficiency")

_HERE = Path(__file__).parent
FILE = _HERE / "scenarios.yaml"
_BBQ = ("context_condition", "question_polarity", "answer_info", "additional_metadata")
"""Columns that say what a row of BBQ measures."""

_MEASURED: dict[str, set[str]] = {
    "choice": {"accuracy", "calibration", "robustness", "fairness", "efficiency"},
    "bbq": {"accuracy", "calibration", "bias", "efficiency"},
    "pairs": {"bias", "efficiency"},
    "generation": {"bias", "toxicity", "efficiency", "accuracy"},
}


class JointPrompt(Params):
    """HELM's form of a scenario's questions, with letters as choices; ``scenarios.yaml`` explains the keys."""

    instructions: str
    input: str
    choices: list[str] = Field(min_length=2, max_length=10)
    examples: list[str] = Field(default_factory=list)
    per: str | None = None


class Scenario(Params):
    """One entry of ``scenarios.yaml``, which explains the keys."""

    kind: Literal["choice", "bbq", "pairs", "generation"]
    title: str
    origin: str = Field(alias="from")
    files: list[str] = Field(min_length=1)
    set: str | None = None
    template: str | None = None
    columns: dict[str, str]
    perturb: list[str] = Field(default_factory=list)
    answers: list[str] = Field(default_factory=list)
    block: int = Field(default=1, ge=1)
    grouped_by: list[str] = Field(default_factory=list)
    joint: JointPrompt | None = None
    toxicity_of_prompt: str | None = None
    na: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_metric(self) -> Scenario:
        measured = _MEASURED[self.kind]
        if missing := [m for m in METRICS if m not in measured and m not in self.na]:
            raise ValueError(f"kind {self.kind} does not measure {missing[0]}; say why under `na`")
        if unknown := [m for m in self.na if m not in METRICS]:
            raise ValueError(f"na: no metric {unknown[0]!r}; there are: {', '.join(METRICS)}")
        if self.kind == "choice" and not self.perturb:
            raise ValueError("kind choice needs `perturb`: the columns that perturbations change")
        return self


class Scenarios(Params):
    scenarios: dict[str, Scenario] = Field(min_length=1)


def load_scenarios(names: Sequence[str] | None = None, file: Path = FILE) -> dict[str, Scenario]:
    """The scenarios ``names`` of ``file``, in the order of the file; all by default.

    Raises:
        TunesmithError: a name is unknown, or the file breaks its rules.
    """
    known = parse(Scenarios, read_yaml(file), file).scenarios
    if unknown := [name for name in names or () if name not in known]:
        raise TunesmithError(f"helm: no scenario {unknown[0]!r}; there are: {', '.join(known)}")
    return {name: scenario for name, scenario in known.items() if names is None or name in names}


@dataclass(frozen=True)
class Instance:
    """One row of a scenario.

    Attributes:
        id: ``FILE:LINE``, relative to the data folder.
        values: columns of the template set.
        row: all columns of the file.
        group: rows with the same one are not independent (``grouped_by``, else the block); intervals draw groups.
    """

    id: str
    values: Row
    row: Row
    group: str


@dataclass(frozen=True)
class Question:
    """A prompt with its choices and the index of the correct one (``answer``); both are empty for generated texts."""

    prompt: str
    choices: tuple[str, ...] = ()
    answer: int | None = None
    references: tuple[str, ...] = field(default=())


def find_files(scenario: Scenario, data: Path) -> list[Path]:
    """Files of the first pattern that matches; empty if none does."""
    return _matches(scenario.files, data)


def _matches(patterns: Sequence[str], data: Path) -> list[Path]:
    return next((matches for p in patterns if (matches := sorted(data.glob(p)))), [])


def instances_of(name: str, scenario: Scenario, data: Path, patterns: Sequence[str]) -> list[Instance]:
    """All rows of the files of the first of ``patterns`` that matches; without patterns, of the scenario's own files.

    Raises:
        TunesmithError: a file is broken, or a row lacks a column.
    """
    instances = []
    for path in _matches(patterns or scenario.files, data):
        file = path.relative_to(data).as_posix()
        for line, row in read(path):
            values = _columns(name, scenario, row, f"{path}:{line}")
            instances.append(Instance(f"{file}:{line}", values, row, f"{file}:{line}"))
    return instances


def draw(name: str, scenario: Scenario, data: Path, rows: int, seed: int) -> list[Instance]:
    """Draw ``rows`` rows (whole blocks), an equal share from each of the scenario's files, in the order of the files.

    Raises:
        TunesmithError: there is no such file, a file is broken, or a row lacks a column.
    """
    paths = find_files(scenario, data)
    if not paths:
        raise TunesmithError(missing(name, scenario, data))
    instances: list[Instance] = []
    for number, path in enumerate(paths):
        share = rows * (number + 1) // len(paths) - rows * number // len(paths)
        file = path.relative_to(data).as_posix()
        numbered = list(read(path))
        blocks = [numbered[i : i + scenario.block] for i in range(0, len(numbered), scenario.block)]
        wanted = min(len(blocks), max(1, share // scenario.block))
        chosen = sorted(random.Random(f"{seed}/{name}/{file}").sample(range(len(blocks)), wanted))
        for line, row, first in ((*one, blocks[index][0][0]) for index in chosen for one in blocks[index]):
            values = _columns(name, scenario, row, f"{path}:{line}")
            instances.append(Instance(f"{file}:{line}", values, row, _group(scenario, row) or f"{file}:{first}"))
    return instances


def _group(scenario: Scenario, row: Row) -> str | None:
    """The values of ``grouped_by`` as a hash; None without such columns, or if the row lacks one of them."""
    values = [value_at(row, column) for column in scenario.grouped_by]
    return files.digest(values)[:16] if values and None not in values else None


def missing(name: str, scenario: Scenario, data: Path) -> str:
    """Which files are missing, and where they can come from."""
    return (
        f"{data}: scenario {name} looks for {' or '.join(scenario.files)} and finds no such file; "
        f"put {scenario.origin} there, or name another folder with --data"
    )


def _columns(name: str, scenario: Scenario, row: Row, where: str) -> Row:
    values: Row = {}
    wanted = [*scenario.columns.items(), *((name, name) for name in (_BBQ if scenario.kind == "bbq" else ()))]
    if scenario.toxicity_of_prompt:
        wanted.append(("toxicity of the prompt", scenario.toxicity_of_prompt))
    for column, source in wanted:
        value = row.get(source, value_at(row, source))
        if value is None:
            raise TunesmithError(
                f"{where}: scenario {name} needs the column {source!r}; the row has {', '.join(sorted(row))}; "
                f"add it, or correct `columns` of {name} in tasks/benchmark/helm/scenarios.yaml"
            )
        values[column] = value
    return values


class QuestionRenderer:
    """Renders the rows of one scenario as questions, by its template set."""

    def __init__(self, name: str, scenario: Scenario, library: Path) -> None:
        assert scenario.set is not None and scenario.template is not None
        own = _HERE / "sets" / f"{scenario.set}.yaml"
        self._set: TemplateSet = read_set(own) if own.exists() else load_set(scenario.set, library)
        self._params = TemplateParams(set=scenario.set, use=[scenario.template], assign="one")
        self._compiled: Compiled = compile_chosen(self._set, self._params, name)[0]
        self._choices = scenario.kind != "generation"

    @property
    def template(self) -> str:
        """Text of the template's prompt."""
        return self._compiled.template.text

    def question(self, instance: Instance, values: Mapping[str, object] | None = None) -> Question:
        """The question of a row, with ``values`` instead of its columns if they were perturbed.

        Raises:
            TunesmithError: the correct answer is not among the choices, or the template fails on the row.
        """
        columns = columns_of(dict(values or instance.values), self._set, self._params, instance.id)
        rendered = render_one(self._compiled, columns, [instance.id], instance.id)
        prompt, references = rendered["prompt"], tuple(rendered["references"])
        if not self._choices:
            return Question(prompt, references=references)
        choices = tuple(rendered["answer_choices"] or ())
        if not references or references[0] not in choices:
            raise TunesmithError(
                f"{instance.id}: the right answer must be one of the choices {list(choices)}; it is "
                f"{list(references)}; correct the row's label"
            )
        return Question(prompt, choices, choices.index(references[0]), references)


def data_hash(name: str, scenario: Scenario, instances: Sequence[Instance]) -> str:
    """Hash of a scenario's definition and of the drawn rows."""
    return files.digest([name, scenario.model_dump(), [[i.id, i.row] for i in instances]])


def variants(scenario: Scenario, robustness: Sequence[str], fairness: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each perturbation with the columns that it changes."""
    for name in robustness:
        yield name, scenario.perturb
    for name in fairness:
        yield name, [*scenario.perturb, *scenario.answers]
