"""Suites as data: complete, and based on files that this lm-eval has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.benchmark.aggregates import AGGREGATES
from tasks.benchmark.harness.build import task_config
from tasks.benchmark.harness.suites import FOLDER, MEASURES, find_shots, load_suite, read_suite, refuse_unknown_names
from tasks.benchmark.params import SUITES
from tasks.core.errors import TunesmithError


def test_every_suite_is_read_and_every_task_has_a_file_of_lm_eval() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(SUITES)
    for name in SUITES:
        suite = load_suite(name)
        assert suite.tasks
        for task in suite.tasks.values():
            config = task_config(task)
            assert config["dataset_path"] and config["task"] == task.name
            assert task.split in (config.get("test_split"), config.get("validation_split"))
            declared = {metric["metric"] for metric in config["metric_list"]}
            assert set(task.metrics) <= declared, task.name
            assert {column.split(".")[0] for column in task.grouped_by} <= set(task.columns), task.name
            if task.shots:
                assert config["num_fewshot" if task.shots_split is None else "fewshot_split"] in (3, "dev")


def test_suites_have_the_published_tasks_and_numbers_of_examples() -> None:
    glue, superglue, mmlu, bigbench = (load_suite(name).tasks for name in ("glue", "superglue", "mmlu", "bigbench"))
    assert len({task.unit for task in glue.values()}) == 9
    assert len(superglue) == 8
    assert len(mmlu) == 57 and {task.shots for task in mmlu.values()} == {5}
    assert {task.group for task in mmlu.values()} == {"stem", "humanities", "social_sciences", "other"}
    assert len(bigbench) == 27 and len({task.unit for task in bigbench.values()}) == 23
    assert {task.shots for task in bigbench.values()} == {3}
    assert glue["cola"].metrics == {"mcc": "matthews"} and set(glue["stsb"].metrics) == {"pearson", "spearman"}
    assert set(AGGREGATES) == set(MEASURES)


def test_shots_of_a_task_go_before_those_of_its_suite() -> None:
    task = load_suite("mmlu").tasks["anatomy"]
    assert find_shots(task, {}) == 5
    assert find_shots(task, {"mmlu": 2}) == 2
    assert find_shots(task, {"mmlu": 2, "anatomy": 0}) == 0


def test_unknown_suite_task_and_metric_are_named(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="no suite 'super_glue'; there are: glue, superglue"):
        load_suite("super_glue")
    suites = [load_suite("glue")]
    with pytest.raises(TunesmithError, match=r"shots\.sst3: there is no such task or suite; there are: sst2"):
        refuse_unknown_names(suites, {"sst3": 1}, {})
    text = (FOLDER / "glue.yaml").read_text().replace("{mcc: matthews}", "{mcc: matews}")
    (tmp_path / "glue.yaml").write_text(text)
    with pytest.raises(TunesmithError, match=r"tasks\.cola: metrics\.mcc|tasks\.cola\.metrics\.mcc") as raised:
        read_suite(tmp_path / "glue.yaml")
    assert "matthews" in str(raised.value)


def test_multirc_counts_the_answer_that_is_correct() -> None:
    """lm-eval 0.4.13 lists yes first and takes the label as the index. This test fails once that is mended."""
    import ast

    from lm_eval.tasks._yaml_loader import load_yaml
    from lm_eval.utils import apply_template

    from tasks.benchmark.harness.build import PACKAGED
    from tasks.benchmark.harness.processing import multirc_choices, multirc_results

    doc = {"answer": "a lamp", "label": 1, "idx": {"paragraph": 0, "question": 3, "answer": 7}}
    assert multirc_choices(doc)[doc["label"]].endswith("yes")
    packaged = load_yaml(PACKAGED / "super_glue/multirc/default.yaml")
    assert ast.literal_eval(apply_template(packaged["doc_to_choice"], doc))[doc["label"]].endswith("no")
    assert multirc_results(doc, [(-2.0, False), (-1.0, True)]) == {"acc": 1.0, "f1a": (1, 1), "em": ("0-3", True)}
