"""``template@S`` depends on the one set that it reads: DVC's word for it, on a real workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workspaces import copy_workspace, dvc, edit

HASH = {"by": "hash", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}

pytestmark = pytest.mark.slow


def stale(root: Path) -> set[str]:
    stages = set(json.loads(dvc(root, "status", "--json").stdout))
    return {name for name in stages if name.split("@")[0] in {"ingest", "template", "split"}}


def test_a_changed_set_makes_its_own_sources_stale_and_no_others(tmp_path: Path, workspace_with_data: Path) -> None:
    root = copy_workspace(workspace_with_data, tmp_path / "workspace")
    own = root / "tasks/template/library/own/mine.yaml"
    own.write_text(
        "name: mine\ntask: qa\ndescription: d\ncolumns: {q: question, a: answer}\n"
        "templates:\n  - {id: ask, prompt: '{{ q }}', references: a}\n"
    )
    sets = {"moods": "sentiment", "mine": "own/mine"}
    for name, row in {"moods": {"text": "Fine film.", "label": 1}, "mine": {"q": "Why now?", "a": "Because."}}.items():
        (root / f"data/sources/{name}").mkdir(parents=True)
        (root / f"data/sources/{name}/all.jsonl").write_text(json.dumps(row) + "\n")
        block = {"ingest": {}, "template": {"set": sets[name]}, "split": HASH}
        edit(root, "sources", lambda p, name=name, block=block: p["sources"].update({name: block}))  # type: ignore[misc]
    dvc(root, "add", "data/sources/moods", "data/sources/mine")
    dvc(root, "repro", "template@moods", "template@mine")
    before = stale(root)
    assert not [name for name in before if name.startswith("template")]
    for changed, source in ((root / "tasks/template/library/sentiment.yaml", "moods"), (own, "mine")):
        text = changed.read_text()
        changed.write_text(text.replace("prompt:", "task: other\n    prompt:", 1) if source == "moods" else f"{text}\n")
        assert stale(root) - before == {f"template@{source}"}
        changed.write_text(text)
        assert stale(root) == before
