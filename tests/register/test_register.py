from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.models import Model

import tasks.evaluate.evaluate_model
import tasks.gate.lost_tasks
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, write_json
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.evaluate.params import ScoreParams
from tasks.evaluate.predict_params import PredictParams
from tasks.gate.params import RegistrationParams
from tasks.inference.params import GenerationParams
from tasks.register.run import run
from tasks.registry.decisions import decision_on, decisions
from tasks.registry.verdict import gate_lines
from tasks.tracking.client import open_store
from tests.tracking.ledger_workspace import (
    ROWS,
    TEST,
    add_baselines,
    add_comparison,
    add_evaluation_set,
    add_experiment,
    digest_of,
    key_of,
    write_report,
)

PARAMS = RegistrationParams(min_groups=2)
NEW: dict[str, Any] = {"test": digest_of(["new0", "new1"]), "rows": ["new0", "new1"]}
"""Other test rows than the champion was evaluated on."""


def versions(paths: Paths) -> list[Any]:
    return list(open_store(paths.root).client.search_model_versions("name = 'tunesmith'"))


def propose(paths: Paths, name: str, scores: list[float], **facts: Any) -> dict[str, Any]:
    add_experiment(paths, name, scores, **facts)
    add_comparison(paths, name, "base", name)
    add_baselines(paths, len(scores), facts.get("test", TEST), facts.get("rows"))
    return run(PARAMS, paths)


def test_the_first_candidate_that_beats_the_base_reigns(paths: Paths) -> None:
    result = run(PARAMS, paths)
    assert (result["accepted"], result["changed"], result["decisions_on_this_test_set"]) == (True, True, 1)
    assert (result["champion"]["version"], result["champion"]["experiment"]) == (1, "lora")
    assert result["summary"] == "lora accepted: tunesmith version 1 is now the champion"
    assert read_json(paths.state / "registration.json") == result
    (version,) = versions(paths)
    assert version.run_id == result["champion"]["run_id"]
    assert version.tags["tunesmith.key"] == key_of("lora")
    assert version.tags["tunesmith.test_sha256"] == TEST
    assert version.tags["tunesmith.rouge1_f.over_baseline"].startswith("+30.0 [")
    assert version.description.startswith("lora (lora on embedded:smollm2-135m-instruct): ROUGE-1 +30.0 [")


def test_the_same_key_is_registered_once(paths: Paths) -> None:
    run(PARAMS, paths)
    result = run(PARAMS, paths)
    assert result["summary"] == "lora is already the champion, version 1"
    assert (result["accepted"], result["changed"]) == (True, False)
    assert len(versions(paths)) == 1


def test_a_refusal_leaves_the_alias_and_the_candidate_is_the_challenger(paths: Paths) -> None:
    run(PARAMS, paths)
    result = propose(paths, "worse", [0.3, 0.4, 0.5, 0.4])
    assert (result["accepted"], result["champion"]["experiment"]) == (False, "lora")
    assert result["summary"] == "worse refused; lora (version 1) stays the champion"
    assert len(result["reasons"]) == 4
    aliases = open_store(paths.root).client.get_registered_model("tunesmith").aliases
    assert {name: int(number) for name, number in aliases.items()} == {"champion": 1, "challenger": 2}
    assert result["version"] == 2 and len(versions(paths)) == 2
    decided = decision_on(paths, key_of("worse"))
    assert decided is not None
    assert {name: decided[name] for name in ("verdict", "accepted", "test_sha256", "reasons")} == {
        "verdict": "refused",
        "accepted": False,
        "test_sha256": TEST,
        "reasons": result["reasons"],
    }
    assert [entry["candidate"] for entry in decisions(paths)] == ["lora", "worse"]


def test_a_better_candidate_takes_the_alias_and_a_former_version_is_used_again(paths: Paths) -> None:
    run(PARAMS, paths)
    result = propose(paths, "better", [0.6, 0.7, 0.8, 0.7])
    assert (result["accepted"], result["champion"]["version"]) == (True, 2)
    assert result["previous_champion"]["version"] == 1
    # On other test rows the former champion is the better one.
    add_evaluation_set(paths, NEW["rows"])
    add_experiment(paths, "base", [0.1, 0.1], method="none", **NEW)
    add_experiment(paths, "better", [0.2, 0.2], key=key_of("better"), **NEW)
    result = propose(paths, "lora", [0.9, 0.9], **NEW)
    assert (result["accepted"], result["champion"]["version"]) == (True, 1)
    assert len(versions(paths)) == 2


