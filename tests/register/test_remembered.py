"""What the gate stores and where its verdict is shown: registry, MLflow runs, files, also after kills."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

import tasks.registry.result
from flows.by_hand import decide_by_hand
from flows.commands.champion import champion_lines
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry.decisions import change_after, decision_on, decisions
from tasks.registry.verdict import WORDS, gate_lines, result_on_present
from tasks.tracking.client import open_store
from tests.register.killed import repeated_until_it_ends
from tests.tracking.ledger_workspace import TEST, add_comparison, add_experiment, add_report, key_of

PARAMS = RegistrationParams(min_groups=2)


def client_of(paths: Paths) -> Any:
    return open_store(paths.root).client


def refuse(paths: Paths) -> dict[str, Any]:
    """Let lora reign, then propose a candidate that is worse."""
    run(PARAMS, paths)
    add_experiment(paths, "worse", [0.3, 0.4, 0.5, 0.4])
    add_comparison(paths, "worse", "base", "worse")
    return run(PARAMS, paths)


@pytest.mark.parametrize("lost", ["nothing", "decisions", "state"])
def test_a_refusal_outlives_the_alias_and_the_state(paths: Paths, lost: str) -> None:
    assert refuse(paths)["verdict"] == "refused"
    client_of(paths).delete_registered_model_alias("tunesmith", "champion")
    if lost == "decisions":
        (paths.ledger).unlink()
    if lost == "state":
        shutil.rmtree(paths.state)
    result = run(PARAMS, paths)
    assert (result["verdict"], result["accepted"], result["champion"]) == ("refused", False, None)
    assert result["summary"].startswith("worse stays refused, as decided on these test rows at 20")
    assert result["reasons"][1].startswith("failed: ROUGE-1: worse than lora (champion, version 1): -10.0 [")
    assert "`tunesmith promote worse --why TEXT`" in result["reasons"][-1]
    decided = decision_on(paths, key_of("worse"))
    assert decided is not None and decided["verdict"] == "refused"
    tags = client_of(paths).get_registered_model("tunesmith").tags
    assert tags[f"tunesmith.decisions.{TEST[:12]}"] == "2"  # the comparison was not repeated


def test_other_rules_or_other_answers_ask_anew(paths: Paths) -> None:
    refuse(paths)
    client_of(paths).delete_registered_model_alias("tunesmith", "champion")
    assert run(PARAMS.model_copy(update={"confidence": 0.9}), paths)["accepted"]


def test_other_scores_of_the_same_model_are_judged_anew(paths: Paths) -> None:
    """As after a change of a metric or of a source's language, which generates nothing."""
    key = refuse(paths)["key"]
    add_report(paths, "worse", [0.9, 0.8, 0.9, 0.8], key)
    result = run(PARAMS, paths)
    assert (result["key"], result["verdict"], result["decisions_on_this_test_set"]) == (key, "accepted", 3)


def test_too_few_rows_are_a_state_of_their_own(paths: Paths) -> None:
    result = run(RegistrationParams(), paths)
    assert (result["verdict"], result["accepted"], result["decisions_on_this_test_set"]) == ("undecided", False, 0)
    assert result["summary"] == (
        "lora not decided: 4 independent groups of clean test rows, at least 30 are needed (registration.min_groups); "
        "there is no champion yet"
    )
    assert gate_lines(paths)[0].startswith(f"gate: {result['summary']} (20")
    assert run_tags(paths)["tunesmith.gate"] == "undecided"
    assert gate_lines(paths)[0].startswith("gate: lora not decided: 4 independent groups")
    assert run(PARAMS, paths)["accepted"]  # nothing was refused, so nothing is remembered


def run_tags(paths: Paths, name: str = "lora") -> dict[str, str]:
    tracker = open_store(paths.root)
    run_id = tracker.find(key_of(name), name)
    assert run_id is not None
    return dict(tracker.client.get_run(run_id).data.tags)


def test_mlflow_has_the_verdict_in_the_run_of_a_refused_candidate(paths: Paths) -> None:
    result = refuse(paths)
    tags = run_tags(paths, "worse")
    assert (tags["tunesmith.gate"], tags["tunesmith.gate_time"]) == ("refused", result["time"])
    assert tags["tunesmith.gate_reasons"] == "\n".join(result["reasons"])
    assert "**Gate: refused**" in tags["mlflow.note.content"]
    assert "worse than lora (champion, version 1)" in tags["mlflow.note.content"]
    assert tags["tunesmith.gate_decisions_on_this_test_set"] == "2"
    assert "- decisions on this test set: 2" in tags["mlflow.note.content"]
    tracker = open_store(paths.root)
    run_id = tracker.find(key_of("worse"), "worse")
    tracker.client.set_tag(run_id, "mlflow.note.content", f"my words\n\n{tags['mlflow.note.content']}\n\nmore of them")
    run(PARAMS, paths)
    described = run_tags(paths, "worse")["mlflow.note.content"]
    assert described.startswith("my words\n") and described.endswith("\nmore of them")
    assert described.count("**Gate") == 1


def test_the_verdict_is_of_one_comparison_and_comes_back_with_it(paths: Paths) -> None:
    assert gate_lines(paths) == ["gate: no decision on this comparison yet; `tunesmith run` makes one"]
    run(PARAMS, paths)
    judged = (paths.comparison / "comparison.json").read_bytes()
    before = gate_lines(paths)
    assert before[0].startswith("gate: lora accepted: tunesmith version 1 is now the champion (20")
    add_comparison(paths, "lora", "base", "lora", "new")
    changed = gate_lines(paths)
    assert changed[0] == "gate: no decision on this comparison yet; `tunesmith run` makes one"
    assert changed[1].endswith(": lora accepted: tunesmith version 1 is now the champion")
    (paths.comparison / "comparison.json").write_bytes(judged)  # as `dvc checkout` does
    assert gate_lines(paths) == before


