"""``base@B``: the files of a local base model → ``build/bases/B.json``, their fingerprint.

``resolve`` copies the fingerprint to the experiments that use the model, so that a change in place reaches these alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main

_READ = ("*.json", "*.jinja", "*.model", "*.py", "*.safetensors", "*.txt")
"""Files that loading a model reads: weights, configuration, tokenizer, chat template."""


def fingerprint(folder: Path) -> str:
    """Hash of the names and contents of the files that loading the model in ``folder`` reads.

    Raises:
        TunesmithError: the folder has no config.json.
    """
    if not (folder / "config.json").exists():
        raise TunesmithError(
            f"params/training.yaml: base_models: {folder} must be a folder with config.json; it has none; bring the "
            "folder back or remove its entry"
        )
    read = sorted({path for pattern in _READ for path in folder.glob(pattern)})
    return files.digest({path.name: files.sha256(path) for path in read})


def run(name: str | None, paths: Paths, stage: Stage) -> None:
    """Write the fingerprint of the model ``name`` of ``base_models``; without a name, an entry of no local model."""
    entry = {}
    if name is not None:
        folder = value_at(read_yaml(paths.params / "training.yaml"), f"base_models.{name}")
        entry = {"folder": folder, "sha256": fingerprint(paths.root / folder)}
    with stage.outputs(paths.base(name or "none")) as (output,):
        files.write_json(output, entry)


if __name__ == "__main__":
    named = sys.argv[1] if len(sys.argv) > 1 else None
    main(f"base@{named}" if named else "no_base", lambda stage: run(named, Paths.here(), stage))
