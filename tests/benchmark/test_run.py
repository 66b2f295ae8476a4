"""Whole runs: the stage, the command, a task that fails, and what is printed beforehand."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.commands.benchmark import benchmark, failed
from flows.preflight import preflight
from tasks.benchmark import results
from tasks.benchmark.chance import NOISE
from tasks.benchmark.cost import speed, task_cost
from tasks.benchmark.harness.run_task import measure
from tasks.benchmark.helm import run as helm_run
from tasks.benchmark.prepare import prepare
from tasks.benchmark.run import run
from tasks.benchmark.suite_verdicts import benchmark_verdicts
from tasks.benchmark.table import compared, remarks, tables
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, read_rows, write_json, write_rows
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.metrics.params import VerdictParams
from tasks.text.rows import RENDERED
from tests.benchmark.benchmark_rows import SETTINGS, write_jsonl
from tests.benchmark.helm import data_folder
from tests.dag_modules import ROOT
from tests.train.training_workspace import PAIRS, rows
from tests.workspaces import dvc

Make = Callable[[str], Path]

VERDICTS = VerdictParams(min_groups=2)


@pytest.fixture
def workspace(tmp_path: Path, data: Path, model_folder: Make) -> Path:
    """The models ``base`` and ``tuned`` with the same weights, and parameters."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    experiments = {name: {"method": "none", "mixture": "demo"} for name in ("tuned", "base", "later")}
    write_yaml(tmp_path / "params/experiments.yaml", {"experiments": experiments})
    _plan(tmp_path, {})
    for name in ("base", "tuned"):
        model_folder(name)
    return tmp_path


def _plan(root: Path, experiments: dict[str, Any]) -> None:
    path = root / "params/evaluation.yaml"
    given = read_yaml(path)
    settings = SETTINGS.model_dump(mode="json")
    write_yaml(path, given | {"benchmark": {"settings": settings, "experiments": experiments}})


def test_the_stage_writes_scores_rows_and_what_has_no_data(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)  # as DVC runs it
    paths = Paths(workspace)
    _plan(workspace, {"base": {"suites": ["superglue", "bigbench"], "data": "data"}})
    run("base", paths, Stage("benchmark@base", workspace))
    results_of_base = results.read(paths.benchmark("base"))
    assert results_of_base is not None
    result, samples, _ = results_of_base
    assert str(workspace) not in json.dumps(result)
    boolq = result["suites"]["superglue"]["tasks"]["boolq"]
    assert boolq["status"] == "done" and boolq["rows"] == boolq["of"] == 12
    acc = boolq["metrics"]["acc"]
    mine = [row for row in samples if row["task"] == "boolq"]
    assert acc["value"] == sum(row["score"] for row in mine) / 12
    assert (
        acc["low"] <= acc["value"] <= acc["high"] and acc["chance"] == 0.5 and acc["majority"] == pytest.approx(8 / 12)
    )
    assert boolq["verdict"] == NOISE  # the weights are random
    assert [row["doc_id"] for row in mine] == list(range(12))
    for row in mine:
        best = max(range(2), key=lambda i: row["logprobs"][i])
        assert row["prediction"] == row["choices"][best] and row["target"] in ("no", "yes")
        assert row["score"] == float(row["prediction"] == row["target"])
    sample = next(row for row in samples if row["task"] == "boolean_expressions")
    assert sample["choices"] is None and sample["target"] in ("True", "False")
    assert result["suites"]["superglue"]["tasks"]["wic"]["status"] == "no data"
    assert (paths.run("base", "benchmark") / "run.json").exists()
    before = {p.name: p.read_bytes() for p in paths.benchmark("base").iterdir()}
    run("base", paths, Stage("benchmark@base", workspace))
    assert before == {p.name: p.read_bytes() for p in paths.benchmark("base").iterdir()}


def test_the_command_shows_base_beside_tuned_and_keeps_other_suites(workspace: Path, data: Path) -> None:
    lines: list[str] = []
    benchmark(workspace, ["superglue"], None, ["tuned"], data, None, None, lines.append)
    report = benchmark(workspace, ["glue"], "lite", None, data, 4, None, lines.append)
    assert set(report) == {"base", "tuned"} and not failed(report)
    kept = results.read(Paths(workspace).benchmark("tuned"))
    assert kept is not None and set(kept[0]["suites"]) == {"superglue", "glue"}
    assert {row["suite"] for row in kept[1]} == {"superglue", "glue"}
    assert report["base"][0]["suites"]["glue"]["tasks"]["sst2"]["rows"] == 4
    cost = next(line for line in lines if line.startswith("base: 1 tasks, 4 rows"))
    assert "tokens" in cost and "about" in cost
    table = tables(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS))[0]
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["tuned − base"][0].startswith("+0.000 [+0.00, +0.00]")
    about = "\n".join(remarks(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS)))
    assert cells["task, metric"][0] == "sst2, acc" and "no data for 9 of 10 tasks" in about
    assert "tuned: fewer than 30 rows: sst2; so few tell little" in about


