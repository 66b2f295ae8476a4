"""The stage ``split``: what it writes, what it keeps, and the proof in ``splits.json``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, read_rows, write_rows
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.split.assignments import Assignments
from tasks.split.clusters import Nodes
from tasks.split.params import PARTS, Fractions, SplitParams
from tasks.split.report import verify
from tasks.split.run import run
from tasks.text.rows import GROUPED_BY, RENDERED, TEMPLATES
from tests.core.processes import dead_process
from tests.split.rows import PLANTED, SENTENCE, Rows, ids, parts_of, row, text

ROWS = [row(i, group=f"g{i // 3}", task=f"task {i % 2}") for i in range(300)]


def stage(root: Path, rows: Rows, **params: Any) -> dict[str, Any]:
    """Run the stage on ``rows`` and return its ``splits.json``."""
    paths = Paths(root)
    paths.rendered("s").parent.mkdir(parents=True, exist_ok=True)
    write_rows(paths.rendered("s"), rows, RENDERED)
    run("s", SplitParams(**params), paths, Stage("split@s", root))
    return read_json(paths.split("s") / "splits.json")


def written(root: Path) -> dict[str, Rows]:
    return {part: read_rows(Paths(root).split("s") / f"{part}.parquet") for part in PARTS}


def test_the_parts_hold_the_rows_as_they_were(tmp_path: Path) -> None:
    whole = [{**r, "prompt": f"p {i}", "references": ["a", "b"], "time": float(i)} for i, r in enumerate(ROWS)]
    stage(tmp_path, whole)
    parts = written(tmp_path)
    assert {part: ids(rows) for part, rows in parts.items()} == parts_of(ROWS)
    assert parts["test"][0] == dict.fromkeys(RENDERED.names) | whole[int(parts["test"][0]["row_id"][1:])]
    assert pq.read_schema(Paths(tmp_path).split("s") / "train.parquet").equals(RENDERED)
    names = {path.name for path in Paths(tmp_path).split("s").iterdir()}
    assert names == {"assignments.parquet", "splits.json", *(f"{part}.parquet" for part in PARTS)}


def test_splits_json_counts_everything_and_proves_the_parts_apart(tmp_path: Path) -> None:
    near = [row(400 + i, identity=copy, task="near") for i, copy in enumerate([SENTENCE, *PLANTED.values()])]
    report = stage(tmp_path, [*ROWS, ROWS[0], *near], limit={"train": 100}, stratify=["task"])
    parts = written(tmp_path)
    assert report["rows"] == {
        "in": 306,
        **{part: len(rows) for part, rows in parts.items()},
        "dropped": 306 - sum(map(len, parts.values())),
    }
    assert report["dropped"]["duplicate"] == 1
    assert report["dropped"]["over the limit of train"] + 1 == report["rows"]["dropped"]
    assert {task: counts["in"] for task, counts in report["tasks"].items()} == {"task 0": 151, "task 1": 150, "near": 5}
    for part, rows in parts.items():
        assert sum(counts[part] for counts in report["tasks"].values()) == len(rows)
    assert report["clusters"] == {"number": 101, "largest": 5, "of_several_groups": 1, "of_several_texts": 101}
    assert (report["shared_groups"], report["shared_clusters"], report["moved"]) == (0, 0, 0)
    assert set(report["strata"]["realised"]) == {"task 0", "task 1", "near"}


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for folder in ("a", "b", "a", "a"):
        stage(tmp_path / folder, ROWS)
        contents.append({path.name: path.read_bytes() for path in Paths(tmp_path / folder).split("s").iterdir()})
    first, elsewhere, again, third = contents
    assert first == elsewhere and again == third and len(first) == 5
    assert {name for name in first if first[name] != again[name]} == {"splits.json"}, "it reports their state"


def test_earlier_assignments_are_reported_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def ran(**params: Any) -> tuple[dict[str, Any], list[str]]:
        caplog.clear()
        report = stage(tmp_path, ROWS, **params)
        return report["assignments"], [record.message for record in caplog.records if record.levelname == "WARNING"]

    assert ran() == ({"state": "none", "groups": 0}, []), "a source that was never split is no news"
    assert ran() == ({"state": "read", "groups": 100}, [])
    test = len(read_rows(Paths(tmp_path).split("s") / "test.parquet"))
    earlier, lines = ran(fractions=Fractions(train=0.4, validation=0.2, test=0.4))
    assert earlier == {"state": "other parameters", "groups": 0}
    fractions = "split.fractions was {test: 0.1, train: 0.8, validation: 0.1}, now it is {test: 0.4, train: 0.4, "
    assert lines[0].startswith(f"s: WARNING: rows are split anew: {fractions}")
    assert f"(test has {test} rows now); scores cannot be compared" in lines[1]
    assert "in params/sources.yaml, set `fractions: {test: 0.1," in lines[2] and "` under sources.s.split" in lines[2]
    after = len(read_rows(Paths(tmp_path).split("s") / "test.parquet"))
    assert lines[3] == f"WARNING: s: split anew: test rows {test} → {after}" and after > test


def test_lost_assignments_that_dvc_lock_records_are_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  split@s:\n    cmd: x\n")
    stage(tmp_path, ROWS)
    lines = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "dvc.lock records a split, but data/splits/s with its assignments is missing" in lines[0]
    assert "run `dvc checkout data/splits/s`" in lines[2] and "test rows unknown → " in lines[3]


def test_lost_assignments_that_decide_nothing_are_not_missed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The files give every part, so a clone without the folder assigns the same rows."""
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  split@s:\n    cmd: x\n")
    rows = [row(i, group=f"g{i}", source_file=PARTS[i % 3]) for i in range(30)]
    stage(tmp_path, rows, by="file", files={part: [part] for part in PARTS})
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_rows_grouped_otherwise_start_afresh_instead_of_being_dropped_as_bridges(tmp_path: Path) -> None:
    """As after an edit of `template.group`: pairs of what were groups of their own become one."""
    paths = Paths(tmp_path)
    apart = [row(i, group=f"g{i}", identity=text(i)) for i in range(100)]
    paired = [{**r, "group": f"h{i // 2}"} for i, r in enumerate(apart)]
    stage(tmp_path, apart)
    schema = RENDERED.with_metadata({GROUPED_BY: b'{"group":"author"}', TEMPLATES: b"{}"})
    write_rows(paths.rendered("s"), paired, schema)
    run("s", SplitParams(), paths, Stage("split@s", tmp_path))
    report = read_json(paths.split("s") / "splits.json")
    assert (report["assignments"]["state"], report["rows"]["dropped"]) == ("other parameters", 0)
    assert pq.read_schema(paths.split("s") / "train.parquet").metadata is None, "the parts are as they were"
    assert pq.read_schema(paths.split("s") / "test.parquet").metadata == {TEMPLATES: b"{}"}


