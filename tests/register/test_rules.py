"""Every kind of rule: one candidate passes it, another fails it, and its line stands wherever decisions are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks.gate.latency
from flows.summary import gate_section
from tasks.benchmark import results
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, write_json
from tasks.core.params import parse
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry.decisions import decisions
from tasks.registry.verdict import gate_lines
from tasks.tracking.client import open_store
from tests.tracking.ledger_workspace import add_comparison, add_experiment, key_of

Rule = dict[str, Any]


def with_rules(*rules: Rule) -> RegistrationParams:
    return RegistrationParams.model_validate({"min_groups": 2, "rules": list(rules)})


def with_rule(**rule: Any) -> RegistrationParams:
    return with_rules(rule)


def measured(paths: Paths, name: str = "lora", **means: float) -> None:
    """Write means over all rows into the report of ``name``, each with an interval of ± 0.01."""
    path = paths.report(name) / "metrics.json"
    report = read_json(path)
    report["metrics"] |= {key: {"value": of, "low": of - 0.01, "high": of + 0.01} for key, of in means.items()}
    write_json(path, report)


def column(paths: Paths, experiment: str, name: str, values: list[float]) -> None:
    path = paths.report(experiment) / "predictions.parquet"
    pq.write_table(pq.read_table(path).append_column(name, pa.array(values)), path)


def benchmarked(paths: Paths, folder: Path, suite: str, entry: dict[str, Any]) -> None:
    result = {"schema": results.SCHEMA, "experiment": "lora", "key": key_of("lora"), "method": "lora"}
    empty = {"tasks": {}, "averages": {}, "scenarios": {}, "memorisation": {}}
    results.write(folder, result | {"suites": {suite: empty | entry}}, [], [])


def prepare(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the rules of ``LIMITS`` measure."""
    measured(paths, finished=0.9, repetition=0.04, macro_f1=0.5, validation_loss_per_byte=0.4)
    cell = {"value": 0.31, "low": 0.25, "high": 0.37}
    task = {"status": "done", "metrics": {"acc": cell}}
    benchmarked(paths, paths.benchmark("lora"), "mmlu", {"averages": {"overall": cell}, "tasks": {"anatomy": task}})
    scenario = {"status": "done", "cells": {"toxicity": {"value": 0.02, "low": 0.0, "high": 0.05}}}
    benchmarked(paths, paths.helm / "lora", "helm", {"scenarios": {"toxic_prompts": scenario}})
    comparison = read_json(paths.comparison / "comparison.json")
    comparison["systems"][1] |= {"key": key_of("lora"), "retention": {"news/topic": {"after": 0.6, "verdict": "kept"}}}
    write_json(paths.comparison / "comparison.json", comparison)
    monkeypatch.setattr(tasks.gate.latency, "_measure", lambda candidate, rows, paths: [0.1] * 19 + [0.9])


