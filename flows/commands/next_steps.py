"""What comes after files were stored: blocks for ``params/``, or the parameters that the source has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.commands.detect import Detected
from flows.commands.inspection import Inspection
from flows.commands.params_file import yaml_lines
from flows.commands.source_files import Overlap, compare
from flows.commands.suggest import Block, blocks
from tasks.core.paths import Paths
from tasks.ingest.formats import name_of
from tasks.ingest.params import IngestParams
from tasks.ingest.run import data_files
from tasks.resolve.check import mapping


def suggested_blocks(root: Path, name: str, overlap: Overlap, ingest: IngestParams, detected: Detected) -> list[Block]:
    """The blocks for ``params/``; none for a source that it names."""
    if name in mapping(Paths(root).params / "sources.yaml", "sources"):
        return []
    every, some = overlap.columns()
    stems = [name_of(path) for path in [*overlap.old, *overlap.new]]
    stated = {"delimiter": None if ingest.delimiter == "auto" else ingest.delimiter, "sheet": ingest.sheet}
    given = {key: value for key, value in stated.items() if value}
    return blocks(root, name, stems, every, detected.matched, given, overlap.texts(), [*every, *some])


def what_next(
    root: Path, name: str, suggested: Sequence[Block], head: str = "Paste these blocks into params/:"
) -> list[str]:
    """The suggested blocks below ``head``, or the parameters that the source has, and the commands to type next."""
    if not suggested:
        sources = mapping(Paths(root).params / "sources.yaml", "sources")
        return [
            f"params/sources.yaml has {name} already; Tunesmith uses it unchanged:",
            *(f"  {line}" for line in yaml_lines({name: sources[name]})),
            f"Next: `tunesmith templates validate {name}`, `tunesmith plan`, then `tunesmith run`",
        ]
    texts = "\n".join(block.text() for block in suggested).rstrip()
    return [head, "", texts, "", f"Then look at it: `tunesmith templates validate {name}`, `tunesmith plan`"]


def proof_of_stored(root: Path, name: str) -> list[str]:
    """The proof of a stored source that ``params/`` does not name yet, and what comes next."""
    ingest, inspection = IngestParams(), Inspection(Paths(root), name, None)
    overlap = compare([], data_files(Paths(root).source(name)), ingest, ids=False, look=inspection.add)
    every, some = overlap.columns()
    detected = inspection.detected(every, some)
    suggested = suggested_blocks(root, name, overlap, ingest, detected)
    return [*inspection.proof(detected, [*every, *some]), "", *what_next(root, name, suggested)]
