"""From a registered version back to its rows, and from a row or a file to the models that saw it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.commands.explain import explain_file, explain_model, explain_row, file_lines, model_lines, row_lines
from flows.commands.registered import address_of
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry.decisions import append
from tasks.text.training_rows import SCHEMA
from tasks.tracking.client import VARIABLE, open_store
from tests.tracking.ledger_workspace import candidate_workspace, key_of

MIXTURE, SOURCE = "3" * 30 + "33.dir", "4" * 30 + "44.dir"
LOCK = {
    "schema": "2.0",
    "stages": {
        "ingest@demo": {
            "cmd": "python -m tasks.ingest demo",
            "deps": [{"path": "data/sources/demo", "md5": SOURCE}],
            "outs": [{"path": "data/raw/demo.parquet", "md5": "5" * 32}],
        },
        "mix@demo": {
            "cmd": "python -m tasks.mix demo",
            "deps": [{"path": "data/raw/demo.parquet", "md5": "5" * 32}],
            "outs": [{"path": "data/mixtures/demo", "md5": MIXTURE}],
        },
        "train@lora": {
            "cmd": "python -m tasks.train lora",
            "deps": [{"path": "data/mixtures/demo", "md5": MIXTURE}],
            "outs": [{"path": "models/lora", "md5": "6" * 30 + "66.dir"}],
        },
    },
}


def _git(root: Path, *arguments: str) -> str:
    own = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(
        ["git", *own, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


TRAINED_ON = [
    "  trained on 2 rows of demo",
    "  trained on 1 row of news, through an ancestor",
    "  3 distinct rows in total",
]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Paths:
    """A workspace in git and DVC, whose model lora is the champion. Its base was tuned on the row ``old``."""
    from dvc.repo import Repo

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        paths = candidate_workspace(tmp_path_factory.mktemp("lineage") / "workspace", empty_store)
        root = paths.root
        seen = [(0, "demo", "row-a"), (0, "demo", "row-b"), (1, "news", "old")]
        rows = [{"generation": one[0], "source": one[1], "row_id": one[2], "text": 1} for one in seen]
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), paths.model("lora") / "training_rows.parquet")
        paths.split("demo").mkdir(parents=True)
        for part, ids in (("train", ["row-a", "row-b"]), ("test", ["row0"])):
            pq.write_table(pa.table({"row_id": ids}), paths.split("demo") / f"{part}.parquet")
        (root / "data/raw").mkdir()
        raw = {"row_id": ["row-a", "row-b", "row0"], "source_file": ["one", "one", "two"]}
        pq.write_table(pa.table(raw), paths.raw("demo"))
        write_yaml(root / "dvc.lock", LOCK)
        write_yaml(paths.params / "registration.yaml", {"registration": {"min_groups": 2}})
        (root / "code.py").write_text("before = 1\n")
        (root / ".gitignore").write_text("*\n!code.py\n!params\n!params/*\n!.gitignore\n")
        _git(root, "init", "--quiet")
        _git(root, "add", "-A")
        _git(root, "commit", "--quiet", "-m", "one")
        (root / "code.py").write_text("after = 1\n")
        Repo.init(str(root), no_scm=True).close()
        cached = root / ".dvc/cache/files/md5" / MIXTURE[:2] / MIXTURE[2:]
        cached.parent.mkdir(parents=True)
        cached.write_text("[]")
        paths.mixture("demo").mkdir(parents=True, exist_ok=True)
        run(RegistrationParams(min_groups=2), paths)
    return paths


def test_a_version_is_explained_back_to_its_rows(registered: Paths) -> None:
    facts = explain_model(registered.root, None)
    assert json.loads(json.dumps(facts)) == facts
    commit = _git(registered.root, "rev-parse", "HEAD")
    lines = model_lines(facts)
    assert lines[0] == "version 1 of tunesmith (champion): experiment lora"
    assert lines[1].startswith("  decision: accepted, 20") and lines[1].endswith(" by the gate")
    assert f"  weights: {facts['model']['weights_sha256'][:12]}, in workspace, MLflow" in lines
    assert f"  key: {key_of('lora')[:12]}; fingerprint of the rendering: ffffffffffff" in lines
    assert (
        f"  code: commit {commit}, in this repository; with uncommitted changes, which are stored with the run; "
        "trained at abc" in lines
    )
    start = lines.index("  data, the sources first:")
    assert lines[start + 1 : start + 4] == [
        "    data/sources/demo: 444444444444, lost",
        "    data/raw/demo.parquet: 555555555555, in workspace (ingest@demo)",
        "    data/mixtures/demo: 333333333333, in workspace, cache (mix@demo)",
    ]
    assert lines[-3:] == TRAINED_ON


def test_what_is_gone_is_called_lost(registered: Paths, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(registered.root, copy, symlinks=True)
    shutil.rmtree(copy / ".dvc/cache")
    shutil.rmtree(copy / "data")
    shutil.rmtree(copy / "models")
    shutil.rmtree(copy / ".git")
    _git(copy, "init", "--quiet")
    lines = model_lines(explain_model(copy, "1"))
    assert any(line.startswith("  code: commit ") and ", lost; with" in line for line in lines)
    assert "    data/mixtures/demo: 333333333333, lost (mix@demo)" in lines
    assert any(line.startswith("  weights: ") and line.endswith("in MLflow") for line in lines)
    assert lines[-3:] == TRAINED_ON


def test_a_row_names_the_models_that_saw_it(registered: Paths) -> None:
    assert row_lines(explain_row(registered.root, "row-a")) == [
        "row row-a: train of demo",
        "seen in training by:",
        "  models:/tunesmith/1 (champion), experiment lora",
    ]
    assert row_lines(explain_row(registered.root, "row0")) == ["row row0: test of demo", "no model saw it in training"]
    assert row_lines(explain_row(registered.root, "old"))[2].endswith(", through a model that it was tuned from")
    with pytest.raises(TunesmithError, match="no split and no model has a row 'row-z'"):
        explain_row(registered.root, "row-z")


def test_a_file_names_the_models_that_saw_its_rows(registered: Paths) -> None:
    for name in ("one", "one.jsonl", "data/sources/demo/one.jsonl"):
        assert file_lines(explain_file(registered.root, name)) == [
            f"{name}: 2 rows",
            "seen in training by:",
            "  models:/tunesmith/1 (champion), experiment lora: 2 rows",
        ]
    assert file_lines(explain_file(registered.root, "two"))[1:] == ["no model saw any of them in training"]
    with pytest.raises(TunesmithError, match="there are: data/sources/demo/one, data/sources/demo/two"):
        explain_file(registered.root, "three")


def test_the_state_is_stored_once_and_complete(registered: Paths, tmp_path: Path) -> None:
    from tasks.tracking.state import log_state, read_state

    tracker = open_store(registered.root)
    run_id = tracker.client.get_model_version("tunesmith", "1").run_id
    elsewhere = Paths(tmp_path / "elsewhere")
    log_state(
        tracker.client, run_id, "lora", elsewhere, elsewhere.report("lora")
    )  # a second call keeps the first state
    state = read_state(tracker.client, run_id, tmp_path)
    assert state is not None
    assert (state / "dvc.lock").read_bytes() == (registered.root / "dvc.lock").read_bytes()
    assert (state / "params/registration.yaml").exists()
    rows = pq.read_table(state / "rows.parquet")
    assert rows.num_rows == 4 and {"row_id", "finished", "rouge1_f"} <= set(rows.column_names)
    assert not {"prompt", "text", "references", "completion"} & set(rows.column_names), "no text outlives its row"
    assert set(files.read_json(state / "evaluation.json")) == {"generation", "shots"}
    assert "+after = 1" in (state / "uncommitted.patch").read_text()


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        (None, "models:/tunesmith@champion"),
        ("3", "models:/tunesmith/3"),
        ("m@previous", "models:/m@previous"),
        ("models:/x/1", "models:/x/1"),
        ("lora", "models:/tunesmith/1"),
    ],
)
def test_what_a_user_types_is_an_address(registered: Paths, typed: str | None, address: str) -> None:
    assert address_of(typed, RegistrationParams(), open_store(registered.root).client) == address


def test_an_unknown_version_names_the_known_ones(registered: Paths) -> None:
    with pytest.raises(TunesmithError, match=r"models:/tunesmith/9: .*; versions of tunesmith: 1 \(champion\)"):
        explain_model(registered.root, "9")
    with pytest.raises(TunesmithError, match=r"full: a version is a number, .*; versions of tunesmith: 1 \(lora\)"):
        explain_model(registered.root, "full")
    with pytest.raises(TunesmithError, match=r"models:/other@champion: .*; there is no version of other yet"):
        explain_model(registered.root, "other@champion")


def test_a_version_that_is_not_the_present_model_says_so(registered: Paths, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(registered.root, copy, symlinks=True)
    manifest = Paths(copy).model("lora") / "manifest.json"
    files.write_json(manifest, files.read_json(manifest) | {"weights_sha256": "0" * 64})
    lines = model_lines(explain_model(copy, "lora"))
    assert any(line.endswith("in MLflow; models/lora has other weights now") for line in lines)


def test_a_row_that_is_withheld_says_since_when_and_why(registered: Paths, tmp_path: Path) -> None:
    copy = Paths(tmp_path / "copy")
    shutil.copytree(registered.root, copy.root, symlinks=True)
    request = {"time": "2026-01-02T03:04:05+00:00", "action": "forget", "rows": {"demo": ["row-a", "gone"]}}
    append(copy, request | {"by": "Ada", "why": "deletion request 17"})
    expected = "withheld from all runs since 2026-01-02T03:04:05+00:00 by Ada: deletion request 17"
    assert row_lines(explain_row(copy.root, "row-a"))[1] == expected
    assert row_lines(explain_row(copy.root, "gone"))[:2] == ["row gone: no part of the present splits", expected]
