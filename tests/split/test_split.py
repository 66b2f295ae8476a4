"""``split``: a partition is a partition, groups stay together, and new data moves no old row."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.params import parse
from tasks.split.params import PARTS, Fractions, SplitParams
from tests.split.rows import FILES, by_file, decide, error_of, ids, parts_of, row

ROWS = [row(i, group=f"g{i // 3}") for i in range(3000)]


def problems_of(data: dict[str, Any]) -> str:
    with pytest.raises(TunesmithError) as caught:
        parse(SplitParams, data, "sources.yaml", "split")
    return str(caught.value)


# by hash


def test_each_row_is_in_one_part_and_keeps_its_order() -> None:
    parts = parts_of(ROWS)
    assert Counter(i for members in parts.values() for i in members) == Counter(ids(ROWS))
    assert all(members == sorted(members, key=lambda i: int(i[1:])) for members in parts.values())


def test_groups_stay_together() -> None:
    group_of = {r["row_id"]: r["group"] for r in ROWS}
    groups = [{group_of[i] for i in members} for members in parts_of(ROWS).values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 1000


def test_fractions_are_about_kept() -> None:
    parts = parts_of(ROWS, fractions=Fractions(train=0.6, validation=0.3, test=0.1))
    shares = [len(parts[part]) / len(ROWS) for part in PARTS]
    # 1,000 groups: one standard deviation is at most 0.016
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.06)


def test_new_rows_move_no_old_one_and_the_order_does_not_matter() -> None:
    old = parts_of(ROWS[:900])
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    new = {part: set(members) for part, members in parts_of(shuffled).items()}
    assert all(set(old[part]) <= new[part] for part in PARTS)
    assert parts_of(ROWS, seed=1) != parts_of(ROWS)


def test_a_larger_share_for_training_moves_no_row_out_of_it() -> None:
    small = parts_of(ROWS, fractions=Fractions(train=0.5, validation=0.25, test=0.25))
    large = parts_of(ROWS, fractions=Fractions(train=0.7, validation=0.15, test=0.15))
    assert set(small["train"]) < set(large["train"])


def test_duplicates_are_dropped_and_counted() -> None:
    twice = [*ROWS[:60], {**ROWS[5], "row_id": "again"}, {**ROWS[6], "row_id": "other", "completion": "another"}]
    twice += [{**ROWS[7], "row_id": "reworded", "template_id": "u"}]
    parts, dropped = decide(twice)
    members = {i for members in parts.values() for i in members}
    assert dropped == {"duplicate": 1}
    assert members == {*ids(ROWS[:60]), "other", "reworded"}, "another completion or another wording is no duplicate"


# limits


def test_a_limit_keeps_rows_in_their_order_and_touches_no_other_part() -> None:
    all_rows, limited = parts_of(ROWS), parts_of(ROWS, limit={"train": 100})
    assert len(limited["train"]) == 100
    assert limited["train"] == [i for i in all_rows["train"] if i in set(limited["train"])]
    assert all(limited[part] == all_rows[part] for part in ("validation", "test"))
    assert parts_of(ROWS, limit={"train": 10**6}) == all_rows


def test_limits_are_stable() -> None:
    few, more = (set(parts_of(ROWS, limit={"train": n})["train"]) for n in (100, 200))
    assert few < more, "a higher limit keeps what a lower one kept"
    old = parts_of(ROWS[1500:], limit={"train": 400})["train"]
    new = parts_of(ROWS, limit={"train": 400})["train"]
    entered = set(new) - set(old)
    assert entered <= set(ids(ROWS[:1500])), "only new rows enter, wherever they stand"
    assert 100 < len(entered) < 300


# by file

FILE_ROWS = [row(i, group=f"g{i // 2}", file="a_train") for i in range(1000)] + [
    row(i, file="z_test") for i in range(1000, 1100)
]


def test_files_are_taken_as_they_are_and_validation_is_carved_from_training_by_group() -> None:
    parts, dropped = by_file(FILE_ROWS, validation_fraction=0.2)
    assert parts["test"] == ids(FILE_ROWS[1000:])
    assert sorted(parts["train"] + parts["validation"]) == sorted(ids(FILE_ROWS[:1000]))
    assert len(parts["validation"]) == pytest.approx(200, abs=60)
    assert not {int(i[1:]) // 2 for i in parts["train"]} & {int(i[1:]) // 2 for i in parts["validation"]}
    assert dropped == {}


def test_a_validation_file_is_not_carved() -> None:
    rows = [row(1, file="a_train"), row(2, file="dev"), row(3, file="z_test")]
    parts, _ = by_file(rows, files={**FILES, "validation": ["dev"]})
    assert parts == {"train": ["r1"], "validation": ["r2"], "test": ["r3"]}


def test_a_group_in_two_files_stays_in_the_later_part_and_the_lost_rows_are_counted() -> None:
    rows = [
        row(1, "g", "a_train"),
        row(2, "h", "a_train"),
        row(3, "h", "dev"),
        row(4, "i", "dev"),
        row(5, "g", "z_test"),
    ]
    rows += [row(6, "i", "z_test"), row(7, "j", "a_train"), row(8, "k", "dev")]
    parts, dropped = by_file(rows, files={**FILES, "validation": ["dev"]}, max_dropped=0.375)
    assert parts == {"train": ["r7"], "validation": ["r3", "r8"], "test": ["r5", "r6"]}
    assert dropped == {
        "train row whose group is also in test": 1,
        "train row whose group is also in validation": 1,
        "validation row whose group is also in test": 1,
    }


@pytest.mark.parametrize("reverse", [False, True])
def test_of_equal_rows_in_two_files_the_test_row_is_kept(reverse: bool) -> None:
    rows = [*FILE_ROWS, row(2000, file="a_train", identity="p1050", completion="c1050")]
    parts, dropped = by_file(rows[::-1] if reverse else rows)
    assert set(parts["test"]) == set(ids(FILE_ROWS[1000:]))
    assert dropped == {"duplicate": 1}


def test_a_file_of_duplicates_alone_is_accepted() -> None:
    extra = [{**r, "source_file": "more"} for r in FILE_ROWS[:3]]
    _, dropped = by_file([*FILE_ROWS, *extra], files={**FILES, "train": ["a_train", "more"]})
    assert dropped == {"duplicate": 3}


def test_a_file_without_a_part_is_named() -> None:
    message = error_of([*FILE_ROWS, row(9, file="extra")], by="file", files=FILES)
    assert message.startswith("params/sources.yaml: sources.s.split.files: file 'extra' is in no part; ")
    assert "files: a_train, extra, z_test" in message


def test_a_part_without_its_file_is_named() -> None:
    message = error_of(FILE_ROWS, by="file", files={**FILES, "validation": ["dev"]})
    assert "there is no file 'dev' in data/sources/s; its files: a_train, z_test" in message


# what is refused

HALVES = {"train": 0.5, "validation": 0.0, "test": 0.5}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_too_small_is_refused_with_the_counts(part: str) -> None:
    files = {name: [name] for name in PARTS}
    rows = [row(i, file=name) for i, name in enumerate(name for name in PARTS for _ in range(1 if name == part else 5))]
    message = error_of(rows, by="file", files=files, min_rows=2)
    counts = ", ".join(f"{name} {1 if name == part else 5}" for name in PARTS)
    assert f"each part needs at least 2 row(s); {part} has 1 ({counts})" in message


def test_the_error_of_a_small_part_counts_dropped_rows() -> None:
    rows = [row(1, file="a_train"), row(2, file="a_train", identity="P1", completion="C1"), row(3, file="z_test")]
    rows += [row(4, file="dev")]
    message = error_of(rows, by="file", files={**FILES, "validation": ["dev"]}, min_rows=2)
    assert "train has 1 (train 1, validation 1, test 1); dropped: 1 duplicate; add data" in message


def test_too_many_rows_lost_to_a_later_part_stop_the_step_with_counts_and_remedy() -> None:
    """Also exact copies count, which the report calls duplicates."""
    rows = [row(i, file="a_train") for i in range(74)] + [row(100 + i, file="z_test") for i in range(10)]
    lost = [row(200 + i, group="g100", file="a_train") for i in range(16)]
    lost += [row(300 + i, file="a_train", identity=f"p10{i}", completion=f"c10{i}") for i in range(6)]
    message = error_of([*rows, *lost], by="file", files=FILES)
    assert message == (
        "params/sources.yaml: sources.s.split: rows of one cluster must go to one part; for that, 22 of 106 rows would "
        "be dropped: 16 train row whose group is also in test; 6 train row whose near-duplicate is also in test. Check "
        "`template.group`, raise `near_duplicates.threshold`, or allow more dropped rows with `max_dropped` "
        "(now 0.2; needed 0.2076)"
    )
    parts, dropped = by_file([*rows, *lost], max_dropped=0.2076)
    assert dropped == {"train row whose group is also in test": 16, "duplicate": 6}
    assert len(parts["train"]) + len(parts["validation"]) == 74
    _, dropped = by_file([*rows, *lost[:-2]])
    assert sum(dropped.values()) == 20, "up to the share rows are dropped and counted"


def test_plain_duplicates_and_limits_do_not_count_as_lost() -> None:
    _, dropped = decide([*ROWS, *ROWS], limit={"train": 100})
    assert dropped["duplicate"] == len(ROWS) and dropped["over the limit of train"] > len(ROWS) / 2


def test_no_row_at_all_is_refused() -> None:
    assert "train has 0 (train 0, validation 0, test 0)" in error_of([])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"fractions": {"train": 0.9, "validation": 0.1, "test": 0.1}},
            "sources.yaml: split.fractions: fractions sum to 1.1; they must sum to 1.0 "
            "(train 0.9, validation 0.1, test 0.1)",
        ),
        (
            {"fractions": {"train": 1.2, "validation": -0.1, "test": -0.1}},
            "split.fractions.validation: input should be",
        ),
        ({"by": "file"}, "files: `by: file` needs the names of the files for test"),
        ({"by": "file", "files": {"train": ["a"]}}, "files: `by: file` needs the names of the files for test"),
        (
            {"by": "file", "files": {"train": ["a"], "test": ["a"]}},
            "a file belongs to one part; named more than once: a",
        ),
        ({"by": "time"}, "test_from: `by: time` needs the first moment of the test rows"),
        ({"by": "time", "test_from": "soon"}, "test_from: must be a number or an ISO 8601 date or time; it is 'soon'"),
        (
            {"by": "time", "test_from": "2024-01-01", "validation_from": "2024-01-02"},
            "validation_from: 2024-01-02 must not be later than test_from, 2024-01-01",
        ),
        ({"test_from": 3}, "test_from: only `by: time` uses it; this is `by: hash`"),
        ({"files": FILES}, "files: only `by: file` uses it; this is `by: hash`; remove it or change `by`"),
        ({"by": "time", "test_from": 1, "files": FILES}, "files: only `by: file` uses it; this is `by: time`"),
        ({"by": "time", "test_from": 1, "fractions": HALVES}, "fractions: only `by: hash` uses it; this is `by: time`"),
        ({"by": "file", "files": FILES, "fractions": HALVES}, "fractions: only `by: hash` uses it; this is `by: file`"),
        (
            {"validation_fraction": 0.1},
            "validation_fraction: only `by: file` and `by: time` use it; this is `by: hash`",
        ),
        (
            {"by": "file", "files": {part: [part] for part in PARTS}, "stratify": ["task"]},
            "stratify: `by: file` decides every part here, so there are no shares to meet",
        ),
        ({"near_duplicates": {"threshold": 0}}, "split.near_duplicates.threshold: input should be greater than 0"),
        ({"limit": {"train": 0}}, "split.limit.train: input should be greater than or equal to 1; it is 0"),
        ({"limit": {"trian": 5}}, "split.limit.trian"),
    ],
)
def test_wrong_parameters_are_refused(data: dict[str, Any], message: str) -> None:
    assert message in problems_of(data)


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.1), (0.34, 0.33, 0.33), (1 / 3, 1 / 3, 1 / 3)])
def test_fractions_may_sum_to_one_up_to_rounding(fractions: tuple[float, float, float]) -> None:
    assert Fractions(**dict(zip(PARTS, fractions, strict=True)))
