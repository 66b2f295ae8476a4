"""What a suite scores equals lm-eval run by hand: a model from a folder, a local task file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.benchmark.harness.build import PACKAGED
from tasks.benchmark.harness.run_task import measure
from tasks.benchmark.prepare import prepare
from tests.benchmark.benchmark_rows import SETTINGS

UTILS = """
def number(dataset):
    return dataset.map(lambda row: {"label": int(row["label"])})

def letters(dataset):
    rows = dataset.filter(lambda row: row["subject"] == "anatomy")
    return rows.map(lambda r: {"choices": [r[x] for x in "ABCD"], "index": "ABCD".index(r["answer"])})
"""


def _by_hand(folder: Path, tiny: Path, tasks: dict[str, dict[str, Any]], samples: dict[str, list[int]] | None) -> Any:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    for name, config in tasks.items():
        text = yaml.safe_dump({**config, "task": name, "dataset_path": "json", "dataset_name": None})
        (folder / f"{name}.yaml").write_text(
            text.replace("'!function ", "!function ").replace(".number'", ".number").replace(".letters'", ".letters")
        )
    model = HFLM(pretrained=str(tiny), device="cpu", dtype="float32", batch_size=2)
    scores = {}
    for name in tasks:
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        one = {name: samples[name]} if samples and name in samples else None
        scores[name] = simple_evaluate(model, tasks=[name], samples=one, task_manager=manager, bootstrap_iters=0)
    return scores


def _files(**splits: Path) -> dict[str, Any]:
    return {"data_files": {split: str(path) for split, path in splits.items()}}


@pytest.fixture
def tasks_by_hand(data: Path) -> dict[str, dict[str, Any]]:
    return {
        "boolq": {
            "include": str(PACKAGED / "super_glue/boolq/default.yaml"),
            "dataset_kwargs": _files(validation=data / "superglue_boolq/val.jsonl"),
            "training_split": None,
        },
        "sst2": {
            "include": str(PACKAGED / "glue/sst2/default.yaml"),
            "dataset_kwargs": _files(validation=data / "glue_sst2/dev.jsonl"),
            "training_split": None,
            "process_docs": "!function utils.number",
        },
        "anatomy": {
            "include": str(PACKAGED / "mmlu/default/mmlu_anatomy.yaml"),
            "dataset_kwargs": _files(test=data / "mmlu/test.jsonl", dev=data / "mmlu/dev.jsonl"),
            "process_docs": "!function utils.letters",
            "doc_to_target": "index",
            "num_fewshot": 5,
        },
        "boolean_expressions": {
            "include": str(PACKAGED / "bbh/fewshot/boolean_expressions.yaml"),
            "dataset_kwargs": _files(test=data / "bigbench_hard/boolean_expressions.jsonl"),
            "filter_list": [
                {"name": "stripped", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
            ],
        },
    }


def test_scores_and_every_answer_equal_lm_eval_by_hand(
    data: Path, lm: Any, tiny_llama: Path, tmp_path: Path, tasks_by_hand: dict[str, dict[str, Any]]
) -> None:
    prepared = prepare(["superglue", "glue", "mmlu", "bigbench"], data, SETTINGS)
    built = {name: task for one in prepared for name, task in one.built.items()}
    assert set(built) == {"boolq", "sst2", "anatomy", "virology", "boolean_expressions"}
    hand = _by_hand(tmp_path / "hand", tiny_llama, tasks_by_hand, None)
    for name in tasks_by_hand:
        ours = measure(lm, built[name], SETTINGS)
        theirs, samples = hand[name]["results"][name], hand[name]["samples"][name]
        assert len(ours.samples) == len(samples) == built[name].count > 3
        for metric, value in ours.scores.items():
            assert value == next(v for key, v in theirs.items() if key.split(",")[0] == metric)
        assert [s["arguments"] for s in ours.samples] == [s["arguments"] for s in samples]
        assert [s["filtered_resps"] for s in ours.samples] == [s["filtered_resps"] for s in samples]


def test_a_lite_run_evaluates_the_rows_that_lm_eval_evaluates_by_hand(
    data: Path, lm: Any, tiny_llama: Path, tmp_path: Path, tasks_by_hand: dict[str, dict[str, Any]]
) -> None:
    settings = SETTINGS.model_copy(update={"size": "lite", "rows": 6})
    built = prepare(["superglue"], data, settings)[0].built["boolq"]
    assert built.rows is not None and len(built.rows) == 6
    hand = _by_hand(tmp_path / "hand", tiny_llama, {"boolq": tasks_by_hand["boolq"]}, {"boolq": built.rows})
    ours = measure(lm, built, settings)
    assert ours.scores["acc"] == hand["boolq"]["results"]["boolq"]["acc,none"]
    assert [s["doc_id"] for s in ours.samples] == built.rows
    assert [s["resps"] for s in ours.samples] == [s["resps"] for s in hand["boolq"]["samples"]["boolq"]]
