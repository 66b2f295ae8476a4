"""``tunesmith forget``: the rows are withheld, and every file that holds one of them is listed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.commands.forget import forget, forget_lines
from tasks.core.errors import TunesmithError
from tasks.core.pages import pages
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.gate.params import RegistrationParams
from tasks.ingest.params import IngestParams
from tasks.ingest.run import run as ingest
from tasks.lineage.traces import PIECE, traces_of
from tasks.register.run import run as register
from tasks.registry.decisions import decisions
from tasks.text.training_rows import SCHEMA
from tasks.tracking.client import VARIABLE, open_store
from tests.tracking.ledger_workspace import candidate_workspace

GREETING = "Agent: good morning, you are speaking with the support of the lamp shop. "
SECRET = GREETING + 'Customer: I\'m Ada Lovelace & I live in "Ockham Park".'
CHATS = [{"dialogue": SECRET, "n": 1}, {"dialogue": GREETING + "Customer: where is my parcel?", "n": 2}]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Paths:
    """A workspace of the source ``chats``, whose first row the champion saw, with the row in many files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        paths = candidate_workspace(tmp_path_factory.mktemp("forget") / "workspace", empty_store)
        root = paths.root
        paths.source("chats").mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in CHATS)
        (paths.source("chats") / "all.jsonl").write_text(lines)
        sources = {"sources": {"chats": {"ingest": {"required": ["dialogue"]}}}, "generated": {}, "hub": {}}
        write_yaml(paths.params / "sources.yaml", sources)
        write_yaml(paths.params / "registration.yaml", {"registration": {"min_groups": 2}})
        ingest("chats", IngestParams(), paths, Stage("ingest@chats", root))
        row = {"source": "chats", "row_id": row_id(paths), "text": 1}
        seen = [row | {"generation": generation} for generation in (0, 1)]
        pq.write_table(pa.Table.from_pylist(seen, schema=SCHEMA), paths.model("lora") / "training_rows.parquet")
        outs = [{"path": "data/raw/chats.parquet", "md5": "5" * 32}]
        stages = {"ingest@chats": {"cmd": "python -m tasks.ingest chats", "deps": [], "outs": outs}}
        write_yaml(root / "dvc.lock", {"schema": "2.0", "stages": stages})
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=root, check=True)
        register(RegistrationParams(min_groups=2), paths)
    return paths


