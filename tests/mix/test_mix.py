"""``mix`` and ``evaluation_set``: nothing that is asked in a test is ever trained on, and order hangs on nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import TunesmithError
from tasks.files import read_json, read_rows, write_rows
from tasks.mix import evaluation_set
from tasks.mix.evaluation_set import collect
from tasks.mix.params import EvaluationSetParams, MixtureParams, Share
from tasks.mix.run import mix, run
from tasks.params import parse
from tasks.paths import Paths
from tasks.rows import RENDERED
from tasks.stage import Stage

Rows = list[dict[str, Any]]
Splits = dict[str, dict[str, list[str]]]


def row(source: str, text: str) -> dict[str, Any]:
    return {"row_id": f"id {text}", "source": source, "template_id": "t", "text": text, "prompt": f"Say: {text}"}


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[[Splits], Paths]:
    """Writes splits: source → part → texts."""

    def write(splits: Splits) -> Paths:
        paths = Paths(tmp_path)
        for source, parts in splits.items():
            paths.split(source).mkdir(parents=True)
            for part in ("train", "validation", "test"):
                rows = [row(source, text) for text in parts.get(part, [])]
                write_rows(paths.split(source) / f"{part}.parquet", rows, RENDERED)
        return paths

    return write


def texts(rows: Rows) -> list[str]:
    return [r["text"] for r in rows]


def numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{i}" for i in range(count)]


TWO: Splits = {
    "one": {"train": numbered("a", 50), "validation": numbered("b", 5), "test": numbered("c", 5)},
    "two": {"train": numbered("d", 50), "validation": numbered("e", 5), "test": numbered("f", 5)},
}


def mixture(**sources: int | None) -> MixtureParams:
    return MixtureParams(sources={name: Share(limit=limit) for name, limit in sources.items()})


def test_a_mixture_holds_the_train_and_validation_rows_of_its_sources_and_no_test_row(
    workspace: Callable[[Splits], Paths],
) -> None:
    parts, report = mix("m", mixture(one=None, two=None), workspace(TWO))
    assert sorted(texts(parts["train"])) == sorted(numbered("a", 50) + numbered("d", 50))
    assert sorted(texts(parts["validation"])) == sorted(numbered("b", 5) + numbered("e", 5))
    assert report["one"] == {"train": 50, "asked": None, "validation": 5, "left_out_as_contaminated": 0}


def test_the_sources_are_shuffled_together(workspace: Callable[[Splits], Paths]) -> None:
    sources = [r["source"] for r in mix("m", mixture(one=None, two=None), workspace(TWO))[0]["train"]]
    changes = sum(a != b for a, b in pairwise(sources))
    assert changes > 25, "of 99; 1 when the sources follow each other, 50 expected of a shuffle"


def test_what_any_source_tests_or_watches_is_left_out_and_counted(workspace: Callable[[Splits], Paths]) -> None:
    paths = workspace(
        {
            "one": {
                "train": ["new", "Is  in\nANOTHER test", "is in its own test", "is watched", "is watched elsewhere"],
                "validation": ["is watched", "fine", "is tested elsewhere"],
                "test": ["is in its own test"],
            },
            "two": {
                "train": ["x"],
                "validation": ["is watched elsewhere"],
                "test": ["is in another TEST", "is tested elsewhere"],
            },
        }
    )
    parts, report = mix("m", mixture(one=None), paths)
    assert texts(parts["train"]) == ["new"]
    assert sorted(texts(parts["validation"])) == ["fine", "is watched"]
    assert report["one"] == {"train": 1, "asked": None, "validation": 2, "left_out_as_contaminated": 5}


def test_a_limit_counts_clean_rows_and_a_higher_one_keeps_what_a_lower_one_kept(
    workspace: Callable[[Splits], Paths],
) -> None:
    splits = {**TWO, "one": {**TWO["one"], "test": [*TWO["one"]["test"], *numbered("a", 20)]}}
    paths = workspace(splits)
    few, more, most = (set(texts(mix("m", mixture(one=n), paths)[0]["train"])) for n in (10, 20, 99))
    assert [len(few), len(more), len(most)] == [10, 20, 30]
    assert few < more < most == set(numbered("a", 50)) - set(numbered("a", 20))


def test_a_mixture_is_deterministic_and_the_seed_matters(workspace: Callable[[Splits], Paths]) -> None:
    paths = workspace(TWO)
    params = mixture(one=20, two=None)
    assert mix("m", params, paths) == mix("m", params, paths)
    other = mix("m", params.model_copy(update={"seed": 1}), paths)[0]["train"]
    assert set(texts(other)) != set(texts(mix("m", params, paths)[0]["train"]))


def test_the_order_of_the_sources_does_not_matter(workspace: Callable[[Splits], Paths]) -> None:
    shared = {name: {**parts, "train": [*parts["train"], "the same"]} for name, parts in TWO.items()}
    paths = workspace(shared)
    assert mix("m", mixture(one=30, two=None), paths) == mix("m", mixture(two=None, one=30), paths)


def test_an_unknown_source_is_named_with_the_known_ones(workspace: Callable[[Splits], Paths]) -> None:
    with pytest.raises(TunesmithError) as caught:
        mix("m", mixture(three=None), workspace(TWO))
    said = "params/mixtures.yaml: mixtures.m.sources: there is no split of a source 'three'; split sources: one, two"
    assert str(caught.value) == said


def test_a_split_that_is_still_being_written_is_no_source(workspace: Callable[[Splits], Paths]) -> None:
    paths = workspace(TWO)
    (paths.splits / ".two.4242.partial").mkdir()
    assert len(mix("m", mixture(one=None), paths)[0]["train"]) == 50


def test_the_stage_writes_the_rows_and_refuses_a_mixture_without_any(workspace: Callable[[Splits], Paths]) -> None:
    paths = workspace({**TWO, "bad": {"train": ["c0"], "validation": ["v"], "test": ["w"]}})
    run("m", mixture(one=7), paths, Stage("mix@m", paths.root))
    expected, report = mix("m", mixture(one=7), paths)
    assert texts(read_rows(paths.mixture("m") / "train.parquet")) == texts(expected["train"])
    assert read_json(paths.mixture("m") / "report.json") == report
    with pytest.raises(TunesmithError, match=r"mixtures\.n: no train row is left .*'left_out_as_contaminated': 1"):
        run("n", mixture(bad=None), paths, Stage("mix@n", paths.root))
    assert not paths.mixture("n").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"sources": {}}, "m.sources: dictionary should have at least 1 item"),
        ({"sources": {"one": {"limt": 3}}}, "m.sources.one.limt: unknown key; known here: limit"),
        (
            {"sources": {"one": {"limit": 0}}},
            "m.sources.one.limit: input should be greater than or equal to 1; it is 0",
        ),
    ],
)
def test_wrong_mixtures_are_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        parse(MixtureParams, data, "mixtures.yaml", "m")
    assert said in str(caught.value)


# evaluation_set


def asked(*sources: str, **params: Any) -> EvaluationSetParams:
    return EvaluationSetParams(sources=list(sources), **params)


def test_the_evaluation_set_holds_the_rows_of_its_sources_in_the_order_of_their_splits(
    workspace: Callable[[Splits], Paths],
) -> None:
    paths = workspace(TWO)
    evaluation_set.run(asked("one", "two"), paths, Stage("evaluation_set", paths.root))
    assert texts(read_rows(paths.evaluation_set / "test.parquet")) == numbered("c", 5) + numbered("f", 5)
    assert texts(read_rows(paths.evaluation_set / "validation.parquet")) == numbered("b", 5) + numbered("e", 5)


def test_neither_order_nor_repetition_of_sources_changes_the_evaluation_set(
    workspace: Callable[[Splits], Paths],
) -> None:
    paths = workspace(TWO)
    assert collect(asked("two", "one", "two"), paths, "test") == collect(asked("one", "two"), paths, "test")


def test_a_limit_is_of_each_source_and_stable(workspace: Callable[[Splits], Paths]) -> None:
    paths = workspace({name: {**parts, "test": numbered(name, 40)} for name, parts in TWO.items()})
    few, more = (texts(collect(asked("one", "two", limit=n), paths, "test")) for n in (10, 20))
    assert (len(few), len(more)) == (20, 40)
    assert [text for text in more if text in few] == few, "the same rows, in the same order"
    assert sum(text.startswith("one") for text in few) == 10
    assert few != texts(collect(asked("one", "two", limit=10, seed=1), paths, "test"))


def test_an_unknown_source_of_the_evaluation_set_is_named(workspace: Callable[[Splits], Paths]) -> None:
    with pytest.raises(
        TunesmithError, match=r"evaluation_set\.sources: there is no split of a source 'x'; .* one, two"
    ):
        collect(asked("x"), workspace(TWO), "test")
