"""Changing one source's templates renders that source and what is made of it, and trains nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.files import sha256
from tests.workspaces import copy_workspace, dvc, edit, ran

pytestmark = pytest.mark.slow


def stale(root: Path) -> set[str]:
    """The stages that ``dvc status`` names, of those that are built here."""
    stages: dict[str, Any] = json.loads(dvc(root, "status", "--json").stdout)
    return {name for name in stages if name.split("@")[0] in ("ingest", "template", "split", "mix", "evaluation_set")}


TARGETS = ["mix@demo", "mix@reviews", "evaluation_set"]


def test_changing_one_sources_templates_leaves_the_others_alone(tmp_path: Path, workspace_with_data: Path) -> None:
    root = copy_workspace(workspace_with_data, tmp_path / "workspace")
    (root / "data/sources/reviews").mkdir(parents=True)
    texts = [{"sentence": f"the {i}th lamp that I bought works {'well' if i % 2 else 'badly'}"} for i in range(60)]
    lines = [json.dumps(row | {"label": i % 2}) for i, row in enumerate(texts)]
    (root / "data/sources/reviews/all.jsonl").write_text("\n".join(lines) + "\n")
    source = {
        "ingest": {"required": ["sentence", "label"]},
        "template": {"set": "sentiment", "columns": {"text": "sentence"}, "use": ["feeling"]},
        "split": {"by": "hash", "near_duplicates": None},
    }
    edit(root, "sources", lambda p: p["sources"].update(reviews=source))
    edit(root, "mixtures", lambda p: p["mixtures"].update(reviews={"sources": {"reviews": {}}}))
    dvc(root, "repro", *TARGETS)
    assert stale(root) == set()
    what_other_experiments_read = [
        *(root / "data/mixtures/demo" / f"{part}.parquet" for part in ("train", "validation", "dirty")),
        root / "data/evaluation",
    ]
    before = [sha256(path) for path in what_other_experiments_read]

    edit(root, "sources", lambda p: p["sources"]["reviews"]["template"].update(use=["author"]))
    assert stale(root) == {"template@reviews"}
    again = ran(dvc(root, "repro", *TARGETS).stdout)
    assert [name for name in again if name.endswith("@reviews")] == ["template@reviews", "split@reviews", "mix@reviews"]
    # The others look at its test rows anew (contamination, the evaluation set) and write what they had written.
    assert set(again) - {"mix@demo", "evaluation_set"} == {"template@reviews", "split@reviews", "mix@reviews"}
    assert [sha256(path) for path in what_other_experiments_read] == before
    assert stale(root) == set()