@pytest.fixture
def paths(built: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    shutil.copytree(built.root, tmp_path / "workspace", symlinks=True)
    monkeypatch.setenv("TUNESMITH_USER", "Ada")
    return Paths(tmp_path / "workspace")


def row_id(paths: Paths, number: int = 0) -> str:
    return str(pq.read_table(paths.raw("chats"))["row_id"][number].as_py())


def test_the_row_is_withheld_and_the_decision_noted_once(paths: Paths) -> None:
    secret = row_id(paths)
    facts = forget(paths.root, [secret], "  request\n 17 ")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["rows"] == {"chats": [secret]} and facts["new"] == [secret]
    entry = read_yaml(paths.params / "sources.yaml")["sources"]["chats"]["ingest"]
    assert entry == {"withheld": [secret], "required": ["dialogue"]}
    line = json.loads(paths.ledger.read_text().splitlines()[-1])
    assert line.pop("time").startswith("20")
    assert line == {"action": "forget", "by": "Ada", "rows": {"chats": [secret]}, "why": "request 17"}
    assert len(decisions(paths)) == 1, "the gate's; a line without a model's key is no decision about a champion"
    ingest("chats", IngestParams.model_validate(entry), paths, Stage("ingest@chats", paths.root))
    assert pq.read_table(paths.raw("chats"))["n"].to_pylist() == [2]
    again = forget(paths.root, [secret], "again")
    assert again["new"] == [] and again["rows"] == facts["rows"]
    assert len(paths.ledger.read_text().splitlines()) == 2
    assert "withheld since an earlier request" in forget_lines(again)[0]
    assert list(again["outputs"]) == [], "the raw data has been written anew"


def test_every_file_that_holds_the_row_is_listed_with_its_remedy(paths: Paths) -> None:
    root, secret = paths.root, row_id(paths)
    cached = root / ".dvc/cache/files/md5/aa/bbbb"
    cached.parent.mkdir(parents=True)
    shutil.copy(paths.raw("chats"), cached)
    (cached.parent / "cccc").write_text(json.dumps({"dialogue": CHATS[1]["dialogue"]}))
    store = root.parent / "store"
    shutil.copytree(root / ".dvc/cache/files", store / "files")
    (root / ".dvc/config").write_text(
        f"[core]\n    no_scm = true\n    remote = own\n['remote \"own\"']\n    url = {store}\n"
    )
    template = pages(root).from_string("<td>{{ text }}</td><script>{{ text | tojson }}</script>")
    (root / "reports/page.html").write_text(template.render(text=SECRET))
    (root / "reports/other.html").write_text(template.render(text=GREETING))
    (root / ".tunesmith").mkdir(exist_ok=True)
    with sqlite3.connect(root / ".tunesmith/prefect.db") as database:
        database.execute("create table log (message text)")
        database.execute("insert into log values (?)", (SECRET,))
    client = open_store(root).client
    run = client.search_runs(["1"])[0].info.run_id
    (root / f"mlartifacts/{run}/artifacts/table.json").write_text(json.dumps({"data": [["x", SECRET]]}))
    facts = forget(root, [secret], "request")
    assert facts["seen_by"][0]["model"] == "models:/tunesmith/1" and facts["seen_by"][0]["aliases"] == ["champion"]
    own = {"lines": [1], "kind": "own", "files": ["all.jsonl"]}
    assert facts["sources"] == {"data/sources/chats/all.jsonl": own}
    assert facts["outputs"] == {"data/raw/chats.parquet": "ingest@chats"}
    assert list(facts["cache"]) == ["aabbbb"], "the other row has the same greeting"
    assert [Path(path).relative_to(store).as_posix() for path in facts["remote"].values()] == ["files/md5/aa/bbbb"]
    assert [(one["run"], one["artifact"]) for one in facts["artifacts"]] == [(run, "table.json")]
    assert facts["others"] == [".tunesmith/prefect.db", "reports/page.html"]
    lines, seen = "\n".join(forget_lines(facts)), facts["seen_by"][0]["run_id"]
    for remedy in (
        "models:/tunesmith/1 (champion), experiment lora, directly and through a model that it was tuned from",
        "the base model of lora saw the row: a new training starts from it; name another base_model in",
        "python -c \"from mlflow import MlflowClient; MlflowClient().delete_model_version('tunesmith', '1')\""
        f" && mlflow runs delete --run-id {seen} && mlflow gc --backend-store-uri",
        "`tunesmith data add COPY/all.jsonl --name chats --replace --yes`",
        "data/raw/chats.parquet (ingest@chats)",
        f"rm -f {cached}",
        f"rm -f {facts['artifacts'][0]['path']}",
        "rm -f reports/page.html",
        "run this command again to see what is left",
    ):
        assert remedy in lines, remedy


def test_a_row_of_two_sources_is_withheld_from_both(paths: Paths) -> None:
    shutil.copytree(paths.source("chats"), paths.source("copy"))
    sources = read_yaml(paths.params / "sources.yaml")
    sources["sources"]["copy"] = {"ingest": {"required": ["dialogue"]}}
    sources["sources"]["chats"]["ingest"]["withheld"] = [row_id(paths)]
    write_yaml(paths.params / "sources.yaml", sources)
    facts = forget(paths.root, [row_id(paths)], "request")
    assert facts["rows"] == {"chats": [row_id(paths)], "copy": [row_id(paths)]} and facts["new"] == [row_id(paths)]
    written = read_yaml(paths.params / "sources.yaml")["sources"]
    assert written["copy"]["ingest"]["withheld"] == written["chats"]["ingest"]["withheld"] == [row_id(paths)]


def test_a_row_is_recognised_by_a_piece_that_no_other_row_has(paths: Paths) -> None:
    traces = traces_of([row_id(paths)], paths)
    pieces = {piece.decode() for piece in traces.pieces}
    assert SECRET[PIECE : 2 * PIECE] in pieces and not any(GREETING[:PIECE] in piece for piece in pieces)
    assert traces.files == {"data/sources/chats/all.jsonl": [1]}


def test_nothing_changes_for_an_unknown_row_or_without_a_reason(paths: Paths) -> None:
    before = (paths.params / "sources.yaml").read_bytes()
    with pytest.raises(TunesmithError, match=r"forget: ROW_ID must be a row of a source in .*; 'nobody' is none"):
        forget(paths.root, [row_id(paths), "nobody"], "request")
    with pytest.raises(TunesmithError, match="forget: --why must give a reason, but is empty"):
        forget(paths.root, [row_id(paths)], " ")
    assert (paths.params / "sources.yaml").read_bytes() == before
