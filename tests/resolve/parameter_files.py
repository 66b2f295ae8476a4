"""The parameter files of this project, copied, edited and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.resolve.__main__ import run

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], Any]


def edit(paths: Paths, file: str, change: Change) -> None:
    data = read_yaml(paths.params / f"{file}.yaml")
    change(data)
    write_yaml(paths.params / f"{file}.yaml", data)


def experiment(paths: Paths, name: str, data: Any) -> None:
    edit(paths, "experiments", lambda p: p["experiments"].update({name: data}))


def resolved(paths: Paths) -> dict[str, str]:
    """Path below the output → text, of all files that the stage writes."""
    run(paths, Stage("resolve", paths.root))
    files = sorted(p for p in paths.resolved.rglob("*") if p.is_file())
    return {p.relative_to(paths.resolved).as_posix(): p.read_text() for p in files}


def problems(paths: Paths, check: Callable[[Paths], Any] = preflight) -> list[str]:
    with pytest.raises(TunesmithError) as caught:
        check(paths)
    return [line.removeprefix(f"{paths.params}/") for line in str(caught.value).splitlines()]
