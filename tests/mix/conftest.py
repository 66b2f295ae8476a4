"""Split sources, written without the stages before ``mix``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.files import write_rows
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.text.rows import RENDERED

Item = str | dict[str, Any]
Splits = dict[str, dict[str, list[Item]]]
Write = Callable[[Splits], Paths]


def row(source: str, item: Item) -> dict[str, Any]:
    """A rendered row of a text, or of a text and what differs: ``{"text": ..., "task": ...}``."""
    changes = {"text": item} if isinstance(item, str) else item
    text = changes["text"]
    found = {"row_id": f"id {text}", "source": source, "task": "say", "template_id": "t", "prompt": f"Say: {text}"}
    return {**found, "identity": text, "completion": "ok", "references": ["ok"], **changes}


@pytest.fixture
def workspace(tmp_path: Path) -> Write:
    """Writes splits: source → part → texts, and names the sources in ``params/sources.yaml``."""

    def write(splits: Splits) -> Paths:
        paths = Paths(tmp_path)
        paths.params.mkdir()
        write_yaml(paths.params / "sources.yaml", {"sources": {source: {} for source in splits}})
        for source, parts in splits.items():
            paths.split(source).mkdir(parents=True)
            for part in ("train", "validation", "test"):
                rows = [row(source, item) for item in parts.get(part, [])]
                write_rows(paths.split(source) / f"{part}.parquet", rows, RENDERED)
        return paths

    return write
