"""Messages about a split whose earlier assignments are void: which value changed, and how to restore it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.split.assignments import Assignments, text_key
from tasks.split.deciding import Change, changes, values
from tasks.split.new_split import NewSplit
from tasks.split.params import Fractions, SplitParams

GROUPED = json.dumps(
    {"set": "own/t", "identity": None, "text": None, "columns": {"ticket": ["ticket", None]}, "group": None}
).encode()
FILES = {"train": ["a"], "test": ["b"]}


def grouped(**other: object) -> bytes:
    return json.dumps(json.loads(GROUPED) | other).encode()


def changed(before: SplitParams, now: SplitParams, grouped_by: bytes = GROUPED) -> list[str]:
    return list(map(str, changes(values(before, GROUPED), values(now, grouped_by))))


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"stratify": ["label"]}, "split.stratify was [], now it is [label]"),
        ({"seed": 3}, "split.seed was 0, now it is 3"),
        ({"near_duplicates": None}, "split.near_duplicates was {ngram: 5, threshold: 0.5}, now it is null"),
        (
            {"fractions": Fractions(train=0.6, validation=0.2, test=0.2)},
            "split.fractions was {test: 0.1, train: 0.8, validation: 0.1}, now it is {test: 0.2, train: 0.6, "
            "validation: 0.2}",
        ),
    ],
)
def test_a_deciding_value_is_named_as_it_was_and_as_it_is(now: dict[str, object], message: str) -> None:
    assert changed(SplitParams(), SplitParams(**now)) == [message]  # type: ignore[arg-type]


def test_what_makes_groups_and_identities_is_named_too() -> None:
    same = SplitParams()
    assert changed(same, same, grouped(group="author")) == ["template.group was null, now it is author"]
    columns = {"ticket": ["text", None]}
    assert changed(same, same, grouped(columns=columns)) == ["template.columns.ticket was ticket, now it is text"]
    columns = {"ticket": ["ticket", None], "team": ["team", None]}
    assert changed(same, same, grouped(columns=columns)) == ["the template set now identifies a row by its column team"]
    other = grouped(set="own/u", identity=["x"], columns={"x": ["x", None]})
    assert changed(same, same, other) == ["template.set was own/t, now it is own/u"]


def test_a_file_that_is_named_anew_leaves_the_split_of_the_others(tmp_path: Path) -> None:
    before = SplitParams(by="file", files=FILES)  # type: ignore[arg-type]
    more = SplitParams(by="file", files={"train": ["a", "week2"], "test": ["b"]})
    moved = SplitParams(by="file", files={"train": ["b"], "test": ["a"]})
    earlier = Assignments({"g": 0}, {text_key("a"): 0})
    earlier.write(tmp_path / "a.parquet", before, GROUPED)
    assert Assignments.read(tmp_path / "a.parquet", more, GROUPED) == earlier
    assert Assignments.state_of(tmp_path / "a.parquet", more, GROUPED) == ("read", None)
    state, differences = Assignments.state_of(tmp_path / "a.parquet", moved, GROUPED)
    assert state == "other parameters" and differences == [
        Change("split.files", {"train": ["a"], "test": ["b"]}, {"train": ["b"], "test": ["a"]})
    ]


def test_assignments_of_an_earlier_version_are_valid_or_void_as_before(tmp_path: Path) -> None:
    """It has the digest of what decided, and not the values."""
    path = tmp_path / "a.parquet"
    Assignments({"g": 0}).write(path, SplitParams(), GROUPED)
    table = pq.read_table(path)
    metadata = {key: value for key, value in table.schema.metadata.items() if key == b"tunesmith.split"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert Assignments.read(path, SplitParams(), GROUPED).groups == {"g": 0}
    earlier = Assignments.read(path, SplitParams(seed=1), GROUPED)
    assert (earlier.state, earlier.changed, earlier.groups) == ("other parameters", None, {})
    assert "an earlier version did not record which" in NewSplit("s", earlier.state, earlier.changed, 12).why()


def test_the_remedy_restores_a_null_and_names_the_file_of_the_value() -> None:
    def remedy(before: SplitParams, now: SplitParams, grouped_by: bytes = GROUPED) -> str:
        differences = changes(values(before, GROUPED), values(now, grouped_by))
        return NewSplit("s", "other parameters", differences, 12).remedy()

    written = "in params/sources.yaml, "
    same = SplitParams()
    near = "set `near_duplicates: null` under sources.s.split"
    assert remedy(SplitParams(near_duplicates=None), same) == f"{written}{near}"
    of_set = "undo the change of the template set (`git diff tasks/template/library` shows it)"
    assert remedy(same, same, grouped(identity=["ticket"])) == of_set
    columns = {"ticket": ["ticket", None], "team": ["team", None]}
    assert remedy(same, same, grouped(columns=columns)) == of_set
    seed = "set `seed: 0` under sources.s.split"
    assert remedy(same, SplitParams(seed=1), grouped(identity=["ticket"])) == f"{written}{seed}, and {of_set}"
    fixed = grouped(columns={"ticket": ["ticket", "none"]})
    column = "set `ticket: ticket` under sources.s.template.columns"
    value = "delete `ticket` under sources.s.template.values"
    assert remedy(same, same, fixed) == f"{written}{column}, {value}"
    assert remedy(same, same, grouped(group="author")) == f"{written}delete `group` under sources.s.template"
    dotted = [Change("template.columns.text", "a.b", "c"), Change("template.values.My.key", "x y", None)]
    columns = 'set `text: "a.b"` under sources.s.template.columns'
    values_before = 'set `"My.key": "x y"` under sources.s.template.values'
    assert NewSplit("s", "other parameters", dotted, 12).remedy() == f"{written}{columns}, {values_before}"
    grouped_before = [Change("template.group", "customer", None)]
    group = "set `group: customer` under sources.s.template"
    assert NewSplit("s", "other parameters", grouped_before, 12).remedy() == f"{written}{group}"


def test_the_remedy_is_what_to_write() -> None:
    one = NewSplit("s", "other parameters", [Change("split.stratify", ["label"], [])], 12)
    assert one.remedy() == "in params/sources.yaml, set `stratify: [label]` under sources.s.split"
    assert "(test has 12 rows now); scores cannot be compared" in one.effect()
    rotated = NewSplit("s", "other parameters", one.changed, 12, retired_rows=7)
    assert "(test has 12 rows now); 7 retired rows may be trained on or tested again; scores" in rotated.effect()
    assert one.counts(6) == "s: split anew: test rows 12 → 6"