def test_the_command_refuses_what_it_does_not_know(workspace: Path, data: Path) -> None:
    def ask(**changed: Any) -> None:
        given = {"suites": ["glue"], "size": None, "experiments": None, "data": data, "rows": None, "output": None}
        benchmark(workspace, **{**given, **changed}, say=lambda line: None)

    with pytest.raises(TunesmithError, match="no suite 'glu'; there are: glue"):
        ask(suites=["glu"])
    with pytest.raises(TunesmithError, match="size: input should be 'full' or 'lite'; it is 'small'"):
        ask(size="small")
    with pytest.raises(TunesmithError, match="no model 'lora' is trained; there are: base, tuned"):
        ask(experiments=["lora"])
    with pytest.raises(TunesmithError, match=r"--data: .*/nowhere: must be a folder with the suites' files"):
        ask(data=data / "nowhere")
    with pytest.raises(TunesmithError, match="--rows belongs to size lite"):
        ask(size="full", rows=3)
    _plan(workspace, {"base": {"suites": ["glue"], "data": "data"}})
    with pytest.raises(TunesmithError, match=r"base is planned under benchmark\.experiments"):
        ask()


def test_nan_log_probabilities_break_their_task_only(data: Path, lm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepare(["glue"], data, SETTINGS)[0].built["sst2"]
    head = lm.model.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, args, out: torch.full_like(out, float("nan")))
    try:
        with pytest.raises(TunesmithError, match=r"sst2: row \d+: the log-probability of choice \d must be a number"):
            measure(lm, one, SETTINGS)
    finally:
        handle.remove()


def test_one_broken_task_does_not_lose_the_others(workspace: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.benchmark import run as module

    def broken(lm: Any, built: Any, settings: Any) -> Any:
        if built.definition.name == "anatomy":
            raise RuntimeError("out of memory")
        return measure(lm, built, settings)

    monkeypatch.setattr(module, "measure", broken)
    report = benchmark(workspace, ["mmlu"], None, ["base"], data, None, None, lambda line: None)
    tasks = report["base"][0]["suites"]["mmlu"]["tasks"]
    assert tasks["anatomy"] == {"status": "failed", "error": "anatomy: RuntimeError: out of memory"}
    assert tasks["virology"]["status"] == "done" and failed(report) == ["base/anatomy"]
    assert report["base"][0]["suites"]["mmlu"]["averages"]["overall"]["tasks"] == 1
    assert "base: failed: anatomy: RuntimeError" in "\n".join(
        remarks(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS))
    )


