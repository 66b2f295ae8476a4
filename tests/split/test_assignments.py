"""Old assignments stand: rounds of new rows move nothing, and what would bridge two parts is left out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.split.assign import split
from tasks.split.assignments import Assignments, kept_key, text_key
from tasks.split.clusters import Nodes
from tasks.split.hashed import hashed_parts
from tasks.split.params import PARTS, Fractions, SplitParams
from tasks.text.near_duplicates import NearDuplicateParams, normalise
from tests.split.rows import Rows, decide, line, row, straddling, table, text
from tests.text.similarity import similarity

THIRDS = Fractions(train=0.4, validation=0.2, test=0.4)


TEXTS = {3: line(0), 0: line(20), 1: line(40), 2: line(500)}
BETWEEN_0_AND_1, BETWEEN_3_AND_0 = line(30), line(10)


def assigned_parts(**parts: str) -> Assignments:
    """Groups that were put in parts before, each with the text of its number."""
    groups = {group: PARTS.index(part) for group, part in parts.items()}
    return Assignments(groups, {text_key(normalise(TEXTS[int(group[1:])])): part for group, part in groups.items()})


def one_part_each(rows: Rows, earlier: Assignments, **params: object) -> dict[str, str]:
    parts, _ = decide(rows, earlier, min_rows=1, **params)
    return {i: part for part, members in parts.items() for i in members}


EARLIER = assigned_parts(g0="train", g1="test", g2="validation", g3="train")
OLD = [row(i, identity=TEXTS[i]) for i in (0, 1, 2, 3)]


def test_new_rows_follow_their_cluster() -> None:
    new = [
        row(10, identity=f"{TEXTS[1]} more"),  # near a test text
        row(11, group="g2", identity=text(11)),  # of a validation group
        row(12, identity=f"{text(12)} more"),  # near row 13 only, which is of a training group
        row(13, group="g3", identity=text(12)),
    ]
    assert one_part_each([*new, *OLD], EARLIER) == {
        "r0": "train",
        "r1": "test",
        "r2": "validation",
        "r3": "train",
        "r10": "test",
        "r11": "validation",
        "r12": "train",
        "r13": "train",
    }


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (row(10, identity=BETWEEN_0_AND_1), "bridges train and test"),
        (row(10, group="g0", identity=f"{TEXTS[2]} more"), "bridges train and validation"),
        (row(10, group="g2", identity=TEXTS[1], completion="another"), "bridges validation and test"),
    ],
)
def test_a_new_row_that_bridges_two_parts_is_dropped_by_name(new: dict[str, object], message: str) -> None:
    parts, dropped = decide([new, *OLD], EARLIER)
    assert parts == {"train": ["r0", "r3"], "validation": ["r2"], "test": ["r1"]}
    assert dropped == {message: 1}


def test_too_many_bridges_stop_the_step_and_name_the_remedy() -> None:
    with pytest.raises(TunesmithError) as caught:
        bridges = [row(10 + i, group="g0", identity=f"{TEXTS[1]} {i}") for i in range(2)]
        decide([*bridges, *OLD], EARLIER)
    assert "2 of 6 rows would be dropped: 2 bridges train and test. " in str(caught.value)
    assert "delete data/splits/s/assignments.parquet and run `tunesmith run --new-split s` to decide" in str(
        caught.value
    )


def test_lines_have_the_intended_similarity() -> None:
    assert similarity(TEXTS[0], TEXTS[1]) == similarity(TEXTS[3], TEXTS[0]) == 16 / 56
    assert similarity(BETWEEN_0_AND_1, TEXTS[0]) == similarity(BETWEEN_0_AND_1, TEXTS[1]) == 26 / 46


def test_a_new_row_between_two_clusters_of_one_part_stays() -> None:
    parts, dropped = decide([row(10, identity=BETWEEN_3_AND_0), *OLD], EARLIER)
    assert parts["train"] == ["r10", "r0", "r3"] and dropped == {}


def test_a_new_duplicate_goes_and_the_old_row_stays() -> None:
    parts, dropped = decide([row(10, identity=TEXTS[0].upper(), completion="C0"), *OLD], EARLIER)
    assert parts["train"] == ["r0", "r3"] and dropped == {"duplicate": 1}


def test_of_a_chain_between_two_parts_what_is_near_test_is_dropped() -> None:
    """No row of the chain touches both sides by itself."""
    chain = [row(10, group="g0", identity=text(10)), row(11, group="x", identity=text(10), completion="b")]
    chain += [row(12, group="x", identity=text(11)), row(13, group="g1", identity=text(11), completion="b")]
    for rows in (chain, chain[::-1]):
        parts, dropped = decide([*rows, *OLD], EARLIER)
        assert {*parts["train"]} == {"r10", "r11", "r12", "r0", "r3"}
        assert parts["test"] == ["r1"] and dropped == {"bridges train and test": 1}


def test_rows_that_came_while_others_were_gone_give_way_to_test() -> None:
    """Texts 0 and 1 of two parts are near-duplicates now: text 1 came while 0 was gone."""
    texts = [text(0), f"{text(0)} more"]
    keys = [text_key(normalise(words)) for words in texts]
    earlier = Assignments({"g0": 0, "g1": 2}, dict(zip(keys, (0, 2), strict=True)))
    rows = [
        *(row(i, identity=words) for i, words in enumerate(texts)),
        *(row(i, identity=text(i)) for i in range(9, 40)),
    ]
    parts, dropped = decide(rows, earlier)
    assert "r1" in parts["test"] and dropped == {"bridges train and test": 1}


def test_training_rows_of_files_keep_their_side_of_validation() -> None:
    rows = [row(i, file="a_train", identity=text(i)) for i in range(40)] + [row(50, file="z_test", identity=text(50))]
    params = {"by": "file", "files": {"train": ["a_train"], "test": ["z_test"]}, "validation_fraction": 0.3}
    first = split(table(rows), SplitParams(**params), "s")
    sides = {part: {rows[i]["row_id"] for i in first.rows(part)} for part in PARTS}
    watched, trained = (next(i for i in range(40) if f"r{i}" in sides[part]) for part in ("validation", "train"))
    more = [row(60 + i, f"a{i}", "a_train", identity=f"{text(n)} more") for i, n in enumerate((watched, trained))]
    more += [row(70, "bridge", "a_train", identity=text(watched), completion="b")]
    more += [row(71, "bridge", "a_train", identity=text(trained), completion="b")]
    parts, dropped = decide([*more, *rows], first.assignments, **params)
    assert sides["train"] | {"r61"} <= {*parts["train"]} and sides["validation"] | {"r60"} <= {*parts["validation"]}
    assert dropped == {"bridges train and validation": 1}


def test_strata_take_old_rows_into_account() -> None:
    params = SplitParams(stratify=["task"], fractions=THIRDS)
    some = [row(i) for i in range(100)]
    earlier = Assignments({f"g{i}": 0 for i in range(100)}, {text_key(f"p{i}"): 0 for i in range(100)})
    assigned = split(table([*some, *(row(i) for i in range(100, 400))]), params, "s", earlier)
    assert [len(assigned.rows(part)) for part in PARTS] == [160, 80, 160]
    assert set(range(100)) <= set(assigned.rows("train").tolist())


# rounds of new rows


def _random_rows(rng: random.Random, count: int) -> Rows:
    """Rows whose texts are pieces of one long line of words: neighbours overlap, and groups join what is far apart."""
    rows = []
    for i in range(count):
        start = rng.randrange(900)
        words = " ".join(f"w{k}" for k in range(start, start + rng.randint(15, 30)))
        rows.append(row(i, f"g{rng.randrange(3 * count)}", identity=words))
    return rows


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("stratify", [[], ["task"]])
def test_rounds_of_new_rows_move_no_old_row_and_no_cluster_straddles(seed: int, stratify: list[str]) -> None:
    rng = random.Random(seed)
    rows = _random_rows(rng, 160)
    params = SplitParams(fractions=THIRDS, stratify=stratify, min_rows=1)  # type: ignore[arg-type]
    earlier, before, left_out = Assignments(), {}, 0
    for count in (50, 80, 110, 135, 160):
        present = rng.sample(rows[:count], count)
        decided = split(table(present), params, "s", earlier)
        after = {r["row_id"]: part for r, part in zip(present, decided.part.tolist(), strict=True) if part >= 0}
        assert before.items() <= after.items(), "an old row moved or was dropped"
        assert straddling(present, decided) == []
        again = split(table(rng.sample(present, count)), params, "s", earlier)
        assert (again.assignments, sorted(filter(None, again.reason))) == (
            decided.assignments,
            sorted(filter(None, decided.reason)),
        )
        earlier, before = decided.assignments, after
        left_out += sum(reason.startswith("bridges ") for reason in decided.reason)
    assert left_out > 0


# what was kept stays


def test_a_limit_keeps_what_it_kept_before() -> None:
    old, new = [row(i, identity=text(i)) for i in range(200)], [row(i, identity=text(i)) for i in range(200, 600)]
    limits = {"limit": {"test": 8, "train": 50}}
    first = split(table(old), SplitParams(**limits), "s")
    kept = {part: {old[i]["row_id"] for i in first.rows(part)} for part in PARTS}
    afresh, _ = decide([*new, *old], **limits)
    assert not kept["test"] <= {*afresh["test"]}, "by the hashes alone new rows would push old ones out"
    second = split(table([*new, *old]), SplitParams(**limits), "s", first.assignments)
    rows = [*new, *old]
    assert {rows[i]["row_id"] for i in second.rows("test")} == kept["test"]
    assert {rows[i]["row_id"] for i in second.rows("train")} == kept["train"]
    more, _ = decide(rows, second.assignments, **{**limits, "limit": {"test": 20}})
    assert kept["test"] < {*more["test"]} and len(more["test"]) == 20
    fewer, _ = decide(rows, second.assignments, **{**limits, "limit": {"test": 5}})
    assert {*fewer["test"]} < kept["test"]


@pytest.mark.parametrize("by", [{}, {"by": "file", "files": {"test": ["f"]}}])
def test_of_equal_rows_the_one_kept_before_stays_whatever_the_order(by: dict[str, object]) -> None:
    """A copy in another case, in the same group: its row_id is another, and it stands first in the file."""
    rows = [row(i, identity=text(i)) for i in range(60)]
    first = split(table(rows), SplitParams(**by), "s")  # type: ignore[arg-type]
    copies = [{**r, "row_id": f"new {r['row_id']}", "identity": r["identity"].upper()} for r in rows]
    parts, dropped = decide([*copies, *rows], first.assignments, **by)
    assert parts == {part: [rows[i]["row_id"] for i in first.rows(part)] for part in PARTS}
    assert dropped == {"duplicate": 60}


def test_a_cluster_of_rows_that_do_not_count_is_placed(recwarn: pytest.WarningsRecorder) -> None:
    nodes = Nodes.of(["a", "b"], ["g", "h"], None)
    rows, none = np.arange(2), np.zeros(2, np.int64)
    placed = hashed_parts(nodes, rows, np.full(nodes.count, -1), none, ["s", "s"], SplitParams(fractions=THIRDS))
    assert set(placed.part.tolist()) <= {0, 1, 2} and not recwarn.list


# the file


def written(folder: Path, params: SplitParams | None = None, grouped_by: bytes | None = b"{}") -> Path:
    EARLIER.write(folder / "a.parquet", params or SplitParams(), grouped_by)
    return folder / "a.parquet"


def test_assignments_are_read_as_written(tmp_path: Path) -> None:
    earlier = replace(EARLIER, rows={kept_key("r1", "t"): 2})
    earlier.write(tmp_path / "a.parquet", SplitParams(seed=3), b"{}")
    read = Assignments.read(tmp_path / "a.parquet", SplitParams(seed=3), b"{}")
    assert (read, read.state) == (earlier, "read")
    read = Assignments.read(tmp_path / "none.parquet", SplitParams(seed=3), b"{}")
    assert (read, read.state) == (Assignments(), "none")


@pytest.mark.parametrize(
    "other",
    [
        {"limit": {"train": 5}},
        {"min_rows": 2},
        {"max_dropped": 0.5},
        {"validation_fraction": None},
        {"near_duplicates": NearDuplicateParams(permutations=256, seed=1)},
    ],
)
def test_values_that_decide_no_part_keep_the_assignments(tmp_path: Path, other: dict[str, object]) -> None:
    path = written(tmp_path)
    # as of a later version, in which a key that `by` does not use has another default
    changed = SplitParams().model_copy(update=other)
    assert Assignments.read(path, changed, b"{}") == EARLIER


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 4},
        {"stratify": ["task"]},
        {"near_duplicates": None},
        {"near_duplicates": NearDuplicateParams(threshold=0.6)},
        {"fractions": THIRDS},
    ],
)
def test_other_parameters_start_afresh(tmp_path: Path, other: dict[str, object]) -> None:
    read = Assignments.read(written(tmp_path), SplitParams(**other), b"{}")  # type: ignore[arg-type]
    assert (read, read.state) == (Assignments(), "other parameters")


@pytest.mark.parametrize("grouped_by", [None, b'{"group":"author"}'])
def test_other_groups_start_afresh(tmp_path: Path, grouped_by: bytes | None) -> None:
    read = Assignments.read(written(tmp_path), SplitParams(), grouped_by)
    assert (read, read.state) == (Assignments(), "other parameters")
    assert Assignments.read(written(tmp_path, grouped_by=grouped_by), SplitParams(), grouped_by) == EARLIER


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _text(path: Path) -> None:
    path.write_text("kind,key,part\n" * 9)


def _without_part(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["part"]), path)


def _of_no_split(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(), path)


def _with(kind: str, part: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        odd = pa.table([[kind], ["k"], [part]], schema=table.schema)
        pq.write_table(pa.concat_tables([table, odd]), path)

    return change


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_truncated, ""),
        (_text, ""),
        (_without_part, "columns kind, key"),
        (_of_no_split, "columns kind, key, part"),
        (_with("group", "dev"), "kind 'group' with part 'dev'"),
        (_with("author", "test"), "kind 'author' with part 'test'"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, spoil: Callable[[Path], None], expected: str) -> None:
    path = written(tmp_path)
    spoil(path)
    with pytest.raises(TunesmithError) as caught:
        Assignments.read(path, SplitParams(), b"{}")
    message = str(caught.value)
    assert message.startswith(f"{path}: must be a file that `split` wrote; it is not ({expected}")
    assert f"`dvc checkout data/splits/{tmp_path.name}`, or delete it and run `tunesmith run --new-split" in message
