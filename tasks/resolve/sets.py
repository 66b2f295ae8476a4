"""``sets`` of ``params/experiments.yaml``: experiments that answer one question together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tasks.core.params import Params, parse, read_yaml
from tasks.core.paths import Paths
from tasks.resolve.check import Problems, mapping

FILE = "sets.json"
"""File in ``build/experiments``. No experiment has this name, since the name of an experiment has no dot."""


class SetParams(Params):
    """``sets.NAME``.

    Attributes:
        axis: what differs between the experiments of a sweep, such as ``lora.rank``; None if the set is no sweep.
        question: the question that the set answers, one sentence.
        experiments: experiment → its value on the axis (a number or a text), in the order of the axis; None for every
            experiment of a set without axis.
    """

    axis: str | None = None
    question: str = Field(min_length=1)
    experiments: dict[str, Any] = Field(min_length=1)

    @model_validator(mode="after")
    def _values_fit_the_axis(self) -> Self:
        for name, value in self.experiments.items():
            if self.axis is None and value is not None:
                raise ValueError(
                    f"experiments.{name}: must be null, since the set has no axis; it is {value!r}; name the axis "
                    "(`axis: lora.rank`), or write null"
                )
            if self.axis is not None and not _is_value(value):
                raise ValueError(
                    f"experiments.{name}: must be the experiment's value on the axis {self.axis}, a number or a text; "
                    f"it is {value!r}; write the value, or `axis: null` and null for every experiment"
                )
        return self


def _is_value(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def load_sets(paths: Paths) -> dict[str, SetParams]:
    """Read and check all sets; none if ``params/experiments.yaml`` has no key ``sets``.

    Raises:
        TunesmithError: a set is wrong, or names an unknown experiment; one error holds those of all sets.
    """
    file = paths.params / "experiments.yaml"
    if "sets" not in read_yaml(file):
        return {}
    experiments, problems = mapping(file, "experiments"), Problems()
    sets: dict[str, SetParams] = {}
    for name, data in mapping(file, "sets").items():
        if (params := problems.catch(parse, SetParams, data, file, f"sets.{name}")) is not None:
            sets[name] = params
            problems.lines += _unknown(file, name, params, experiments)
    problems.refuse()
    return sets


def _unknown(file: Path, name: str, params: SetParams, experiments: dict[str, Any]) -> list[str]:
    """The error line about experiments of a set that do not exist, such as deleted ones."""
    lacking = [one for one in params.experiments if one not in experiments]
    if not lacking:
        return []
    are, them, noun = ("is", "it", "experiment") if len(lacking) == 1 else ("are", "them", "experiments")
    return [
        f"{file}: sets.{name}.experiments: every experiment of a set must be under `experiments`; "
        f"{', '.join(lacking)} {are} not; remove {them} from the set, or remove the entry sets.{name}, or put the "
        f"{noun} back"
    ]


def write_sets(sets: dict[str, SetParams], path: Path) -> None:
    """Write ``sets`` as JSON: name → ``axis``, ``question`` and ``experiments``, all in the order of the parameters."""
    content = {name: params.model_dump() for name, params in sets.items()}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