def test_the_cost_counts_every_token_and_cut_prompts(data: Path, lm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepare(["glue"], data, SETTINGS)[0].built["sst2"]
    cost = task_cost(lm, one, SETTINGS)
    prompts = [
        f"the {w['sentence'][4:]}\nQuestion: Is this sentence positive or negative?\nAnswer:"
        for w in one.task.validation_docs()
    ]
    sizes = [len(lm.tok_encode(prompt)) for prompt in prompts]
    endings = [len(lm.tok_encode(answer, add_special_tokens=False)) for answer in (" negative", " positive")]
    assert cost.rows == 10 and cost.cut == 0 and cost.new_tokens == 0
    assert all(ending > 1 for ending in endings)  # choices of one token would share a pass
    assert cost.tokens == sum(2 * size + sum(endings) - 2 for size in sizes)
    assert speed(lm, [one]).seconds(cost) > 0
    monkeypatch.setattr(type(lm), "max_length", property(lambda self: min(sizes)))
    assert task_cost(lm, one, SETTINGS).cut > 0


def test_truthfulness_is_scored_as_lm_eval_does(tmp_path: Path, lm: Any) -> None:
    rows = [
        {
            "question": f"What is thing {i}?",
            "mc1_targets": {"a radio": 0, f"a lamp {i}": 1},
            "mc2_targets": {"a lamp": 1, "a light": 1, "a radio": 0, "a shirt": 0},
        }
        for i in range(6)
    ]
    write_jsonl(tmp_path / "truthful_qa/validation.jsonl", rows)
    built = prepare(["risk"], tmp_path, SETTINGS)[0].built
    assert set(built) == {"truthfulqa_mc1", "truthfulqa_mc2"}
    measured = measure(lm, built["truthfulqa_mc2"], SETTINGS)
    for sample in measured.samples:
        shares = [float(torch.tensor(value).exp()) for value, _ in sample["filtered_resps"]]
        assert sample["acc"] == pytest.approx(sum(shares[:2]) / sum(shares), rel=1e-4)
    first = measure(lm, built["truthfulqa_mc1"], SETTINGS)
    assert [s["acc"] for s in first.samples] == [
        float(s["filtered_resps"][0] > s["filtered_resps"][1]) for s in first.samples
    ]


def test_the_risk_suite_has_bias_toxicity_and_memorisation(workspace: Path, tmp_path: Path) -> None:
    paths, data = Paths(workspace), data_folder.write(tmp_path / "risks")
    paths.mixture("demo").mkdir(parents=True)
    write_rows(paths.mixture("demo") / "train.parquet", rows(PAIRS), RENDERED)
    report = benchmark(workspace, ["risk"], "lite", ["base"], data, 4, None, lambda line: None)
    suite = report["base"][0]["suites"]["risk"]
    assert suite["tasks"]["truthfulqa_mc1"]["status"] == "no data" and not failed(report)
    assert set(suite["scenarios"]) == {"bbq", "crows_pairs", "real_toxicity_prompts"}
    for name, about in suite["scenarios"].items():
        assert about["status"] == "done" and about["rows"] == 4, name
        assert "efficiency" not in about["cells"]
    pairs = suite["scenarios"]["crows_pairs"]["cells"]["bias"]
    instances = read_rows(paths.benchmark("base") / "scenarios.parquet")
    assert pairs["value"] == sum(row["score"] for row in instances if row["scenario"] == "crows_pairs") / 4
    assert all(row["seconds"] is None for row in instances), "two runs must give equal files"
    assert suite["memorisation"]["demo"]["rows"] == len(PAIRS)
    (table,) = tables(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS))
    assert "crows_pairs, bias" in list(table.columns[0].cells), "none of what lm-eval scores is there"
    assert "by guessing" not in "\n".join(remarks(report, "base", {}))
    benchmark(workspace, ["glue"], "lite", ["base"], workspace / "data", 4, None, lambda line: None)
    kept = results.read(paths.benchmark("base"))
    assert kept is not None and len(kept[2]) == 12 and set(kept[0]["suites"]) == {"risk", "glue"}
    # An earlier version called the file risks.parquet.
    (paths.benchmark("base") / "scenarios.parquet").rename(paths.benchmark("base") / "risks.parquet")
    assert results.read(paths.benchmark("base")) == kept


def test_scenarios_of_the_same_model_and_rows_are_not_measured_again(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, data = Paths(workspace), data_folder.write(tmp_path / "risks")
    paths.mixture("demo").mkdir(parents=True)
    write_rows(paths.mixture("demo") / "train.parquet", rows(PAIRS), RENDERED)
    run_risk = functools.partial(benchmark, workspace, ["risk"], "lite", ["base"], data, say=lambda line: None)
    run_risk(rows=4, output=None)
    first = results.read(paths.benchmark("base"))

    def refuse(*args: object, **more: object) -> None:
        raise RuntimeError("measured again")

    monkeypatch.setattr(helm_run, "measure_scenario", refuse)
    monkeypatch.setattr(helm_run, "measure_memorisation", refuse)
    assert not failed(run_risk(rows=4, output=None))
    assert results.read(paths.benchmark("base")) == first
    with pytest.raises(TunesmithError, match="bbq: RuntimeError: measured again"):
        run_risk(rows=8, output=None)  # other rows


def test_a_broken_scenario_does_not_lose_the_others(workspace: Path, tmp_path: Path) -> None:
    data = data_folder.write(tmp_path / "risks")
    data_folder.put(data, "crows_pairs/all.jsonl", [{"sent_more": "Old men are slow."}])
    report = benchmark(workspace, ["risk"], "lite", ["base"], data, 4, None, lambda line: None)
    scenarios = report["base"][0]["suites"]["risk"]["scenarios"]
    assert scenarios["bbq"]["status"] == "done" and failed(report) == ["base/crows_pairs"]
    text = "\n".join(remarks(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS)))
    assert "base: failed: crows_pairs: " in text and "needs the column" in text
    memory = report["base"][0]["suites"]["risk"]["memorisation"]
    assert memory == {}, "no mixture is built"


