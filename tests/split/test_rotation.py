"""A new test set has only rows that no experiment has seen, and the old one retires."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, read_rows, write_rows
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.split.assign import split
from tasks.split.assignments import Assignments
from tasks.split.params import ALL_PARTS, Fractions, SplitParams
from tasks.split.run import run
from tasks.split.trial import Rotation, try_rotation
from tasks.text.rows import RENDERED
from tests.split.rows import Rows, row, straddling, table, text

THIRDS = Fractions(train=0.4, validation=0.2, test=0.4)


def params_for(test_set: int = 1, **more: Any) -> SplitParams:
    return SplitParams(**{"fractions": THIRDS, "min_test_groups": 1, **more}, test_set=test_set)


def decided(rows: Rows, earlier: Assignments, params: SplitParams) -> tuple[dict[str, str], Assignments]:
    """Row id → part of each row that is kept, and the assignments after the split."""
    result = split(table(rows), params, "s", earlier)
    parts = {r["row_id"]: ALL_PARTS[n] for r, n in zip(rows, result.part.tolist(), strict=True) if n >= 0}
    return parts, result.assignments


def members(parts: dict[str, str], part: str) -> set[str]:
    return {row_id for row_id, of in parts.items() if of == part}


def apart(start: int, stop: int, **more: Any) -> Rows:
    return [row(i, identity=text(i), **more) for i in range(start, stop)]


# rows come, and test sets change


def _arriving(rng: random.Random, count: int) -> Rows:
    """Rows of which some join a group, some resemble the text of an earlier row, and most are new."""
    rows: Rows = []
    for i in range(count):
        old, fate = (rng.choice(rows) if rows else None), rng.random()
        if old and fate < 0.15:
            rows.append(row(i, old["group"], identity=text(i)))
        elif old and fate < 0.3:
            rows.append(row(i, identity=f"{old['identity']} more{i}", task=old["task"]))
        else:
            rows.append(row(i, identity=text(i), task=rng.choice("kl")))
    return rows


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("more", [{}, {"stratify": ["task"]}, {"limit": {"train": 15, "test": 12}}])
def test_two_rotations_move_no_other_row_and_bring_no_seen_row_into_test(seed: int, more: dict[str, Any]) -> None:
    rng = random.Random(seed)
    rows = _arriving(rng, 160)
    earlier, before, seen = Assignments(), dict[str, str](), set[str]()
    for number, count in ((1, 50), (1, 70), (2, 110), (2, 120), (3, 160)):
        rotated = bool(before) and number > earlier.test_set
        present, params = rng.sample(rows[:count], count), params_for(number, min_test_groups=5, **more)
        parts, after = decided(present, earlier, params)
        assert straddling(present, split(table(present), params, "s", earlier)) == []
        moved = {i: "retired" if rotated and part == "test" else part for i, part in before.items()}
        assert moved.items() <= parts.items(), "only test rows change their part, and only to retired"
        if rotated:
            assert not members(parts, "test") & seen and len(members(parts, "test")) >= 5
        assert decided(rng.sample(present, count), earlier, params) == (parts, after), "in any order of the rows"
        earlier, before, seen = after, parts, seen | parts.keys()
    assert len(members(before, "retired")) > 10


def test_the_new_test_set_is_as_large_as_the_old_one_and_the_other_new_rows_are_split_as_usual() -> None:
    old, earlier = decided(apart(0, 100), Assignments(), params_for())
    size = len(members(old, "test"))
    unchanged, _ = decided(apart(0, 160), earlier, params_for())
    parts, _ = decided(apart(0, 160), earlier, params_for(2))
    assert members(parts, "retired") == members(old, "test")
    fresh = {f"r{i}" for i in range(100, 160)}
    assert size <= len(members(parts, "test")) < 60 and members(parts, "test") <= fresh
    # What the hash would give is kept for the rows that the new test set does not take.
    for part in ("train", "validation"):
        assert members(parts, part) <= members(unchanged, part)


def test_strata_of_the_new_test_set_are_those_of_the_old_one() -> None:
    """Before: 50 rows of each task. After: 20 new rows of task k and 200 of task l."""
    strata = {"stratify": ["task"]}
    old = [*apart(0, 50, task="k"), *apart(50, 100, task="l")]
    before, earlier = decided(old, Assignments(), params_for(**strata))
    assert len(members(before, "test")) == 40
    new = [*apart(100, 120, task="k"), *apart(120, 320, task="l")]
    params = params_for(2, **strata, fractions=THIRDS, limit={"test": 40})
    parts, _ = decided([*old, *new], earlier, params_for(2, **strata))
    k = {r["row_id"] for r in new if r["task"] == "k"}
    assert k <= members(parts, "test"), "the old test set had 20 rows of this task"
    assert len(members(decided([*old, *new], earlier, params)[0], "test")) == 40


def test_rows_over_the_limit_of_test_are_taken_first() -> None:
    rows, limit = apart(0, 200), {"test": 20}
    old, earlier = decided(rows, Assignments(), params_for(limit=limit))
    hidden = {f"r{i}" for i in range(200) if earlier.groups[f"g{i}"] == ALL_PARTS.index("test")} - members(old, "test")
    assert len(members(old, "test")) == 20 and len(hidden) > 20
    parts, after = decided(rows, earlier, params_for(2, limit=limit))
    assert members(parts, "test") < hidden and len(members(parts, "test")) == 20
    again, _ = decided(rows, after, params_for(3, limit=limit))
    assert members(again, "test") < hidden and not members(again, "test") & members(parts, "test")
    assert members(again, "retired") == members(old, "test") | members(parts, "test")


def test_rows_over_the_limit_of_train_become_test_rows_when_nothing_else_is_unseen() -> None:
    rows, limit = apart(0, 100), {"train": 10}
    old, earlier = decided(rows, Assignments(), params_for(limit=limit))
    hidden = {f"r{i}" for i in range(100)} - old.keys()
    parts, _ = decided(rows, earlier, params_for(2, limit=limit))
    assert members(parts, "test") <= hidden and len(members(parts, "test")) == min(
        len(hidden), len(members(old, "test"))
    )
    assert members(parts, "train") == members(old, "train")


def test_a_new_row_that_resembles_a_retired_one_retires_and_one_between_it_and_training_is_dropped() -> None:
    _, earlier = decided(apart(0, 60), Assignments(), params_for())
    parts, earlier = decided(apart(0, 120), earlier, params_for(2))
    retired, trained = (int(min(members(parts, part))[1:]) for part in ("retired", "train"))
    near = row(300, identity=f"{text(retired)} more")
    bridge = [row(301, "b", identity=text(retired), completion="x"), row(302, "b", identity=text(trained))]
    rows = [*apart(0, 120), near, *bridge]
    result = split(table(rows), params_for(2), "s", earlier)
    assert ALL_PARTS[result.part[120]] == "retired"
    assert "bridges train and retired" in result.reason


def test_a_rotation_needs_unseen_groups_and_names_their_number_and_the_remedy() -> None:
    _, earlier = decided(apart(0, 60), Assignments(), params_for())
    pairs = [row(100 + i, f"new{i // 2}", identity=text(100 + i)) for i in range(58)]
    with pytest.raises(TunesmithError) as caught:
        decided([*apart(0, 60), *pairs], earlier, params_for(2, min_test_groups=30))
    assert str(caught.value) == (
        "params/sources.yaml: sources.s.split.test_set: a new test set needs at least 30 groups of rows that no "
        "experiment has seen (min_test_groups); s has 29, with 58 rows. Add rows with `tunesmith data add FILE --name "
        "s --append`, and rotate before the next run splits them; until then, keep `test_set: 1`"
    )
    enough = [*pairs, row(200, "one more", identity=text(200))]
    parts, _ = decided([*apart(0, 60), *enough], earlier, params_for(2, min_test_groups=30))
    assert members(parts, "test") == {r["row_id"] for r in enough}, "filled up to what a decision needs"
    with pytest.raises(TunesmithError, match=r"would have 9 without .*; raise limit\.test or add rows"):
        decided([*apart(0, 60), *enough], earlier, params_for(2, min_test_groups=30, limit={"test": 10}))


def test_rows_whose_neighbours_are_gone_from_the_source_count_as_seen() -> None:
    """Whether the rows over the limit resembled a row that is gone cannot be told."""
    rows, limit = apart(0, 200), {"test": 20}
    old, earlier = decided(rows, Assignments(), params_for(limit=limit))
    gone = min(members(old, "train"))
    left = [r for r in rows if r["row_id"] != gone]
    with pytest.raises(TunesmithError, match="s has 0, with 0 rows"):
        decided(left, earlier, params_for(2, limit=limit))
    parts, _ = decided([*left, *apart(300, 340)], earlier, params_for(2, limit=limit))
    assert members(parts, "test") <= {f"r{i}" for i in range(300, 340)}


def test_a_test_set_does_not_come_back() -> None:
    _, earlier = decided(apart(0, 60), Assignments(), params_for())
    _, earlier = decided(apart(0, 120), earlier, params_for(2))
    with pytest.raises(TunesmithError, match=r"it is 1, and data/splits/s has test set 2, .* set it to 2"):
        decided(apart(0, 120), earlier, params_for(1))


def test_a_first_split_retires_nothing_whatever_its_number() -> None:
    first, earlier = decided(apart(0, 60), Assignments(), params_for(4, min_test_groups=1000))
    assert (first, earlier.test_set) == (decided(apart(0, 60), Assignments(), params_for())[0], 4)


# files


def test_retired_files_keep_their_rows_out_of_training_and_test() -> None:
    files: dict[str, Any] = {"train": ["a"], "test": ["c"], "retired": ["b"]}
    rows = [*apart(0, 40, file="a"), *apart(40, 50, file="b"), *apart(50, 60, file="c")]
    rows += [row(90, identity=f"{text(40)} more", file="a"), row(91, identity=f"{text(41)} more", file="c")]
    result = split(table(rows), SplitParams(by="file", files=files), "s")
    parts = {part: {rows[i]["row_id"] for i in result.rows(part)} for part in ALL_PARTS}
    assert parts["retired"] == {f"r{i}" for i in range(40, 50)} and parts["test"] == {f"r{i}" for i in range(50, 60)}
    assert {
        "train row whose near-duplicate is also in retired",
        "test row whose near-duplicate is also in retired",
    } == {*filter(None, result.reason)}


def test_a_test_file_may_retire_and_other_files_keep_their_split(tmp_path: Path) -> None:
    before = SplitParams(by="file", files={"train": ["a"], "test": ["b"]})
    now = SplitParams(by="file", files={"train": ["a"], "test": ["c"], "retired": ["b"]})
    Assignments({"g0": 1}, {}).write(tmp_path / "a.parquet", before, b"{}")
    assert Assignments.read(tmp_path / "a.parquet", now, b"{}").groups == {"g0": 1}
    trained = SplitParams(by="file", files={"train": ["c"], "test": ["d"], "retired": ["a", "b"]})
    assert Assignments.read(tmp_path / "a.parquet", trained, b"{}").state == "other parameters"


# the stage


def stage(root: Path, rows: Rows, **params: Any) -> tuple[dict[str, Any], Path]:
    """Run the stage; its ``splits.json`` and its folder."""
    paths = Paths(root)
    paths.rendered("s").parent.mkdir(parents=True, exist_ok=True)
    write_rows(paths.rendered("s"), rows, RENDERED)
    run("s", params_for(**params), paths, Stage("split@s", root))
    return read_json(paths.split("s") / "splits.json"), paths.split("s")


def test_the_stage_writes_retired_rows_and_the_number_of_the_test_set(tmp_path: Path) -> None:
    report, folder = stage(tmp_path, apart(0, 60))
    assert report["test_set"] == 1 and "retired" not in report["rows"]
    assert not (folder / "retired.parquet").exists()
    schema = pq.read_schema(folder / "assignments.parquet")
    assert set(schema.metadata) == {b"tunesmith.split", b"tunesmith.split.values"}, "as before there were test sets"
    tested = read_rows(folder / "test.parquet")
    report, folder = stage(tmp_path, apart(0, 120), test_set=2)
    assert (report["test_set"], report["rows"]["retired"], report["seen"]) == (2, len(tested), 0)
    assert read_rows(folder / "retired.parquet") == tested
    earlier = Assignments.read(folder / "assignments.parquet", params_for(2), None)
    assert (earlier.state, earlier.test_set) == ("read", 2)
    report, folder = stage(tmp_path, apart(0, 120), test_set=2)
    assert report["rows"]["retired"] == len(tested) and read_rows(folder / "retired.parquet") == tested


def test_a_trial_counts_the_next_test_set_and_writes_nothing(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    _, folder = stage(tmp_path, apart(0, 60))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    tested = len(read_rows(folder / "test.parquet"))
    write_rows(paths.rendered("s"), apart(0, 120), RENDERED)
    rotation = try_rotation("s", params_for(), paths)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    report, folder = stage(tmp_path, apart(0, 120), test_set=2)
    assert rotation == Rotation("s", 2, report["rows"]["test"], report["rows"]["test"], tested)
    with pytest.raises(TunesmithError, match="is 3 already, and data/splits/s has test set 2; `tunesmith run` draws"):
        try_rotation("s", params_for(3), paths)
    (folder / "assignments.parquet").unlink()
    with pytest.raises(TunesmithError, match="s has none; run `tunesmith run`"):
        try_rotation("s", params_for(2), paths)


def test_a_number_of_a_test_set_is_of_hashed_splits_alone() -> None:
    with pytest.raises(ValueError, match="test_set: only `by: hash` uses it; this is `by: file`"):
        SplitParams(by="file", files={"test": ["a"]}, test_set=2)