def test_other_weights_under_a_registered_key_are_refused(paths: Paths) -> None:
    run(PARAMS, paths)
    propose(paths, "better", [0.6, 0.7, 0.8, 0.7])
    registered = next(version for version in versions(paths) if version.tags["tunesmith.experiment"] == "lora")
    client = open_store(paths.root).client
    client.set_model_version_tag("tunesmith", registered.version, "tunesmith.weights_sha256", "e" * 64)
    with pytest.raises(TunesmithError, match=r"models:/tunesmith/1: a key has one version"):
        propose(paths, "lora", [0.9, 0.9, 0.9, 0.9])


def test_different_comparisons_on_a_test_set_are_counted(paths: Paths) -> None:
    assert run(PARAMS, paths)["decisions_on_this_test_set"] == 1
    assert propose(paths, "worse", [0.3, 0.4, 0.5, 0.4])["decisions_on_this_test_set"] == 2
    assert run(PARAMS, paths)["decisions_on_this_test_set"] == 2  # no new comparison
    assert propose(paths, "worse 2", [0.3, 0.4, 0.5, 0.4])["decisions_on_this_test_set"] == 3
    tags = open_store(paths.root).client.get_registered_model("tunesmith").tags
    assert tags[f"tunesmith.decisions.{TEST[:12]}"] == "3"


def test_no_candidate_is_a_result(paths: Paths) -> None:
    add_comparison(paths, None, "base")
    result = run(PARAMS, paths)
    assert (result["accepted"], result["candidate"], result["champion"]) == (False, None, None)
    assert result["summary"] == "no candidate; there is no champion yet"
    assert gate_lines(paths)[0].startswith("gate: no candidate; there is no champion yet (")


def test_the_base_itself_never_reigns(paths: Paths) -> None:
    add_comparison(paths, "base", "base")
    assert not run(PARAMS, paths)["accepted"]
    assert versions(paths) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p.comparison / "comparison.json").unlink(), r"comparison\.json: no such file"),
        (lambda p: write_report(p.report("lora"), [0.5], "a" * 64), "its key is that of another model"),
        (lambda p: write_report(p.report("base"), [0.5], key_of("base"), "b" * 64), "evaluated on the same test rows"),
        (lambda p: write_report(p.report("base"), [0.5], key_of("base")), "3 rows are only in the candidate's"),
        (
            lambda p: write_report(p.report("base"), [0.5, 0.5], key_of("base"), rows=["a", "a"]),
            "must occur once",
        ),
        (
            lambda p: write_report(p.report("lora"), [0.5, float("nan")], key_of("lora")),
            "1 have none, the first is row1",
        ),
    ],
)
def test_what_cannot_be_compared_is_an_error(paths: Paths, spoil: Any, message: str) -> None:
    spoil(paths)
    with pytest.raises(TunesmithError, match=message):
        run(PARAMS, paths)


def test_a_metric_that_the_rows_lack_names_those_that_they_have(paths: Paths) -> None:
    with pytest.raises(TunesmithError, match=r"it is 'chrf'; there are: rouge1_f$"):
        run(RegistrationParams(metric="chrf", min_groups=2), paths)


class Evaluator:
    """Stands for ``evaluate_model``, which needs a real model; its arguments are checked without one."""

    def __init__(self, scores: list[float], test: str, rows: list[str]) -> None:
        self.scores, self.test, self.rows, self.calls = scores, test, rows, 0

    def __call__(
        self,
        model: Path,
        paths: Paths,
        predict_params: PredictParams,
        score_params: ScoreParams,
        output: Path,
    ) -> None:
        self.calls += 1
        assert paths.evaluation_set.exists()
        assert (model / "adapter_model.safetensors").read_text() == key_of("lora")
        assert predict_params == PredictParams(generation=GenerationParams(max_new_tokens=80))
        assert score_params == ScoreParams()
        write_report(output, self.scores, key_of("lora"), self.test, self.rows)


