"""``tunesmith predict --input`` keeps what it has generated when it is interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.commands import predict_journal
from flows.commands.predict import predict_file
from tasks.core import files
from tasks.core.paths import Paths
from tasks.inference.generate import Generated
from tests.evaluate.evaluated_workspace import raw


def silent(line: str) -> None:
    """Ignore what the command prints."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in raw()), encoding="utf-8")
    return path


def interrupt_after(count: int, patch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Interrupt each run after ``count`` completions; the list gets those that were generated."""
    added: list[tuple[str, int]] = []
    add = predict_journal.Journal.add

    def adding(self: predict_journal.Journal, model: str, row: int, generated: Generated) -> None:
        add(self, model, row, generated)
        added.append((model, row))
        if len(added) == count:
            raise KeyboardInterrupt

    patch.setattr(predict_journal.Journal, "add", adding)
    return added


def test_an_interrupted_file_goes_on_with_the_other_rows(evaluated: Paths, source: Path, tmp_path: Path) -> None:
    names, output, whole = ["base_2", "lora"], tmp_path / "new/out.jsonl", tmp_path / "whole.jsonl"
    predict_file(evaluated.root, names, source, whole, None, silent, silent)
    total, noted = 2 * len(raw()), []
    with pytest.MonkeyPatch.context() as patch:
        first = interrupt_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            predict_file(evaluated.root, names, source, output, None, silent, noted.append)
    assert noted[-1].startswith(f"{output}: interrupted; completions kept: 3; run the same command again")
    assert not output.exists()
    journal = tmp_path / "new/.out.jsonl.predictions.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"model": "lora", "ro')  # the process was killed inside a line
    with pytest.MonkeyPatch.context() as patch:
        second = interrupt_after(total, patch)
        predict_file(evaluated.root, names, source, output, None, silent, noted.append)
    assert f"{output}: completions kept from an interrupted run: 3" in noted
    assert len(second) == total - 3 and len({*first, *second}) == total, "each is generated once"
    assert output.read_text() == whole.read_text()
    assert not journal.exists()


def test_completions_of_other_rows_are_not_kept(evaluated: Paths, source: Path, tmp_path: Path) -> None:
    output, noted = tmp_path / "out.jsonl", []
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(2, patch)
        with pytest.raises(KeyboardInterrupt):
            predict_file(evaluated.root, ["lora"], source, output, None, silent, silent)
    source.write_text("".join(source.read_text().splitlines(keepends=True)[:2]))
    assert predict_file(evaluated.root, ["lora"], source, output, None, silent, noted.append) == 2
    assert not [line for line in noted if "kept" in line]
    assert len(files.read_jsonl(output)) == 2