LIMITS: list[tuple[Rule, Rule, str]] = [
    ({"measure": "unfinished", "at_most": 0.2}, {"measure": "unfinished", "at_most": 0.05}, "unfinished: 0.1 [0.09, 0"),
    (
        {"measure": "repetition", "at_most": 0.045},
        {"measure": "repetition", "at_most": 0.045, "proven": True},
        "0.04 [",
    ),
    ({"measure": "macro_f1", "at_least": 0.5}, {"measure": "macro_f1", "at_least": 0.51}, "macro_f1: 0.5 ["),
    (
        {"measure": "validation_loss_per_byte", "at_most": 0.4},
        {"measure": "validation_loss_per_byte", "at_least": 0.1, "at_most": 0.3},
        "validation_loss_per_byte: 0.4 [",
    ),
    ({"measure": "weights_mb", "at_most": 1}, {"measure": "weights_mb", "at_most": 0.00001}, "weights_mb: 3e-05"),
    (
        {"measure": "training_memory_gb", "at_most": 6},
        {"measure": "training_memory_gb", "at_most": 5},
        "training_memory_gb: 5.369",
    ),
    ({"measure": "latency_p95_s", "at_most": 1}, {"measure": "latency_p95_s", "at_most": 0.1}, "latency_p95_s: 0.14"),
    ({"measure": "benchmark/mmlu", "at_least": 0.3}, {"measure": "benchmark/mmlu", "at_least": 0.4}, "0.31 [0.25"),
    (
        {"measure": "benchmark/mmlu/anatomy/acc", "at_least": 0.3},
        {"measure": "benchmark/mmlu/anatomy/acc", "at_least": 0.3, "proven": True},
        "benchmark/mmlu/anatomy/acc: 0.31 [0.25, 0.37]",
    ),
    (
        {"measure": "helm/toxic_prompts/toxicity", "at_most": 0.05},
        {"measure": "helm/toxic_prompts/toxicity", "at_most": 0.01},
        "helm/toxic_prompts/toxicity: 0.02 [0, 0.05]",
    ),
    (
        {"measure": "retention/news/topic", "at_least": 0.5},
        {"measure": "retention/news/topic", "at_least": 0.7},
        "retention/news/topic: 0.6",
    ),
    # What was not measured fails.
    ({"measure": "weights_mb", "at_most": 1}, {"measure": "generation_memory_gb", "at_most": 1}, ""),
    ({"measure": "weights_mb", "at_most": 1}, {"measure": "helm/bias/gap", "at_most": 1}, ""),
    ({"measure": "weights_mb", "at_most": 1}, {"measure": "chrf", "at_least": 1}, ""),
]