def test_the_champion_is_evaluated_once_on_new_test_rows(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    run(PARAMS, paths)
    evaluate = Evaluator([0.9, 0.9], **NEW)
    monkeypatch.setattr(tasks.evaluate.evaluate_model, "evaluate_model", evaluate)
    add_evaluation_set(paths, NEW["rows"])
    add_experiment(paths, "base", [0.1, 0.1], method="none", **NEW)
    result = propose(paths, "new", [0.5, 0.5], **NEW)
    assert not result["accepted"]
    assert result["differences"]["champion"]["value"] == pytest.approx(-0.4)
    assert result["decisions_on_this_test_set"] == 1
    propose(paths, "newer", [0.95, 0.95], **NEW)
    assert evaluate.calls == 1


def test_an_evaluation_of_other_rows_is_refused_and_not_kept(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    run(PARAMS, paths)
    monkeypatch.setattr(tasks.evaluate.evaluate_model, "evaluate_model", Evaluator([0.9, 0.9], "d" * 64, ["a", "b"]))
    add_evaluation_set(paths, NEW["rows"])
    add_experiment(paths, "base", [0.1, 0.1], method="none", **NEW)
    with pytest.raises(TunesmithError, match="a registered version and new must be evaluated on the same rows"):
        propose(paths, "new", [0.5, 0.5], **NEW)
    assert not any((paths.state / "versions").iterdir())


def test_test_rows_that_changed_since_the_candidate_was_evaluated_are_refused(paths: Paths) -> None:
    run(PARAMS, paths)
    add_evaluation_set(paths, ROWS[:3])
    with pytest.raises(TunesmithError, match="a registered version and new must be evaluated on the same rows"):
        propose(paths, "new", [0.6, 0.7, 0.8, 0.7])


def test_the_registered_model_is_whole_and_names_no_machine(paths: Paths) -> None:
    champion = run(PARAMS, paths)["champion"]
    folder = paths.root / "mlartifacts" / champion["run_id"] / "artifacts/model"
    assert [c.name for c in Model.load(str(folder)).signature.inputs.inputs] == [
        "prompt",
        "template",
        "messages",
        "tools",
    ]
    stored = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {"MLmodel", "serving_model.py", "requirements.txt", "code/tasks/evaluate/evaluated_model.py"} <= stored
    assert not [path for path in stored if path.endswith((".pkl", ".pyc"))]
    for name in ("MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml", "serving_model.py"):
        assert not {str(paths.root), str(Path(tasks.__file__).parent)} & set((folder / name).read_text().split())
        assert "/work" not in (folder / name).read_text()


def test_a_candidate_that_lost_a_task_is_refused_where_all_must_be_kept(paths: Paths) -> None:
    strict, strictest = (PARAMS.model_copy(update={"retention": rule}) for rule in ("kept", "proven"))
    write_yaml(paths.params / "evaluation.yaml", {"benchmark": {}, "verdicts": {}})
    path = paths.comparison / "comparison.json"
    comparison = read_json(path)
    with pytest.raises(TunesmithError, match="needs tasks to be kept; the comparison has judged none"):
        run(strict, paths)
    cases = [
        (strictest, {"verdict": "undecided", "rows_needed": 122}, False),
        (strict, {"verdict": "lost"}, False),
        (strict, {"verdict": "not judged"}, False),
        (strict, {"verdict": "undecided", "rows_needed": 122}, True),
    ]
    for rules, judged, accepted in cases:
        for system in comparison["systems"]:
            system["retention"] = {"wnut/entities": judged}
        write_json(path, comparison)
        result = run(rules, paths)
        assert result["accepted"] is accepted
        assert f"retention: wnut/entities: {judged['verdict']}" in " ".join(result["reasons"])
    assert (
        "retention: wnut/entities: undecided (~122 rows needed); registration.retention: kept" in result["reasons"][-1]
    )


def test_a_candidate_that_lost_a_planned_suite_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = PARAMS.model_copy(update={"retention": "kept"})
    arguments = []

    def verdicts(paths: Paths, base: tuple[str, str], tuned: tuple[str, str]) -> dict[str, dict[str, str]]:
        arguments.append((base, tuned))
        return {"superglue overall": {"verdict": "lost"}}

    monkeypatch.setattr(tasks.gate.lost_tasks, "benchmark_verdicts", verdicts)
    result = run(strict, paths)
    assert not result["accepted"]
    assert result["reasons"][-1].startswith(
        "failed: retention: superglue overall: lost; registration.retention demands"
    )
    assert arguments == [(("base", key_of("base")), ("lora", key_of("lora")))]


def add_examples(report: Path) -> None:
    """As if three solved rows had stood in each prompt."""
    path = report / "metrics.json"
    write_json(path, read_json(path) | {"model": {"shots": {"count": 3}}})


def test_a_champion_with_other_prompts_is_evaluated_again(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores without examples in the prompt are no fair opponent of scores with them."""
    run(PARAMS, paths)
    calls: list[Path] = []

    def evaluate(model: Path, paths: Paths, predict: PredictParams, score: ScoreParams, output: Path) -> None:
        calls.append(output)
        write_report(output, [0.4, 0.5, 0.6, 0.5], key_of("lora"))
        add_examples(output)

    monkeypatch.setattr(tasks.evaluate.evaluate_model, "evaluate_model", evaluate)
    add_experiment(paths, "shots", [0.9, 0.9, 0.9, 0.9])
    add_examples(paths.report("shots"))
    add_comparison(paths, "shots", "base", "shots")
    assert run(PARAMS, paths)["accepted"]
    assert len(calls) == 1


def test_a_champion_is_scored_by_the_metric_of_today(paths: Paths) -> None:
    """An earlier version of the metric had given its completions the full score."""
    set_column(paths.report("lora"), "rouge1_f", 1.0)
    run(PARAMS, paths)
    result = propose(paths, "new", [0.6, 0.7, 0.8, 0.7])
    assert result["differences"]["champion"]["value"] == pytest.approx(0.2)


def test_rows_that_the_champion_was_trained_on_do_not_vote_against_it(paths: Paths) -> None:
    path = paths.report("lora") / "predictions.parquet"
    pq.write_table(pq.read_table(path).append_column("dirty", pa.array([False, False, True, False])), path)
    assert run(PARAMS, paths)["accepted"]
    result = propose(paths, "new", [0.6, 0.7, 0.5, 0.7])
    assert result["accepted"]
    champion = result["differences"]["champion"]
    assert (champion["rows"], champion["dirty_rows"]) == (3, 1)
    assert (champion["value"], champion["dirty_value"]) == (pytest.approx(0.2), pytest.approx(-0.1))
    assert result["reasons"][1].endswith("; 1 dirty row left out, on which the difference is -10.0")


def test_a_champion_has_a_score_that_its_template_named_later(paths: Paths) -> None:
    """Its run has no accuracy. One of its four completions is the reference."""
    add_experiment(paths, "lora", [1.0, 0.5, 0.6, 0.5])
    run(PARAMS, paths)
    add_evaluation_set(paths, ROWS, "rouge", "accuracy")
    add_experiment(paths, "new", [0.9, 0.9, 0.9, 0.9])
    set_column(paths.report("new"), "accuracy", 0.75)
    for report in (paths.report("base"), paths.baseline("lead"), paths.baseline("nearest")):
        set_column(report, "accuracy", 0.2)
    add_comparison(paths, "new", "base", "new")
    result = run(PARAMS.model_copy(update={"metric": "accuracy"}), paths)
    assert result["differences"]["champion"]["value"] == pytest.approx(0.5)


def set_column(report: Path, name: str, value: float) -> None:
    """Give every row of a report the score ``value``."""
    path = report / "predictions.parquet"
    table = pq.read_table(path)
    kept = table.drop_columns([name]) if name in table.column_names else table
    pq.write_table(kept.append_column(name, pa.array([value] * table.num_rows)), path)
