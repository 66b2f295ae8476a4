"""``tunesmith data add``: files of a user become a source that DVC versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tasks import files as file_tools
from tasks.errors import TunesmithError
from tasks.ingest.readers import read
from tasks.paths import Paths
from tasks.resolve.check import mapping


def add(root: Path, files: list[Path], name: str, replace: bool) -> str:
    """Read every row of ``files``, copy them to ``data/sources/name``, ``dvc add`` it, and say what comes next.

    Raises:
        TunesmithError: a file is missing, empty or broken (with its line), two have one name, the name is no
            good, or taken and ``replace`` is off. Nothing is added then.
    """
    _refuse_name(root, name, replace)
    stems = [path.stem for path in files]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise TunesmithError(
            f"data add: files of a source must differ in their names; {sorted(twice)[0]!r} comes twice"
        )
    found = {path: _check(path) for path in files}
    target = Paths(root).source(name)
    kept = target.with_name(f".{name}.before")  # until dvc has taken the new files
    file_tools.remove(kept)
    if target.exists():
        target.rename(kept)
    with file_tools.replacing(target) as temporary:
        temporary.mkdir()
        for path in files:
            shutil.copyfile(path, temporary / path.name)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "--wait-for-lock", "add", str(target.relative_to(root))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        file_tools.remove(target)
        if kept.exists():
            kept.rename(target)
        problem = " ".join(done.stderr.split()).removeprefix("ERROR: ")
        raise TunesmithError(f"dvc add {target.relative_to(root)}: {problem}")
    file_tools.remove(kept)
    return _what_next(name, found)


def _refuse_name(root: Path, name: str, replace: bool) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise TunesmithError(f"data add: a name must be lower-case letters, digits, '-' and '_'; it is {name!r}")
    made = mapping(Paths(root).params / "sources.yaml", "generated") | mapping(
        Paths(root).params / "sources.yaml", "hub"
    )
    if name in made:
        raise TunesmithError(f"data add: {name!r} is made by a stage (params/sources.yaml); choose another name")
    if Paths(root).source(name).exists() and not replace:
        raise TunesmithError(f"data/sources/{name}: there is such a source; choose another name, or give --replace")


def _check(path: Path) -> tuple[int, list[str]]:
    """Rows and columns of a file; reading it whole finds every broken line before anything is stored."""
    columns: dict[str, None] = {}
    rows = 0
    for _, row in read(path):
        rows += 1
        columns |= dict.fromkeys(row)
    return rows, list(columns)


def _what_next(name: str, found: dict[Path, tuple[int, list[str]]]) -> str:
    lines = [f"{path.name}: {rows} rows, columns {', '.join(columns)}" for path, (rows, columns) in found.items()]
    split = "by: hash" if len(found) == 1 else f"by: file, files: {{train: [{next(iter(found)).stem}], test: [...]}}"
    return "\n".join(
        [
            *lines,
            f"added as data/sources/{name}; commit data/sources/{name}.dvc. Now name it in params/:",
            "  sources.yaml      sources:",
            f"                      {name}:",
            "                        ingest: {}",
            "                        template: {set: dialogue_summary, columns: {...}}",
            f"                        split: {{{split}}}",
            f"  mixtures.yaml     mixtures: {{{name}: {{sources: {{{name}: {{}}}}}}}}",
            f"  experiments.yaml  mixture: {name}",
            f"  evaluation.yaml   evaluation_set: {{sources: [{name}]}}",
        ]
    )
