"""``mix``: no test row is ever trained on, and the order of rows depends only on the seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, read_rows
from tasks.core.params import parse, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluation_set import run as evaluation_set
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.contamination import ROWS
from tasks.mix.params import ContaminationParams, HoldOut, MixtureParams, Share
from tasks.mix.run import Mixed, mix, run
from tasks.text.rows import RENDERED
from tests.mix.splits import TWO, Splits, Write, numbered, texts

CHECKED = ContaminationParams(max_left_out=1.0)


def mixture(limits: dict[str, int | None], **params: Any) -> MixtureParams:
    return MixtureParams(sources={name: Share(limit=limit) for name, limit in limits.items()}, **params)


def mixed(paths: Paths, limits: dict[str, int | None], **params: Any) -> Mixed:
    return mix("m", mixture(limits, **params), CHECKED, paths)


def train(paths: Paths, limits: dict[str, int | None], **params: Any) -> list[str]:
    return texts(mixed(paths, limits, **params).parts["train"])


def test_a_mixture_holds_the_train_and_validation_rows_of_its_sources_and_no_test_row(workspace: Write) -> None:
    result = mixed(workspace(TWO), {"one": None, "two": None})
    assert sorted(texts(result.parts["train"])) == sorted(numbered("a", 50) + numbered("d", 50))
    assert sorted(texts(result.parts["validation"])) == sorted(numbered("b", 5) + numbered("e", 5))
    nothing: dict[str, Any] = {"train": {}, "validation": {}}
    counts = {"train": 50, "validation": 5, "held_out": {"train": 0, "validation": 0}, "left_out": nothing}
    assert result.report["sources"] == {"one": counts, "two": counts}
    assert result.report["rows"] == {"requested": None, "train": 100, "validation": 10}
    assert texts_of_tests(result) == numbered("c", 5) + numbered("f", 5)
    assert result.parts["train"].schema == result.parts["validation"].schema == RENDERED


def texts_of_tests(result: Mixed) -> list[str]:
    return [str(row).removeprefix("id ") for row in result.contamination.column("row_id").to_pylist()]


def test_the_sources_are_shuffled_together(workspace: Write) -> None:
    sources = mixed(workspace(TWO), {"one": None, "two": None}).parts["train"].column("source").to_pylist()
    changes = sum(a != b for a, b in pairwise(sources))
    assert changes > 25, "of 99; 1 when the sources follow each other, 50 expected of a shuffle"


def test_what_any_source_tests_or_watches_is_left_out_and_counted(workspace: Write) -> None:
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
    result = mixed(paths, {"one": None})
    assert texts(result.parts["train"]) == ["new"]
    assert sorted(texts(result.parts["validation"])) == ["fine", "is watched"]
    assert result.report["sources"]["one"]["left_out"] == {
        "train": {
            "one/test: exact_input": 1,
            "one/validation: exact_input": 1,
            "two/test: exact_input": 1,
            "two/validation: exact_input": 1,
        },
        "validation": {"two/test: exact_input": 1},
    }


def test_rows_like_those_of_an_earlier_test_set_are_left_out_and_counted(workspace: Write) -> None:
    paths = workspace(
        {
            "one": {"train": ["new", "was tested", "is tested"], "validation": ["Was tested elsewhere!", "fine"]},
            "two": {"train": ["x"], "test": ["is tested"], "retired": ["WAS tested", "was tested elsewhere"]},
        }
    )
    result = mixed(paths, {"one": None})
    assert (texts(result.parts["train"]), texts(result.parts["validation"])) == (["new"], ["fine"])
    assert result.report["sources"]["one"]["left_out"] == {
        "train": {"two/retired: exact_input": 1, "two/test: exact_input": 1},
        "validation": {"two/retired: exact_input": 1},
    }
    assert texts_of_tests(result) == ["is tested"], "the present test rows are examined"


def test_a_limit_counts_clean_rows_and_a_higher_one_keeps_what_a_lower_one_kept(workspace: Write) -> None:
    splits = {**TWO, "one": {**TWO["one"], "test": [*TWO["one"]["test"], *numbered("a", 20)]}}
    paths = workspace(splits)
    few, more, most = (set(train(paths, {"one": n})) for n in (10, 20, 99))
    assert [len(few), len(more), len(most)] == [10, 20, 30]
    assert few < more < most == set(numbered("a", 50)) - set(numbered("a", 20))


def test_more_rows_keep_the_earlier_ones_of_every_task(workspace: Write) -> None:
    tasks = {"train": [*numbered("a", 30, task="t1"), *numbered("b", 7, task="t2")], "validation": ["v"], "test": ["w"]}
    paths = workspace({"one": tasks, "two": TWO["two"]})
    drawn = [set(train(paths, {"one": None, "two": None}, weighting="equal", rows=n)) for n in range(1, 90, 4)]
    assert [len(rows) for rows in drawn] == [*range(1, 87, 4), 87]
    assert all(few < more for few, more in pairwise(drawn))


def test_realised_rows_are_reported_beside_the_requested_ones(workspace: Write) -> None:
    """25 each were asked for; t2 has 7 and its other 18 go to t1, which has 30, and to the rest."""
    tasks = {"train": [*numbered("a", 30, task="t1"), *numbered("b", 7, task="t2")], "validation": ["v"], "test": ["w"]}
    result = mixed(workspace({"one": tasks, "two": TWO["two"]}), {"one": None, "two": None}, weighting="equal", rows=75)
    assert result.report["components"] == {
        "one/t1": {"requested": 25, "available": 30, "rows": 30, "short": False},
        "one/t2": {"requested": 25, "available": 7, "rows": 7, "short": True},
        "two/say": {"requested": 25, "available": 50, "rows": 38, "short": False},
    }
    assert Counter(result.parts["train"].column("task").to_pylist()) == {"t1": 30, "t2": 7, "say": 38}
    assert result.report["short"] is False
    assert len(set(texts(result.parts["train"]))) == 75, "no row is repeated"


def test_whole_tasks_and_templates_are_held_out_of_training_and_validation(workspace: Write) -> None:
    both = [*numbered("a", 4, task="t1"), *numbered("b", 3, task="t2"), *numbered("c", 2, template_id="w2", task="t1")]
    test = [{**row, "text": f"test {row['text']}"} for row in both]
    watched = [{**row, "text": f"watched {row['text']}"} for row in both]
    paths = workspace({"one": {"train": both, "validation": watched, "test": test}, "two": TWO["two"]})
    held = HoldOut(tasks=["t2"], templates=["one/w2"])
    result = mixed(paths, {"one": None}, hold_out=held)
    assert sorted(texts(result.parts["train"])) == numbered("a", 4)
    assert sorted(texts(result.parts["validation"])) == [f"watched a{i}" for i in range(4)]
    assert result.report["sources"]["one"]["held_out"] == {"train": 5, "validation": 5}
    assert len(texts_of_tests(result)) == 9 + 5, "the evaluation set keeps them"


def test_an_unknown_hold_out_is_named_with_the_known_ones(workspace: Write) -> None:
    with pytest.raises(TunesmithError) as caught:
        mixed(workspace(TWO), {"one": None}, hold_out=HoldOut(tasks=["sing"], templates=["two/t"]))
    assert str(caught.value).splitlines() == [
        "params/mixtures.yaml: mixtures.m.hold_out.tasks: no row of the mixture's sources has the task 'sing'; "
        "there are: say",
        "params/mixtures.yaml: mixtures.m.hold_out.templates: no row of the mixture's sources has the template "
        "'two/t'; there are: one/t",
    ]


def test_validation_rows_are_limited_for_each_task(workspace: Write) -> None:
    watched = [*numbered("v", 9, task="t1"), *numbered("w", 2, task="t2")]
    paths = workspace({"one": {**TWO["one"], "validation": watched}})
    rows = mixed(paths, {"one": None}, validation_limit=3).parts["validation"]
    assert Counter(rows.column("task").to_pylist()) == {"t1": 3, "t2": 2}


def test_a_mixture_is_deterministic_and_the_seed_matters(workspace: Write) -> None:
    paths = workspace(TWO)
    limits = {"one": 20, "two": None}
    first, again = mixed(paths, limits), mixed(paths, limits)
    assert first.parts == again.parts and first.report == again.report
    assert set(train(paths, limits, seed=1)) != set(texts(first.parts["train"]))


def test_the_order_of_the_sources_does_not_matter(workspace: Write) -> None:
    shared: Splits = {name: {**parts, "train": [*parts["train"], "the same"]} for name, parts in TWO.items()}
    paths = workspace(shared)
    one, other = mixed(paths, {"one": 30, "two": None}), mixed(paths, {"two": None, "one": 30})
    assert one.parts == other.parts and one.report == other.report


def test_an_unknown_source_is_named_with_the_known_ones(workspace: Write) -> None:
    with pytest.raises(TunesmithError) as caught:
        mixed(workspace(TWO), {"three": None})
    assert str(caught.value) == (
        "params/mixtures.yaml: mixtures.m.sources: a source must have a split; 'three' has none "
        "(sources with a split: one, two); correct the name, or add the source to params/sources.yaml and run "
        "`tunesmith run`"
    )


def test_a_split_that_is_still_being_written_is_no_source(workspace: Write) -> None:
    paths = workspace(TWO)
    (paths.splits / ".two.4242.partial").mkdir()
    assert len(train(paths, {"one": None})) == 50


def test_a_source_that_only_tests_is_checked_against(workspace: Write) -> None:
    """As a benchmark file is: a split with test rows alone."""
    paths = workspace({"one": TWO["one"], "bench": {"test": ["a7", "other"]}})
    result = mixed(paths, {"one": None})
    assert result.report["sources"]["one"]["left_out"]["train"] == {"bench/test: exact_input": 1}
    assert "a7" not in texts(result.parts["train"])


def test_the_stage_writes_the_rows_and_refuses_a_mixture_without_any(workspace: Write) -> None:
    paths = workspace({**TWO, "bad": {"train": ["u"], "validation": ["c0"], "test": ["w"]}})
    evaluation_set.run(EvaluationSetParams(sources=["two"]), paths, Stage("evaluation_set", paths.root))
    run("m", mixture({"one": 7}), CHECKED, paths, Stage("mix@m", paths.root))
    expected = mixed(paths, {"one": 7})
    folder = paths.mixture("m")
    assert read_rows(folder / "train.parquet") == expected.parts["train"].to_pylist()
    assert read_json(folder / "report.json") == expected.report
    rows = read_rows(folder / "contamination.parquet")
    assert list(rows[0]) == ROWS.names
    assert {name: counts["rows"] for name, counts in read_json(folder / "contamination.json")["sets"].items()} == {
        "bad": 1,
        "one": 5,
        "two": 5,
    }
    with pytest.raises(TunesmithError, match=r"mixtures\.n: no validation row is left .*'one/test: exact_input': 1"):
        run("n", mixture({"bad": None}), CHECKED, paths, Stage("mix@n", paths.root))
    assert not paths.mixture("n").exists()


def test_a_source_that_gives_no_training_row_stops_the_mixture(workspace: Write) -> None:
    splits: Splits = {
        **TWO,
        "bench": {"test": ["a1"]},
        "bad": {"train": ["c0", "c1", "e0", {"text": "x", "task": "held"}], "validation": ["v"], "test": ["w"]},
    }
    with pytest.raises(TunesmithError) as caught:
        mixed(workspace(splits), {"one": None, "bad": None, "bench": None}, hold_out=HoldOut(tasks=["held"]))
    assert str(caught.value).splitlines() == [
        "params/mixtures.yaml: mixtures.m.sources.bad: a source must give training rows; it gives none of its 4 (held "
        "out: 1; matching evaluation rows: 3: 2 as in one/test: exact_input; 1 as in two/validation: exact_input); "
        "take it out of `sources`, or give it training rows",
        "params/mixtures.yaml: mixtures.m.sources.bench: a source must give training rows; it gives none of its 0 "
        "(held out: 0; matching evaluation rows: 0); take it out of `sources`, or give it training rows",
    ]


def test_a_source_that_loses_too_many_rows_to_evaluation_rows_stops_the_mixture(workspace: Write) -> None:
    """12 of 50 are those of a benchmark."""
    paths = workspace({**TWO, "bench": {"test": numbered("a", 12)}})
    with pytest.raises(TunesmithError) as caught:
        mix("m", mixture({"one": None, "two": None}), ContaminationParams(), paths)
    assert str(caught.value) == (
        "params/mixtures.yaml: mixtures.m.sources.one: at most 20.0% of the training rows may be left out because they "
        "match evaluation rows; 12 of 50 (24.0%) are: 12 as in bench/test: exact_input; remove one of the two from "
        "params/sources.yaml, or raise contamination.max_left_out in params/mixtures.yaml"
    )
    result = mix("m", mixture({"one": None, "two": None}), ContaminationParams(max_left_out=0.24), paths)
    assert result.report["rows"]["train"] == 88


def test_a_source_that_loses_rows_to_its_own_evaluation_rows_is_to_be_grouped(workspace: Write) -> None:
    paths = workspace({"one": {**TWO["one"], "test": numbered("a", 12)}})
    with pytest.raises(TunesmithError) as caught:
        mix("m", mixture({"one": None}), ContaminationParams(), paths)
    assert str(caught.value).endswith(
        "are: 12 as in one/test: exact_input; set sources.one.template.group in params/sources.yaml to a column whose "
        "value such rows share, or raise contamination.max_left_out in params/mixtures.yaml"
    )


def test_a_split_whose_source_is_gone_takes_no_rows_out(workspace: Write, caplog: pytest.LogCaptureFixture) -> None:
    paths = workspace({**TWO, "gone": {"test": numbered("a", 50)}})
    write_yaml(paths.params / "sources.yaml", {"sources": {"one": {}, "two": {}}})
    evaluation_set.run(EvaluationSetParams(sources=["two"]), paths, Stage("evaluation_set", paths.root))
    run("m", mixture({"one": None}), CHECKED, paths, Stage("mix@m", paths.root))
    assert len(read_rows(paths.mixture("m") / "train.parquet")) == 50
    assert "data/splits/gone: not in params/sources.yaml, not checked" in caplog.text


def test_a_task_without_rows_is_reported_short_and_a_held_out_one_is_not(workspace: Write) -> None:
    held = [*numbered("c", 2, task="held"), *numbered("d", 2, task="unsaid", template_id="w2")]
    both = [*numbered("a", 30), *numbered("b", 2, task="t2"), *held]
    paths = workspace({"one": {"train": both, "validation": ["v"], "test": numbered("b", 2)}})
    result = mixed(paths, {"one": None}, hold_out=HoldOut(tasks=["held"], templates=["one/w2"]))
    assert result.report["components"] == {
        "one/say": {"requested": 30, "available": 30, "rows": 30, "short": False},
        "one/t2": {"requested": 0, "available": 0, "rows": 0, "short": True},
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sources": {}}, "m.sources: dictionary should have at least 1 item"),
        ({"sources": {"one": {"limt": 3}}}, "m.sources.one.limt: unknown key; known here: limit, weight"),
        ({"sources": {"one": {"limit": 0}}}, "m.sources.one.limit: input should be greater than or equal to 1; it is"),
        ({"weighting": "explicit"}, "m: sources.one.weight: `weighting: explicit` needs the weight of every source"),
        ({"sources": {"one": {"weight": 2}}}, "m: sources.one.weight: only `weighting: explicit` uses weights; remove"),
        ({"weighting": "equal", "cap": 5}, "m: cap: `weighting: equal` uses no cap; remove it"),
        ({"weighting": "temperature"}, "m: temperature: must be given with `weighting: temperature`, and only there"),
        ({"temperature": 2.0}, "m: temperature: must be given with `weighting: temperature`, and only there"),
        ({"hold_out": {"task": []}}, "m.hold_out.task: unknown key; known here: tasks, templates"),
    ],
)
def test_wrong_mixtures_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        parse(MixtureParams, {"sources": {"one": {}}} | data, "mixtures.yaml", "m")
    assert message in str(caught.value)