def test_a_split_that_a_killed_run_moved_aside_is_read(tmp_path: Path) -> None:
    stage(tmp_path, ROWS)
    folder = Paths(tmp_path).split("s")
    folder.rename(folder.with_name(f".s.{dead_process()}.old.partial"))
    assert stage(tmp_path, ROWS)["assignments"]["state"] == "read"
    assert [path.name for path in folder.parent.iterdir()] == ["s"]


def test_the_stage_reads_earlier_assignments(tmp_path: Path) -> None:
    """A new row joins two clusters: with the hash alone the one with the later name would move to the other's side."""
    apart = [row(i, identity=text(i)) for i in range(200)]
    stage(tmp_path, apart)
    before = {r["row_id"]: part for part, rows in written(tmp_path).items() for r in rows}
    test, train = (next(int(i[1:]) for i in before if before[i] == part) for part in ("test", "train"))
    bridge = [row(300 + i, "bridge", identity=text(n), completion="b") for i, n in enumerate((test, train))]
    report = stage(tmp_path, [*apart, *bridge])
    after = {r["row_id"]: part for part, rows in written(tmp_path).items() for r in rows}
    assert before.items() <= after.items()
    assert report["dropped"] == {"bridges train and test": 1} and report["moved"] == 0
    (tmp_path / "data/splits/s/assignments.parquet").unlink()
    report = stage(tmp_path, [*apart, *bridge])
    afresh = {r["row_id"]: part for part, rows in written(tmp_path).items() for r in rows}
    assert report["dropped"] == {} and not before.items() <= afresh.items()


def test_a_failure_leaves_the_old_split(tmp_path: Path) -> None:
    stage(tmp_path, ROWS)
    before = written(tmp_path)
    with pytest.raises(TunesmithError, match="each part needs at least 500"):
        stage(tmp_path, ROWS, min_rows=500)
    assert written(tmp_path) == before


def test_missing_rendered_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=re.escape("s.parquet: no such file; run `tunesmith run`")):
        run("s", SplitParams(), Paths(tmp_path), Stage("split@s", tmp_path))


# the proof is no formality

APART = {"train": row(1, identity=text(1)), "validation": row(2, identity=text(2)), "test": row(3, identity=text(3))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"group": "g1"}, "'shared_groups': 1, 'shared_clusters': 0, 'moved': 1"),
        ({"identity": text(1).upper()}, "'shared_groups': 0, 'shared_clusters': 1, 'moved': 0"),
        ({"identity": f"{text(1)} more"}, "'shared_groups': 0, 'shared_clusters': 1, 'moved': 0"),
        ({"group": "old"}, "'shared_groups': 0, 'shared_clusters': 0, 'moved': 1"),
    ],
)
def test_written_parts_that_share_something_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str | None
) -> None:
    rows = {**APART, "test": APART["test"] | change}
    for part, members in rows.items():
        pq.write_table(pa.Table.from_pylist([members], schema=RENDERED), tmp_path / f"{part}.parquet")
    everything = list(rows.values())
    nodes = Nodes.of(
        [r["identity"] for r in everything], [r["group"] for r in everything], SplitParams().near_duplicates
    )
    earlier = Assignments({"g1": 0, "old": 0}, {})
    if message is None:
        assert set(verify(tmp_path, nodes, earlier, SplitParams()).values()) == {0}
        return
    with pytest.raises(AssertionError, match=re.escape(message)):
        verify(tmp_path, nodes, earlier, SplitParams())
