"""Near-duplicates, times and strata: what belongs together goes together."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tasks.split.assign import split
from tasks.split.params import PARTS, Fractions, SplitParams
from tasks.split.report import report
from tasks.text.near_duplicates import NearDuplicateParams
from tests.split.rows import PLANTED, SENTENCE, Rows, by_file, decide, error_of, parts_of, row, table, text


def sides(rows: Rows, **params: Any) -> dict[str, str]:
    """Row id → part."""
    return {i: part for part, members in parts_of(rows, **params).items() for i in members}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_train_test_duplicate_is_caught(kind: str) -> None:
    """Whatever the hash of its group says, a copy goes where the others are; without that it would be on two sides."""
    others = [row(i, identity=text(i)) for i in range(50)]
    copies = [row(100 + i, identity=SENTENCE if i % 2 else PLANTED[kind], completion=f"other {i}") for i in range(30)]
    side = sides([*others, *copies])
    assert len({side[r["row_id"]] for r in copies}) == 1
    apart = sides([*others, *({**r, "identity": text(1000 + i)} for i, r in enumerate(copies))])
    assert {apart[r["row_id"]] for r in copies} == set(PARTS)


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_duplicate_of_a_test_file_is_dropped_from_training_by_name(kind: str) -> None:
    train = [row(i, file="a_train", identity=text(i)) for i in range(40)]
    planted = row(50, file="a_train", identity=PLANTED[kind])
    parts, dropped = by_file([*train, planted, row(51, file="z_test", identity=SENTENCE)])
    assert parts["test"] == ["r51"]
    assert dropped == {"train row whose near-duplicate is also in test": 1}
    assert len(parts["train"]) + len(parts["validation"]) == 40


def test_equal_words_stay_together_without_near_duplicates() -> None:
    rows = [row(i, identity=PLANTED["exact" if i % 2 else "case-changed"], completion=f"c{i}") for i in range(30)]
    reworded = [row(100 + i, identity=SENTENCE.replace("nobody", f"somebody{i}")) for i in range(60)]
    side = sides([*rows, *reworded], near_duplicates=None)
    assert len({side[r["row_id"]] for r in rows}) == 1
    assert {side[r["row_id"]] for r in reworded} == set(PARTS)


def test_a_higher_threshold_lets_reworded_texts_go_apart() -> None:
    reworded = [row(i, identity=SENTENCE.replace("nobody", f"somebody{i}")) for i in range(60)]
    enough = [row(100 + i, identity=text(i)) for i in range(60)]
    assert len({sides([*reworded, *enough])[r["row_id"]] for r in reworded}) == 1
    strict = sides(reworded, near_duplicates=NearDuplicateParams(threshold=0.9))
    assert set(strict.values()) == set(PARTS)


def test_a_cluster_takes_its_groups_along() -> None:
    """Near-duplicates join two groups of three rows; the hash of the first group's name decides."""
    alone = sides([row(i, group=f"g{i}", identity=text(i)) for i in range(300)])
    test = next(int(i[1:]) for i in alone if alone[i] == "test")
    trains = [int(i[1:]) for i in alone if alone[i] == "train" and f"g{i[1:]}" > f"g{test}"][:1]
    rows = [row(i, group=f"g{i}", identity=text(i)) for i in range(300)]
    rows += [row(400 + k, group=f"g{g}", identity=text(400 + k)) for k, g in enumerate([test, test, *trains, *trains])]
    rows += [row(500, f"g{test}", identity=SENTENCE), row(501, f"g{trains[0]}", identity=PLANTED["one word changed"])]
    side = sides(rows)
    joined = [r["row_id"] for r in rows if r["group"] in {f"g{test}", f"g{trains[0]}"}]
    assert len(joined) == 8 and {side[i] for i in joined} == {"test"}


def test_the_order_of_the_rows_does_not_matter() -> None:
    rng = random.Random(1)
    numbers = [(rng.randrange(250), rng.randrange(500)) for _ in range(300)]
    rows = [row(i, f"g{g}", identity=text(t), completion=f"c{i}") for i, (g, t) in enumerate(numbers)]
    shuffled = rng.sample(rows, len(rows))
    assert sides(shuffled) == sides(rows)
    assert sides(shuffled, stratify=["task"]) == sides(rows, stratify=["task"])


# by file: a benchmark


def test_a_benchmark_has_test_rows_only() -> None:
    parts, dropped = decide([row(1, file="bench"), row(2, file="bench")], by="file", files={"test": ["bench"]})
    assert parts == {"train": [], "validation": [], "test": ["r1", "r2"]} and dropped == {}


