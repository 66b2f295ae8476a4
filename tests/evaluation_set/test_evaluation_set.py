"""``evaluation_set``: the rows that every experiment meets."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_rows
from tasks.core.stage import Stage
from tasks.evaluation_set import run as evaluation_set
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.evaluation_set.run import EXAMPLES, collect, examples, retention, retired
from tasks.text.rows import RENDERED
from tests.mix.splits import TWO, Write, numbered, texts


def params_for(*sources: str, **params: Any) -> EvaluationSetParams:
    return EvaluationSetParams(sources=list(sources), **params)


def test_the_evaluation_set_holds_the_rows_of_its_sources_in_the_order_of_their_splits(workspace: Write) -> None:
    paths = workspace(TWO)
    evaluation_set.run(params_for("one", "two"), paths, Stage("evaluation_set", paths.root))
    rows = {part: read_rows(paths.evaluation_set / f"{part}.parquet") for part in ("test", "validation")}
    assert [row["text"] for row in rows["test"]] == numbered("c", 5) + numbered("f", 5)
    assert [row["text"] for row in rows["validation"]] == numbered("b", 5) + numbered("e", 5)
    assert list(rows["test"][0]) == RENDERED.names


def test_neither_order_nor_repetition_of_sources_changes_the_evaluation_set(workspace: Write) -> None:
    paths = workspace(TWO)
    assert collect(params_for("two", "one", "two"), paths, "test") == collect(params_for("one", "two"), paths, "test")


def test_a_limit_is_of_each_source_and_stable(workspace: Write) -> None:
    paths = workspace({name: {**parts, "test": numbered(name, 40)} for name, parts in TWO.items()})
    few, more = (texts(collect(params_for("one", "two", limit=n), paths, "test")) for n in (10, 20))
    assert (len(few), len(more)) == (20, 40)
    assert [text for text in more if text in few] == few, "the same rows, in the same order"
    assert sum(text.startswith("one") for text in few) == 10
    assert few != texts(collect(params_for("one", "two", limit=10, seed=1), paths, "test"))


def test_an_unknown_source_of_the_evaluation_set_is_named(workspace: Write) -> None:
    with pytest.raises(
        TunesmithError,
        match=r"evaluation_set\.sources: a source must have a split; 'x' has none \(sources with a split: one, two\)",
    ):
        collect(params_for("x"), workspace(TWO), "test")


def test_rows_of_other_tasks_are_in_a_file_of_their_own(workspace: Write) -> None:
    paths = workspace(TWO)
    params = params_for("one", retention={"sources": ["two"], "limit": 3})
    evaluation_set.run(params, paths, Stage("evaluation_set", paths.root))
    kept = read_rows(paths.evaluation_set / "retention.parquet")
    assert len(kept) == 3 and {row["source"] for row in kept} == {"two"}
    assert {row["text"] for row in kept} < set(numbered("f", 5)), "test rows"
    assert {row["source"] for row in read_rows(paths.evaluation_set / "test.parquet")} == {"one"}
    with pytest.raises(
        TunesmithError, match=r"retention\.sources: must name no source of evaluation_set\.sources, .* 'one'"
    ):
        retention(params_for("one", retention={"sources": ["one"]}), paths)
    with pytest.raises(
        TunesmithError, match=r"evaluation_set\.retention\.sources: a source must have a split; 'x' has none"
    ):
        retention(params_for("one", retention={"sources": ["x"]}), paths)


def test_examples_are_training_rows_and_limited_per_template(workspace: Write) -> None:
    paths = workspace({name: {**parts, "train": numbered(name, 40)} for name, parts in TWO.items()})
    rows = examples(params_for("one", "two"), paths).to_pylist()
    assert [sum(row["source"] == name for row in rows) for name in ("one", "two")] == [EXAMPLES, EXAMPLES]
    assert all(row["text"].startswith(row["source"]) for row in rows)


def test_a_source_of_test_rows_alone_gives_no_examples(workspace: Write) -> None:
    paths = workspace({"one": {"train": [], "test": numbered("c", 5)}})
    assert examples(params_for("one"), paths).num_rows == 0


def test_no_example_is_a_test_row_of_another_source(workspace: Write) -> None:
    paths = workspace({"one": {"train": ["a", "b"], "test": ["c"]}, "two": {"train": ["d"], "test": ["b"]}})
    assert sorted(texts(examples(params_for("one", "two"), paths))) == ["a", "d"]


def test_retired_rows_are_in_a_file_of_their_own_and_are_no_examples(workspace: Write) -> None:
    paths = workspace({"one": {**TWO["one"], "train": ["a0", "r1"], "retired": numbered("r", 9)}, "two": TWO["two"]})
    params = params_for("one", "two", retired={"limit": 4})
    evaluation_set.run(params, paths, Stage("evaluation_set", paths.root))
    second = [row["text"] for row in read_rows(paths.evaluation_set / "retired.parquet")]
    assert len(second) == 4 and second == [text for text in numbered("r", 9) if text in second]
    for part in ("test", "validation", "examples"):
        assert not {row["text"] for row in read_rows(paths.evaluation_set / f"{part}.parquet")} & {*numbered("r", 9)}
    assert len(texts(retired(params_for("one", retired={"limit": None}), paths))) == 9
    assert retired(params_for("one", retired={"limit": 0}), paths) is None
    assert retired(params_for("two"), paths) is None
