"""Split sources, written without the stages before ``mix``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

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
    return {
        "row_id": f"id {text}",
        "source": source,
        "task": "say",
        "template_id": "t",
        "prompt": f"Say: {text}",
        "identity": text,
        "completion": "ok",
        "references": ["ok"],
        **changes,
    }


def writer(root: Path) -> Write:
    """A function that writes splits into ``root`` (source → part → texts) and names the sources in its parameters."""

    def write(splits: Splits) -> Paths:
        paths = Paths(root)
        paths.params.mkdir()
        write_yaml(paths.params / "sources.yaml", {"sources": {source: {} for source in splits}})
        for source, parts in splits.items():
            paths.split(source).mkdir(parents=True)
            for part in ("train", "validation", "test", *(["retired"] if "retired" in parts else [])):
                rows = [row(source, item) for item in parts.get(part, [])]
                write_rows(paths.split(source) / f"{part}.parquet", rows, RENDERED)
        return paths

    return write


def texts(rows: pa.Table) -> list[str]:
    return [str(text) for text in rows.column("text").to_pylist()]


def numbered(letter: str, count: int, **changes: Any) -> list[Any]:
    names = [f"{letter}{i}" for i in range(count)]
    return [{"text": text, **changes} for text in names] if changes else names


TWO: Splits = {
    "one": {"train": numbered("a", 50), "validation": numbered("b", 5), "test": numbered("c", 5)},
    "two": {"train": numbered("d", 50), "validation": numbered("e", 5), "test": numbered("f", 5)},
}