def test_memorisation_of_a_tuned_model_is_of_its_mixture(workspace: Path, tmp_path: Path, tiny_llama: Path) -> None:
    paths, data = Paths(workspace), data_folder.write(tmp_path / "risks")
    manifest = paths.model("tuned") / "manifest.json"
    write_json(manifest, read_json(manifest) | {"method": "full"})
    shutil.copytree(tiny_llama, paths.model("tuned"), dirs_exist_ok=True)
    ask = functools.partial(benchmark, workspace, ["risk"], "lite", ["tuned"], data, 1, None, lambda line: None)
    report = ask()
    memory = report["tuned"][0]["suites"]["risk"]["memorisation"]
    assert memory["demo"]["status"] == "no data" and not failed(report)
    assert "the training rows of mixture demo are not here" in "\n".join(remarks(report, "base", {}))
    paths.mixture("demo").mkdir(parents=True)
    (paths.mixture("demo") / "train.parquet").write_bytes(b"torn")
    report = ask()
    assert failed(report) == ["tuned/demo"]
    assert "tuned: failed: memorisation of demo: " in "\n".join(remarks(report, "base", {}))
    write_rows(paths.mixture("demo") / "train.parquet", rows(PAIRS), RENDERED)
    assert ask()["tuned"][0]["suites"]["risk"]["memorisation"]["demo"]["rows"] == len(PAIRS)


def test_a_lost_suite_is_reported_with_rows_and_to_the_gate(workspace: Path, data: Path) -> None:
    """The results of two equal models are edited: all rows right for the base, all wrong for the tuned one."""
    paths = Paths(workspace)
    benchmark(workspace, ["superglue"], None, None, data, None, None, lambda line: None)
    read = {name: results.read(paths.benchmark(name)) for name in ("base", "tuned")}
    report = {name: one[:2] for name, one in read.items() if one}
    for rows_of, right in ((report["base"][1], 1.0), (report["tuned"][1], 0.0)):
        for row in rows_of:
            row["values"], row["score"] = {"acc": right}, right
    for name, (result, samples) in report.items():
        shutil.rmtree(paths.benchmark(name))
        results.write(paths.benchmark(name), result, samples, [])
    shown = tables(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS))[0]
    cells = {str(column.header): list(column.cells) for column in shown.columns}["tuned − base"]
    assert cells == ["-1.000 [-1.00, -1.00] lost"] * 2, "of boolq, and of the average"
    lines = [
        line
        for line in remarks(report, "base", compared(report, "base", SETTINGS.intervals, VERDICTS))
        if "lost superglue boolq" in line
    ]
    assert len(lines) == 2 and "Question: is the lamp number 0 broken?" in lines[0]
    sides = (("base", "key of base"), ("tuned", "key of tuned"))
    assert benchmark_verdicts(paths, *sides) == {}, "they are not planned"
    _plan(workspace, {name: {"suites": ["superglue"], "data": "data"} for name in ("base", "tuned")})
    assert benchmark_verdicts(paths, *sides) == {"superglue overall": {"verdict": "undecided", "rows_needed": 30}}
    path = workspace / "params/evaluation.yaml"
    write_yaml(path, read_yaml(path) | {"verdicts": VERDICTS.model_dump()})
    assert benchmark_verdicts(paths, *sides) == {"superglue overall": {"verdict": "lost"}}
    with pytest.raises(
        TunesmithError, match=r"tuned: the planned benchmark must be of the model as it is; it is of an"
    ):
        benchmark_verdicts(paths, sides[0], ("tuned", "another key"))


def test_only_planned_experiments_are_stages(tmp_path: Path) -> None:
    for name in ("tasks", "params"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    assert "benchmark@" not in dvc(tmp_path, "stage", "list").stdout
    preflight(Paths(tmp_path))
    _plan(tmp_path, {"lora": {"suites": ["mmlu"], "data": "data/benchmarks"}})
    assert "benchmark@lora" in dvc(tmp_path, "stage", "list").stdout
    preflight(Paths(tmp_path))
    _plan(tmp_path, {"lora2": {"suites": ["mmlu"], "data": "data/benchmarks"}, "base": {"suites": ["x"], "data": "d"}})
    with pytest.raises(TunesmithError, match=r"benchmark\.experiments\.base\.suites\.0: input should be 'glue', "):
        preflight(Paths(tmp_path))
    _plan(tmp_path, {"lora2": {"suites": ["mmlu"], "data": "data/benchmarks"}})
    with pytest.raises(TunesmithError, match=r"benchmark\.experiments\.lora2: there is no experiment 'lora2'"):
        preflight(Paths(tmp_path))
