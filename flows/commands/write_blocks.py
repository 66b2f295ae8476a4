"""Write suggested blocks into ``params/``; every other character of the files stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.commands.params_file import with_entries, with_item
from flows.commands.suggest import Block
from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import Paths
from tasks.resolve.check import Problems

Texts = dict[Path, str]
"""File of ``params/`` → its new text."""


def new_texts(root: Path, name: str, blocks: Sequence[Block]) -> Texts:
    """The files of ``params/`` with ``blocks`` of the source ``name``; nothing is written.

    Raises:
        TunesmithError: an entry exists already, or a file is written so that it cannot be changed; one error holds all.
    """
    problems, texts = Problems(), Texts()
    for block in blocks:
        path = Paths(root).params / f"{block.file}.yaml"
        text = problems.catch(_with_block, path, name, block)
        if text is not None:
            texts[path] = text
    problems.refuse()
    return texts


def _with_block(path: Path, name: str, block: Block) -> str:
    text = path.read_bytes().decode()
    present: Any = value_at(read_yaml(path), block.key)
    if block.key == "evaluation_set":
        listed = value_at(read_yaml(path), "evaluation_set.sources") or []
        return text if name in listed else with_item(text, path, ("evaluation_set", "sources"), name)
    if taken := [entry for entry in block.entries if entry in (present or {})]:
        raise TunesmithError(
            f"{path}: {block.key}.{taken[0]}: this entry exists, and `--write` changes none; leave `--write` out, or "
            "remove the entry"
        )
    return with_entries(text, path, block.key, block.entries, one_line=block.key != "sources")


def write_texts(texts: Texts) -> None:
    """Write each file to a temporary name and rename it."""
    for path, text in texts.items():
        with replacing(path) as partial:
            partial.write_bytes(text.encode())