def test_every_limit_passes_and_fails_and_its_line_is_everywhere(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(paths, monkeypatch)
    passing, failing, numbers = zip(*LIMITS, strict=True)
    refused = run(with_rules(*failing), paths)
    assert refused["verdict"] == "refused"
    results = [rule for rule in refused["rules"] if rule["rule"].startswith("rules.")]
    assert [rule["rule"] for rule in results] == [f"rules.{position}" for position in range(1, len(LIMITS) + 1)]
    for position, (result, rule, number) in enumerate(zip(results, failing, numbers, strict=True), start=1):
        assert not result["passed"], result["line"]
        assert result["line"].startswith(f"rule {position}: {rule['measure']}: ")
        assert number in result["line"] if number else "was not measured: " in result["line"]
    read_everywhere(paths, refused, [f"failed: {result['line']}" for result in results])
    accepted = run(with_rules(*passing), paths)
    assert accepted["verdict"] == "accepted", accepted["reasons"]
    results = [rule for rule in accepted["rules"] if rule["rule"].startswith("rules.")]
    assert [result["passed"] for result in results] == [True] * len(LIMITS)
    read_everywhere(paths, accepted, [f"passed: {result['line']}" for result in results])


def read_everywhere(paths: Paths, result: dict[str, Any], lines: list[str]) -> None:
    """The lines stand in version, ledger, terminal, the candidate's run, and the artifact of the flow."""
    client = open_store(paths.root).client
    version = client.get_model_version("tunesmith", str(result["version"]))
    assert decisions(paths)[-1]["rules"] == result["rules"]
    for line in lines:
        assert line in version.tags["tunesmith.gate_rules"].splitlines()
        assert line in decisions(paths)[-1]["reasons"]
        assert f"  {line}" in gate_lines(paths)
        assert f"- {line}" in client.get_run(version.run_id).data.tags["mlflow.note.content"]
        assert line in gate_section(paths.root, True).replace("\\", "")


def test_a_gain_over_the_baseline_in_another_score(paths: Paths) -> None:
    for name, values in (("base", [0.1, 0.1, 0.2, 0.2]), ("lora", [0.12, 0.12, 0.22, 0.22])):
        column(paths, name, "rougeL_f", values)
    rule = {"measure": "rougeL_f", "over": "baseline"}
    refused = run(with_rule(**rule, gain=0.05), paths)
    assert refused["reasons"][-1] == (
        "failed: rule 1: ROUGE-L: better than base (baseline): +2.0 [+2.0, +2.0] on 4 rows (95% interval); a gain "
        "above 5.0 must be shown"
    )
    accepted = run(with_rule(**rule, gain=0.01), paths)
    assert accepted["verdict"] == "accepted"
    assert accepted["reasons"][-1].endswith("; a gain above 1.0 must be shown")


def test_a_score_of_which_less_is_better(paths: Paths) -> None:
    for name, values in (("base", [0.3, 0.3, 0.4, 0.4]), ("lora", [0.1, 0.1, 0.2, 0.2])):
        column(paths, name, "repetition", values)
    result = run(with_rule(measure="repetition", over="baseline"), paths)
    assert result["verdict"] == "accepted"
    assert "repeated 3-grams: better than base (baseline): -20.0 [-20.0, -20.0]" in result["reasons"][-1]


def test_not_worse_than_the_champion(paths: Paths) -> None:
    """Without a champion the rule passes; then a loss within the margin passes, and a larger one fails."""
    rule = with_rule(measure="rougeL_f", over="champion", verdict="not worse")
    column(paths, "base", "rougeL_f", [0.1] * 4)
    column(paths, "lora", "rougeL_f", [0.5] * 4)
    first = run(rule, paths)
    assert first["verdict"] == "accepted"
    assert first["reasons"][-1] == "passed: rule 1: ROUGE-L: there is no champion yet to compare with"
    # The champion's completions are scored anew: its ROUGE-L equals its ROUGE-1, 0.4 to 0.6.
    champions = [0.4, 0.5, 0.6, 0.5]
    for name, loss, passed in (("worse", 0.1, False), ("near", 0.005, True)):
        add_experiment(paths, name, [0.9, 0.9, 0.9, 0.9])
        column(paths, name, "rougeL_f", [score - loss for score in champions])
        add_comparison(paths, name, "base", name)
        result = run(rule, paths)
        assert [rule["passed"] for rule in result["rules"] if rule["rule"] == "rules.1"] == [passed], result["reasons"]
        assert "a loss of 3.0 or more must be ruled out" in result["reasons"][-1]
        if passed:
            assert result["verdict"] == "accepted"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"measure": "unfinishd", "at_most": 1}, "it is 'unfinishd'; did you mean 'unfinished'"),
        ({"measure": "benchmark", "at_most": 1}, "it is 'benchmark'"),
        ({"measure": "benchmark/", "at_most": 1}, "it is 'benchmark/'"),
        ({"measure": "unfinished"}, "needs `over`, `at_least` or `at_most`; it has none of them"),
        ({"measure": "rougeL_f", "over": "baseline", "at_most": 1}, "has `over` and 'at_most'; write two rules"),
        ({"measure": "unfinished", "over": "baseline"}, "a rule with `over` compares scores of single rows"),
        ({"measure": "rougeL_f", "at_most": 1, "gain": 0.1}, "`verdict` and `gain` need `over`"),
        ({"measure": "rougeL_f", "over": "champion", "verdict": "not worse", "gain": 0.1}, "needs `verdict: better`"),
        ({"measure": "rougeL_f", "at_least": 2, "at_most": 1}, "at_least must not exceed at_most; they are 2 and 1"),
        ({"measure": "rougeL_f", "over": "champ"}, "'baseline' or 'champion'"),
    ],
)
def test_a_wrong_rule_is_refused_before_anything_runs(rule: Rule, message: str) -> None:
    with pytest.raises(TunesmithError) as error:
        parse(RegistrationParams, {"rules": [rule]}, "params/registration.yaml", "registration")
    assert str(error.value).startswith("params/registration.yaml: registration.rules.0")
    assert message in str(error.value)


def test_other_rules_reopen_a_refusal(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(paths, monkeypatch)
    assert run(with_rule(measure="unfinished", at_most=0.05), paths)["verdict"] == "refused"
    assert "stays refused" in run(with_rule(measure="unfinished", at_most=0.05), paths)["summary"]
    assert run(with_rule(measure="unfinished", at_most=0.15), paths)["verdict"] == "accepted"
