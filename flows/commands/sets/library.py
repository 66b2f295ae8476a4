"""The ready sets of experiments: a YAML file each in ``library/``.

Names and values in a file may hold these words:

- ``SOURCE``: the source that the user chooses. An experiment without ``mixture`` uses the mixture of this source alone.
- ``OTHERS``, as a source of a mixture: all other sources. Its weight is that of all of them together.
- ``BASE``, in the name of an experiment, as its value and as its ``base_model``: each base model that the user names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import Params, parse, read_yaml
from tasks.mix.params import MixtureParams
from tasks.resolve.params import Experiment
from tasks.resolve.sets import SetParams

LIBRARY = Path(__file__).parent / "library"
SOURCE, OTHERS, BASE = "SOURCE", "OTHERS", "BASE"


class SetExperiment(Params):
    """An experiment of a set.

    Attributes:
        value: its value on the axis; None in a set without axis.
        entry: its entry in ``params/experiments.yaml``.
    """

    value: int | float | str | None = None
    entry: dict[str, Any]


class ExperimentSet(Params):
    """A file of ``library/``.

    Attributes:
        question: the question that the set answers, one sentence.
        axis: what differs between the experiments of a sweep; None if the set is no sweep.
        mixtures: entries of ``params/mixtures.yaml``, besides the mixture of the source alone.
        retention: the test rows of the other sources are retention rows of every experiment.
        experiments: name → experiment, in the order of the axis.
        repeats: experiment → number of its repeats with other seeds.
    """

    question: str = Field(pattern=r"^\S.*\?$")
    axis: str | None = None
    mixtures: dict[str, dict[str, Any]] = Field(default_factory=dict)
    retention: bool = False
    experiments: dict[str, SetExperiment] = Field(min_length=1)
    repeats: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        for name, mixture in self.mixtures.items():
            parse(MixtureParams, mixture, f"mixtures.{name}")
        for name, experiment in self.experiments.items():
            entry = {"mixture": SOURCE} | experiment.entry
            if entry["mixture"] not in (SOURCE, *self.mixtures):
                raise ValueError(f"experiments.{name}.entry.mixture: there is no mixture {entry['mixture']!r} here")
            if entry.get("base_model") == BASE:
                entry["base_model"] = {"name": BASE}
            parse(Experiment, entry, f"experiments.{name}.entry")
        if lacking := [name for name in self.repeats if name not in self.experiments]:
            raise ValueError(f"repeats.{lacking[0]}: there is no such experiment here")
        values = {name: experiment.value for name, experiment in self.experiments.items()}
        SetParams(axis=self.axis, question=self.question, experiments=values)
        return self

    @property
    def of_bases(self) -> bool:
        """Whether the set has an experiment per base model that the user names."""
        return any(BASE in name for name in self.experiments)

    @property
    def of_other_sources(self) -> bool:
        """Whether the set needs other sources besides the chosen one."""
        return self.retention or any(OTHERS in mixture["sources"] for mixture in self.mixtures.values())


def names() -> list[str]:
    """List the sets by name."""
    return sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def load_set(name: str) -> ExperimentSet:
    """Read the set ``name``.

    Raises:
        TunesmithError: there is no such set, or its file is wrong.
    """
    if name not in names():
        raise TunesmithError(
            f"experiments use: there is no set {name!r}; there are: {', '.join(names())}{did_you_mean(name, names())}"
        )
    path = LIBRARY / f"{name}.yaml"
    return parse(ExperimentSet, read_yaml(path), path)


def list_sets() -> list[str]:
    """One line per set: its name, the number of its experiments, its question."""
    lines = []
    for name in names():
        chosen = load_set(name)
        count = len(chosen.experiments) + sum(chosen.repeats.values())
        number = "one per --base" if chosen.of_bases else f"{count} experiments"
        lines.append(f"{name:<16}{number:<16}{chosen.question}")
    return lines
