"""``base@NAME``: the files of a local base model → ``build/bases/NAME.json``, their fingerprint.

``resolve`` copies the fingerprint to the experiments that use the model, so that a change in place reaches these alone.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main

_UNREAD = ("*.md", "LICENSE*", ".*")
"""Files that loading a model does not read. Weights, configuration, tokenizer and chat templates are all others."""


def fingerprint(folder: Path) -> str:
    """Hash of the names and contents of the files of the model in ``folder``, without ``_UNREAD``.

    Raises:
        TunesmithError: the folder has no config.json.
    """
    if not (folder / "config.json").exists():
        raise TunesmithError(
            f"params/training.yaml: base_models: {folder} must be a folder with config.json; it has none; bring the "
            "folder back or remove its entry"
        )
    read = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    read = [path for path in read if not any(fnmatch(part, name) for part in path.parts for name in _UNREAD)]
    return files.digest({path.as_posix(): files.sha256(folder / path) for path in read})


def run(name: str | None, paths: Paths, stage: Stage) -> None:
    """Write the fingerprint of the model ``name`` of ``base_models``; without a name, write ``{}`` (``no_base``)."""
    entry = {}
    if name is not None:
        folder = value_at(read_yaml(paths.params / "training.yaml"), f"base_models.{name}")
        entry = {"folder": folder, "sha256": fingerprint(paths.root / folder)}
    with stage.outputs(paths.base(name or "none")) as (output,):
        files.write_json(output, entry)


if __name__ == "__main__":
    named = sys.argv[1] if len(sys.argv) > 1 else None
    main(f"base@{named}" if named else "no_base", lambda stage: run(named, Paths.here(), stage))
