"""The rows that a model and its ancestors were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.text.training_rows import ancestors_texts, read_training_rows, text_hash, write_training_rows


def row(row_id: str, identity: str) -> dict[str, Any]:
    return {"source": "s", "row_id": row_id, "identity": identity}


def test_rows_are_inherited_over_generations(tmp_path: Path) -> None:
    base, first, second, bare = (tmp_path / name for name in ("base", "first", "second", "bare"))
    for folder in (base, first, second, bare):
        folder.mkdir()
    write_training_rows(first, [row("a", "My lamp."), row("a", "My lamp."), row("b", "A chair")], base)
    write_training_rows(second, [row("c", "The parcel")], first)
    generations = [(r["generation"], r["row_id"]) for r in read_training_rows(second).to_pylist()]
    assert generations == [(0, "c"), (1, "a"), (1, "b")], "two prompt variants of one example are one row"
    assert ancestors_texts(second) == {text_hash("my  LAMP"), text_hash("a chair")}
    assert ancestors_texts(first) == set()
    write_training_rows(bare, [], second)
    assert [r["generation"] for r in read_training_rows(bare).to_pylist()] == [1, 2, 2], "an untrained model inherits"
    write_training_rows(base, [], tmp_path)
    assert list(base.iterdir()) == [], "no file where there is no row"


def test_texts_of_the_same_words_are_equal() -> None:
    assert text_hash("Is  it, a lamp?") == text_hash("is it a\nLAMP")
    assert text_hash("a lamp") != text_hash("lamp a")
    assert text_hash(":-)") != text_hash(":-("), "texts without words are compared as they are"
