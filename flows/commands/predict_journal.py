"""Completions that ``tunesmith predict --input`` has generated so far, so that an interrupted run can resume.

The file lies beside the output and is removed once the output is written. Its first line identifies input, models and
templates; each other line holds one completion: ``model``, ``row`` (number, from 0), ``text``, ``new_tokens`` and
``finished``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.inference.generate import Generated

Done = dict[tuple[str, int], Generated]
"""(model, number of the row) → its completion."""


class Journal:
    """An open journal; ``done`` holds what earlier runs and this one generated."""

    def __init__(self, path: Path, done: Done, file: Any) -> None:
        self.path, self.done, self._file = path, done, file

    def add(self, model: str, row: int, generated: Generated) -> None:
        """Keep a completion, also if the process is killed right afterwards."""
        self.done[model, row] = generated
        about = {"text": generated.text, "new_tokens": generated.new_tokens, "finished": generated.finished}
        self._file.write(json.dumps({"model": model, "row": row} | about) + "\n")
        self._file.flush()


@contextmanager
def journal(output: Path, identity: dict[str, Any]) -> Iterator[Journal]:
    """Open the journal of ``output``. If its first line differs from ``identity``, empty it.

    If the block raises, the file is kept; else it is removed.
    """
    path = output.with_name(f".{output.name}.predictions.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _read(path, identity)
    if not done:
        path.write_text(json.dumps(identity) + "\n", encoding="utf-8")
    else:  # a killed process may have left half a line
        path.write_bytes(path.read_bytes().rpartition(b"\n")[0] + b"\n")
    with path.open("a", encoding="utf-8") as file:
        yield Journal(path, done, file)
    path.unlink(missing_ok=True)


def _read(path: Path, identity: dict[str, Any]) -> Done:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]  # what follows the last \n is half
    if not lines or _parsed(lines[0]) != identity:
        return {}
    done: Done = {}
    for line in lines[1:]:
        entry = _parsed(line)
        if isinstance(entry, dict):
            done[entry["model"], entry["row"]] = Generated(entry["text"], entry["new_tokens"], entry["finished"])
    return done


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