def with_params(paths: Paths) -> Paths:
    write_yaml(paths.params / "registration.yaml", {"registration": {"min_groups": 2}})
    return paths


def test_the_champion_command_shows_the_champion_its_date_and_reason(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where two decisions fall into one second."""
    monkeypatch.setattr(tasks.registry.result, "now", lambda: "2026-01-02T03:04:05+00:00")
    with_params(paths)
    assert champion_lines(paths.root) == [
        "models:/tunesmith@champion: no champion yet",
        "the gate has decided nothing here yet; `tunesmith run` runs it",
    ]
    result = refuse(paths)
    shutil.rmtree(paths.state)
    lines = champion_lines(paths.root)
    assert lines[0] == "models:/tunesmith@champion: version 1, experiment lora"
    assert lines[1].startswith("  lora (lora on embedded:smollm2-135m-instruct): ROUGE-1 +30.0 [")
    assert lines[2].startswith("  since 20") and lines[2].endswith(", set by the gate")
    assert lines[3].startswith("    passed: ROUGE-1: better than base (baseline): +30.0 [")
    assert lines[6].startswith("challenger: version 2, experiment worse; ")
    assert lines[7] == f"latest decision ({result['time']}): worse refused; lora (version 1) stays the champion"
    assert lines[9].startswith("    failed: ROUGE-1: worse than lora (champion, version 1)")


def test_an_alias_set_in_mlflow_is_distinguished_from_one_set_by_the_gate(paths: Paths) -> None:
    with_params(paths)
    run(PARAMS, paths)
    add_experiment(paths, "better", [0.6, 0.7, 0.8, 0.7])
    add_comparison(paths, "better", "base", "better")
    run(PARAMS, paths)
    client_of(paths).set_registered_model_alias("tunesmith", "champion", "1")
    lines = champion_lines(paths.root)
    assert lines[0] == "models:/tunesmith@champion: version 1, experiment lora"
    assert lines[2].startswith("  the alias was set in MLflow, not by the gate; the version was made on 20")


def test_a_person_sets_a_refused_model_with_a_reason(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """All within one second."""
    monkeypatch.setattr(tasks.registry.result, "now", lambda: "2026-01-02T03:04:05+00:00")
    with_params(paths)
    refuse(paths)
    with pytest.raises(TunesmithError, match="promote: --why must give the reason"):
        decide_by_hand(paths.root, "promote", "worse", " ")
    with pytest.raises(TunesmithError, match=r"no experiment 'wrose' is built, and .*: base, lora, worse; did you"):
        decide_by_hand(paths.root, "promote", "wrose", "shorter answers")
    with pytest.raises(TunesmithError, match="base is not trained"):
        decide_by_hand(paths.root, "promote", "base", "shorter answers")
    decide_by_hand(paths.root, "promote", "worse", "shorter answers", "Ada")
    lines = champion_lines(paths.root)
    assert lines[0] == "models:/tunesmith@champion: version 2, experiment worse (promoted by hand)"
    assert lines[2].endswith(", set by Ada") and lines[3] == "    promoted by hand by Ada: shorter answers"
    assert run(PARAMS, paths)["summary"] == "worse is already the champion, version 2"
    shown = gate_lines(paths)
    assert shown[1] == "  promoted by hand by Ada: shorter answers"
    assert "worse refused" in shown[2] and any(line.startswith("  failed: ROUGE-1") for line in shown), "not hidden"
    result = result_on_present(paths)
    assert result is not None and WORDS[result["verdict"]] == "promoted by hand"
    refused, by_hand = decisions(paths)[-2:]
    assert (refused["verdict"], by_hand["verdict"]) == ("refused", "promoted"), "a repeated decision is not recorded"
    assert any(not rule["passed"] for rule in by_hand["rules"])
    assert change_after(paths, refused) == by_hand and change_after(paths, by_hand) is None
    described = client_of(paths).get_model_version("tunesmith", "2").description
    assert described.endswith("worse promoted by hand: tunesmith version 2 is now the champion")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("prepare", [lambda paths: None, refuse], ids=["accepted", "refused"])
def test_a_kill_at_any_write_counts_once_and_repeats_to_the_same(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Paths], object], before: bool
) -> None:
    """The gate is killed at its first write, run again and killed at its second, and so on until it ends."""
    if prepare is refuse:
        run(PARAMS, paths)
        add_experiment(paths, "worse", [0.3, 0.4, 0.5, 0.4])
        add_comparison(paths, "worse", "base", "worse")
    result, kills = repeated_until_it_ends(lambda: run(PARAMS, paths), before, monkeypatch)
    assert {"set_registered_model_tag", "create_model_version", "log_batch", "record"} <= kills
    client = client_of(paths)
    model = client.get_registered_model("tunesmith")
    name, count = ("worse", "2") if prepare is refuse else ("lora", "1")
    assert model.tags[f"tunesmith.decisions.{TEST[:12]}"] == count
    challenger = {"challenger": 2} if prepare is refuse else {}
    assert {name: int(number) for name, number in model.aliases.items()} == {"champion": 1} | challenger
    assert len(client.search_model_versions("name = 'tunesmith'")) == 1 + len(challenger)
    decided = decision_on(paths, key_of(name))
    assert decided is not None and decided["verdict"] == result["verdict"]
    assert len([entry for entry in decisions(paths) if entry["candidate"] == name]) == 1
    assert run_tags(paths, name)["tunesmith.gate"] == result["verdict"]
    assert read_json(paths.state / "registration.json") == result