# by time

DAY = 86400.0


def test_times_cut_the_parts_and_a_cluster_stays_in_the_later_one() -> None:
    rows = [row(i, identity=text(i), time=i * DAY) for i in range(20)]
    rows += [
        row(20, group="g19", identity=text(20), time=0.0),  # its group is in test
        row(21, identity=f"{text(12)} more", time=0.0),  # its near-duplicate is in validation
    ]
    parts, dropped = decide(rows, by="time", validation_from="1970-01-11", test_from="1970-01-16T00:00:00+00:00")
    assert parts == {part: [f"r{i}" for i in numbers] for part, numbers in zip(
        PARTS, (range(10), range(10, 15), range(15, 20)), strict=True
    )}  # fmt: skip
    assert dropped == {
        "train row whose group is also in test": 1,
        "train row whose near-duplicate is also in validation": 1,
    }


def test_numbers_cut_as_dates_do_and_validation_is_carved_without_a_cut_off() -> None:
    rows = [row(i, time=float(i)) for i in range(200)]
    params: dict[str, Any] = {"by": "time", "test_from": 150, "validation_fraction": 0.2}
    parts = parts_of(rows, **params)
    assert parts["test"] == [f"r{i}" for i in range(150, 200)]
    assert len(parts["validation"]) == pytest.approx(30, abs=15)
    assert (
        parts_of([*rows, row(500, time=0.5)], by="time", test_from=150, validation_fraction=0.2)["test"]
        == parts["test"]
    )


def test_a_row_without_time_is_named() -> None:
    message = error_of([row(1, time=1.0), row(2, file="chats")], by="time", test_from=1)
    assert message == (
        "params/sources.yaml: sources.s.split.by: `by: time` needs the time of every row; chats:2 has none; "
        "name the column in `sources.s.template.time`"
    )


# strata


def stars(count: int, first: int = 0) -> Rows:
    """Reviews: 90 % of one label, 10 % of another, in a task, and as many rows of another task without labels."""
    labelled = [
        row(i, completion="good" if i % 10 else "bad", answer_choices=["good", "bad"], task="stars")
        for i in range(first, first + count)
    ]
    return labelled + [row(i + 10**6, task="summary") for i in range(first, first + count)]


def strata_of(rows: Rows, **params: Any) -> dict[str, Any]:
    split_params = SplitParams(**params)
    counted = report([r["task"] for r in rows], split(table(rows), split_params, "s"), split_params)
    return counted["strata"]


def test_each_stratum_meets_its_shares() -> None:
    strata = strata_of(stars(200), stratify=["task", "label"], fractions=Fractions(train=0.7, validation=0.1, test=0.2))
    assert strata["requested"] == {"train": 0.7, "validation": 0.1, "test": 0.2}
    assert strata["realised"] == {
        "stars, bad": {"rows": 20, "train": 0.7, "validation": 0.1, "test": 0.2},
        "stars, good": {"rows": 180, "train": 0.7, "validation": 0.1, "test": 0.2},
        "summary, no label": {"rows": 200, "train": 0.7, "validation": 0.1, "test": 0.2},
    }
    assert strata["largest_deviation"] == 0.0


def test_without_strata_the_hash_alone_decides() -> None:
    rows = stars(200)
    plain, stratified = sides(rows), sides(rows, stratify=["label"])
    assert strata_of(rows) is None
    moved = sum(plain[i] != stratified[i] for i in plain)
    assert 0 < moved < 0.2 * len(rows), "strata move only what is near the cuts of the hash"


def test_a_cluster_is_not_cut_for_a_stratum() -> None:
    rows = [row(i, group="all but ten" if i < 30 else f"g{i}") for i in range(40)]
    strata = strata_of(rows, stratify=["task"], fractions=Fractions(train=0.5, validation=0.25, test=0.25))
    shares = [strata["realised"]["k"][part] for part in PARTS]
    assert max(shares) >= 0.75
    assert strata["largest_deviation"] == pytest.approx(
        max(abs(s - a) for s, a in zip(shares, (0.5, 0.25, 0.25), strict=True))
    )


def test_small_strata_are_not_all_of_one_part() -> None:
    rows = [row(i, completion=f"label {i}", answer_choices=[f"label {i}"]) for i in range(600)]
    shares = [len(members) / 600 for members in parts_of(rows, stratify=["label"]).values()]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.05)
