"""Files, columns, labels and shapes: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.benchmark.harness.rows import checked
from tasks.benchmark.harness.sample import choose
from tasks.benchmark.harness.shapes import multirc, record, task_json, truthfulqa, wsc
from tasks.benchmark.harness.suites import load_suite
from tasks.benchmark.harness.task_rows import with_task_json
from tasks.benchmark.prepare import prepare
from tasks.core.errors import TunesmithError
from tests.benchmark.benchmark_rows import SETTINGS, boolq, write_jsonl

SST2 = load_suite("glue").tasks["sst2"]


@pytest.mark.parametrize("label", [1, "1", " 1 ", 1.0, "1.0", True, "positive", "Positive"])
def test_a_label_may_be_written_in_many_ways(label: Any) -> None:
    assert checked([{"sentence": "good", "label": label}], SST2, "f")[0]["label"] == 1


@pytest.mark.parametrize(("label", "words"), [("good", "'good'"), (2, "2"), (-1, "-1.*is secret"), ("", "''")])
def test_a_label_that_is_none_is_refused_with_its_row(label: Any, words: str) -> None:
    rows = [{"sentence": "a", "label": 0}, {"sentence": "b", "label": label}]
    with pytest.raises(TunesmithError, match=rf"f: row 2: label must be one of 0 \(negative\), 1 .*it is {words}"):
        checked(rows, SST2, "f")


def test_a_missing_column_is_named_with_the_existing_ones() -> None:
    with pytest.raises(TunesmithError, match=r"f: row 1: sst2 needs the column 'sentence'; the row has text, label"):
        checked([{"text": "a", "label": 1}], SST2, "f")


def test_similarities_are_measured_from_0_to_5() -> None:
    stsb = load_suite("glue").tasks["stsb"]
    row = {"sentence1": "a", "sentence2": "b"}
    assert checked([{**row, "label": "3.25"}], stsb, "f")[0]["label"] == 3.25
    for wrong in (5.1, "nan", "high"):
        with pytest.raises(TunesmithError, match="label must be a number from 0 to 5"):
            checked([{**row, "label": wrong}], stsb, "f")


def test_authors_shapes_become_the_hubs() -> None:
    questions = [{"question": "q", "idx": 4, "answers": [{"text": "x", "idx": 9, "label": 1}]}]
    assert multirc({"idx": 2, "passage": {"text": "p", "questions": questions}}) == [
        {
            "paragraph": "p",
            "question": "q",
            "answer": "x",
            "idx": {"paragraph": 2, "question": 4, "answer": 9},
            "label": 1,
        }
    ]
    passage = {"text": "Ann met Bob.", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]}
    queries = [{"query": "@placeholder met Bob", "answers": [{"text": "Ann"}, {"text": "Ann"}]}]
    rows = record({"passage": passage, "qas": queries})
    assert rows[0]["entities"] == ["Ann", "Bob"] and rows[0]["answers"] == ["Ann"]
    assert wsc({"text": "t", "target": {"span1_text": "a"}, "label": True})[0]["span1_text"] == "a"
    given = {"question": "q", "mc1_targets": {"wrong": 0, "right": 1}, "mc2_targets": {"choices": ["a"], "labels": [1]}}
    assert truthfulqa(given)[0]["mc1_targets"] == {"choices": ["right", "wrong"], "labels": [1, 0]}


def test_rows_are_chosen_in_proportion_by_seed() -> None:
    rows = [{"label": int(i % 4 == 0)} for i in range(80)]
    chosen = choose(rows, lambda row: row["label"], [], 20, seed=0)
    assert chosen is not None and chosen == sorted(set(chosen))
    assert sum(rows[index]["label"] for index in chosen) == 5
    assert chosen == choose(rows, lambda row: row["label"], [], 20, seed=0)
    assert chosen != choose(rows, lambda row: row["label"], [], 20, seed=1)
    assert choose(rows, lambda row: row["label"], [], 80, seed=0) is None
    groups = [{"idx": {"question": i // 3}} for i in range(30)]
    together = choose(groups, lambda row: 0, ["idx.question"], 7, seed=0)
    assert together is not None and len(together) == 9 and len({index // 3 for index in together}) == 3


def test_without_data_the_command_names_the_files_it_searched(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError) as raised:
        prepare(["superglue"], tmp_path, SETTINGS)
    text = str(raised.value)
    assert "boolq: no data. Looked for: no superglue_boolq/validation.jsonl" in text
    assert "hub data set aps/super_glue (boolq, split validation)" in text and "passage, question, label" in text
    assert text.endswith("no task has data that can be used, so nothing was run")


def test_a_broken_file_does_not_stop_the_other_tasks(data: Path) -> None:
    write_jsonl(data / "superglue_copa/val.jsonl", [{"premise": "The man fell.", "label": 0}])
    write_jsonl(data / "superglue_rte/val.jsonl", [{"premise": "a", "hypothesis": "b", "label": "maybe"}])
    prepared = prepare(["superglue"], data, SETTINGS)[0]
    assert list(prepared.built) == ["boolq"]
    assert "copa needs the column 'choice1'" in prepared.broken["copa"]
    assert "label must be one of 0 (entailment)" in prepared.broken["sglue_rte"]
    assert "no data" in prepared.missing["wic"]


def test_missing_examples_are_an_error(data: Path) -> None:
    settings = SETTINGS.model_copy(update={"shots": {"boolq": 2}})
    prepared = prepare(["superglue", "glue"], data, settings)[0]
    assert "boolq: 2 examples in the prompt need rows of the split 'train'" in prepared.broken["boolq"]
    write_jsonl(data / "superglue_boolq/train.jsonl", boolq(2))
    built = prepare(["superglue"], data, settings)[0].built["boolq"]
    assert built.shots == 2 and built.task.config.fewshot_split == "train"


def test_files_can_be_named_in_the_parameters(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "elsewhere/questions.jsonl", boolq(3))
    settings = SETTINGS.model_copy(update={"files": {"boolq": "elsewhere/questions.jsonl"}})
    prepared = prepare(["superglue"], tmp_path, settings)[0].built["boolq"]
    assert prepared.count == 3 and list(prepared.source["files"]) == ["elsewhere/questions.jsonl"]
    missing = SETTINGS.model_copy(update={"files": {"boolq": "no.jsonl"}})
    with pytest.raises(TunesmithError, match=r"files\.boolq: .*no\.jsonl: no such file"):
        prepare(["superglue"], tmp_path, missing)


CHOICE = {
    "name": "things",
    "task_prefix": "Choose.",
    "examples": [
        {"input": "Which is red?", "target_scores": {"a rose": 1, "the sky": 0, "blood": 1}},
        {"input": "Which is blue?", "target_scores": {"a rose": 0, "the sky": 1}},
    ],
}


def test_task_json_is_worded_as_big_bench_words_it(tmp_path: Path) -> None:
    first, second = task_json(CHOICE, "f", seed=0)
    lines = first["inputs"].splitlines()
    assert lines[:2] == ["Choose.", "Q: Which is red?"] and lines[-1] == "A:"
    assert sorted(lines[2:-1]) == ["  choice: a rose", "  choice: blood", "  choice: the sky"]
    assert first["multiple_choice_scores"] == [1.0, 0.0, 1.0] and len(second["multiple_choice_targets"]) == 2
    (tmp_path / "things").mkdir()
    (tmp_path / "things/task.json").write_text(json.dumps(CHOICE))
    (tmp_path / "sums").mkdir()
    sums = {"examples": [{"input": "1+1", "target": ["2", "two"]}], "append_choices_to_input": False}
    (tmp_path / "sums/task.json").write_text(json.dumps(sums))
    tasks = with_task_json(load_suite("bigbench"), tmp_path, SETTINGS)
    assert set(tasks["things"].metrics) == {"acc"} and set(tasks["sums"].metrics) == {"exact_match"}
    built = prepare(["bigbench"], tmp_path, SETTINGS)[0].built
    assert built["things"].task.doc_to_target(built["things"].task.test_docs()[0]) == [0, 2]
    assert built["sums"].task.process_results(built["sums"].task.test_docs()[0], ["two"]) == {"exact_match": 1.0}


def test_task_json_without_targets_is_refused() -> None:
    with pytest.raises(TunesmithError, match="f: example 1: must have `input` and either"):
        task_json({"examples": [{"input": "x"}]}, "f", seed=0)
    mixed = {"examples": [{"input": "x", "target": "y"}, CHOICE["examples"][0]]}
    with pytest.raises(TunesmithError, match="all examples must have `target_scores`, or none"):
        task_json(mixed, "f", seed=0)
