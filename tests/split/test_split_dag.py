"""``dvc repro`` keeps the folder of a split while the stage runs, so that old assignments stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.core.files import read_json, read_rows
from tasks.split.params import PARTS
from tests.split.rows import line
from tests.workspaces import commit, dvc, edit, make_workspace, ran

pytestmark = pytest.mark.slow


def test_new_rows_of_a_source_move_no_old_one(tmp_path: Path, tiny_llama: Path) -> None:
    root = make_workspace(tmp_path / "workspace", tiny_llama)
    source = {"ingest": {}, "template": {"set": "dialogue_summary", "use": ["summarise"]}, "split": {}}
    edit(root, "sources", lambda p: p["sources"].update(notes=source))
    lines = [line(20 * i) for i in range(60)]
    rows = [{"dialogue": words, "summary": f"summary {i}"} for i, words in enumerate(lines)]
    before = _split(root, rows)
    assert ran(dvc(root, "repro", "split@notes").stdout) == []
    # A row half way between a training row and a test row: without earlier assignments all three would go to one side.
    pairs = [{lines[i], lines[i + 1]} for i in range(59)]
    i = next(i for i, pair in enumerate(pairs) if pair & before["train"] and pair & before["test"])
    assert _split(root, [{"dialogue": line(20 * i + 10), "summary": "half way"}, *rows]) == before
    report = read_json(root / "data/splits/notes/splits.json")
    assert report["dropped"] == {"bridges train and test": 1}
    assert (report["moved"], report["shared_groups"], report["shared_clusters"]) == (0, 0, 0)
    edit(root, "sources", lambda p: p["sources"]["notes"].update(split={"limit": {"train": 10}}))
    dvc(root, "repro", "split@notes")
    assert all(_parts(root)[part] == before[part] for part in ("validation", "test"))
    assert len(_parts(root)["train"]) == 10


def _split(root: Path, rows: list[dict[str, str]]) -> dict[str, set[str]]:
    folder = root / "data/sources/notes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").unlink(missing_ok=True)  # DVC's cache may hold the same file
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dvc(root, "add", "data/sources/notes")
    commit(root)
    dvc(root, "repro", "split@notes")
    return _parts(root)


def _parts(root: Path) -> dict[str, set[str]]:
    return {part: {r["text"] for r in read_rows(root / f"data/splits/notes/{part}.parquet")} for part in PARTS}
