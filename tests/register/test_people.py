"""What people decide: approval, rejection, promotion by hand, rollback, and a challenge; and what is written of it."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest

from flows.by_hand import challenge_champion, decide_by_hand
from flows.commands.champion import champion_lines
from flows.person import person_name
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry.decisions import change_after, decisions
from tasks.registry.verdict import gate_lines, last_result
from tasks.tracking.client import open_store
from tests.tracking.ledger_workspace import add_comparison, add_experiment

MANUAL = {"min_groups": 2, "approval": "manual"}


def write_params(paths: Paths, **keys: Any) -> RegistrationParams:
    write_yaml(paths.params / "registration.yaml", {"registration": {"min_groups": 2} | keys})
    return RegistrationParams.model_validate({"min_groups": 2} | keys)


def propose(paths: Paths, params: RegistrationParams, name: str, score: float) -> dict[str, Any]:
    add_experiment(paths, name, [score, score + 0.1, score, score + 0.1])
    add_comparison(paths, name, "base", "lora", name)
    return run(params, paths)


def aliases(paths: Paths) -> dict[str, int]:
    model = open_store(paths.root).client.get_registered_model("tunesmith")
    return {name: int(number) for name, number in model.aliases.items()}


def tags(paths: Paths, version: int) -> dict[str, str]:
    return dict(open_store(paths.root).client.get_model_version("tunesmith", str(version)).tags)


def test_an_accepted_model_awaits_approval_and_a_person_approves_it(paths: Paths) -> None:
    params = write_params(paths, approval="manual")
    result = run(params, paths)
    assert (result["verdict"], result["accepted"], result["changed"]) == ("awaiting", False, False)
    assert result["summary"] == (
        "lora (version 1) passes the gate and awaits approval: `tunesmith approve 1 --why TEXT`; "
        "there is no champion yet"
    )
    assert aliases(paths) == {"awaiting-approval": 1}
    assert champion_lines(paths.root)[1] == (
        "awaiting-approval: version 1, experiment lora; `tunesmith approve 1 --why TEXT` or "
        "`tunesmith reject 1 --why TEXT`"
    )
    assert run(params, paths)["verdict"] == "awaiting"  # a scheduled run changes nothing and counts no decision
    assert len(decisions(paths)) == 1
    decide_by_hand(paths.root, "approve", "1", "read 20  outputs", "Ada")
    assert aliases(paths) == {"champion": 1}
    approved = last_result(paths)
    assert approved is not None
    assert (approved["action"], approved["by"], approved["why"]) == ("approve", "Ada", "read 20 outputs")
    assert approved["decisions_on_this_test_set"] == 1
    assert tags(paths, 1)["tunesmith.gate"] == "accepted"
    assert tags(paths, 1)["tunesmith.gate_decided"].endswith(" by Ada: read 20 outputs")
    assert "tunesmith.promoted_by_hand" not in tags(paths, 1)
    assert [(one["action"], one["verdict"], one["by"]) for one in decisions(paths)] == [
        ("gate", "awaiting", "the gate"),
        ("approve", "accepted", "Ada"),
    ]


def test_a_rejected_model_is_not_proposed_again_but_can_be_promoted(paths: Paths) -> None:
    params = write_params(paths, approval="manual")
    run(params, paths)
    decide_by_hand(paths.root, "reject", "1", "too formal", "Ada")
    assert aliases(paths) == {}
    result = run(params, paths)
    assert (result["verdict"], result["accepted"]) == ("rejected", False)
    assert result["summary"] == "lora (version 1) stays rejected; there is no champion yet"
    assert result["reasons"][0].startswith("rejected by Ada at 20") and result["reasons"][0].endswith(": too formal")
    with pytest.raises(TunesmithError, match=r"only a version that awaits approval .* none does; `tunesmith promote 1"):
        decide_by_hand(paths.root, "approve", "1", "changed my mind", "Ada")
    decide_by_hand(paths.root, "promote", "1", "changed my mind", "Bo")
    assert aliases(paths) == {"champion": 1}
    assert "tunesmith.rejected" not in tags(paths, 1)
    assert json.loads(tags(paths, 1)["tunesmith.promoted_by_hand"])["who"] == "Bo"
    assert run(params, paths)["summary"] == "lora is already the champion, version 1"


def test_an_approval_is_decided_against_the_champion_of_that_moment(paths: Paths) -> None:
    params = write_params(paths, approval="manual")
    run(params, paths)
    propose(paths, params, "better", 0.8)
    assert aliases(paths) == {"awaiting-approval": 2}  # the newest awaits
    with pytest.raises(TunesmithError, match=r"models:/tunesmith/1: only a version .* version 2 does"):
        decide_by_hand(paths.root, "approve", "1", "nice", "Ada")
    add_experiment(paths, "best", [0.9, 0.95, 0.9, 0.95])
    decide_by_hand(paths.root, "promote", "best", "urgent", "Bo")
    decide_by_hand(paths.root, "approve", "2", "nice", "Ada")
    result = last_result(paths)
    assert result is not None and result["verdict"] == "refused"
    assert result["reasons"][0] == "approved by Ada (nice), but the gate does not accept it any more"
    assert "worse than best (champion, version 3, promoted by hand)" in " ".join(result["reasons"])
    assert aliases(paths) == {"champion": 3, "challenger": 2}
    decide_by_hand(paths.root, "promote", "2", "all rows read", "Ada")
    shown = "\n".join(gate_lines(paths))
    assert "better refused" in shown and "failed: ROUGE-1: worse than best" in shown and "awaits approval" not in shown


def test_the_old_champion_becomes_the_previous_one_and_a_rollback_swaps_them(paths: Paths) -> None:
    params = write_params(paths)
    run(params, paths)
    with pytest.raises(TunesmithError, match="rollback: models:/tunesmith@previous must be the earlier champion"):
        decide_by_hand(paths.root, "rollback", None, "it repeats itself")
    propose(paths, params, "better", 0.8)
    assert aliases(paths) == {"champion": 2, "previous": 1}
    decide_by_hand(paths.root, "rollback", None, "it repeats itself", "Ada")
    assert aliases(paths) == {"champion": 1, "previous": 2}
    lines = champion_lines(paths.root)
    assert lines[0] == "models:/tunesmith@champion: version 1, experiment lora (restored by rollback)"
    assert lines[3] == "    rolled back by Ada: it repeats itself"
    assert re.match("    the gate's decision of .*: lora accepted: tunesmith version 1 is now the champion", lines[4])
    previous = next(line for line in lines if line.startswith("previous: "))
    assert previous.startswith("previous: version 2, experiment better; `tunesmith rollback --why TEXT`")
    entry = decisions(paths)[-1]
    assert (entry["action"], entry["by"], entry["why"], entry["version"]) == ("rollback", "Ada", "it repeats itself", 1)
    assert (entry["champion"]["version"], entry["previous_champion"]["version"]) == (1, 2)
    assert tags(paths, 1)["tunesmith.gate"] == "restored by rollback"
    described = open_store(paths.root).client.get_model_version("tunesmith", "2").description
    assert re.fullmatch(r"better \(lora on .*\): replaced by version 1 on 20.* \(Ada\): it repeats itself", described)
    assert (
        run(params, paths)["summary"]
        == "better (version 2) stays rejected; lora (version 1, restored by rollback) stays the champion"
    )
    decide_by_hand(paths.root, "rollback", None, "a mistake", "Bo")
    assert aliases(paths) == {"champion": 2, "previous": 1}
    challenge_champion(paths.root, "lora")  # a later result that changes nothing
    later = change_after(paths, {"key": None, "time": "2020", "verdict": None})
    assert later is not None and (later["verdict"], later["version"]) == ("restored", 2)
    assert change_after(paths, later) is None


def test_any_version_challenges_the_champion_also_without_its_files(paths: Paths) -> None:
    params = write_params(paths)
    run(params, paths)
    propose(paths, params, "better", 0.8)
    propose(paths, params, "worse", 0.3)
    assert aliases(paths) == {"champion": 2, "previous": 1, "challenger": 3}
    for folder in (paths.model("worse"), paths.report("worse"), paths.experiment("worse")):
        shutil.rmtree(folder)
    client = open_store(paths.root).client
    client.set_registered_model_alias("tunesmith", "champion", "1")
    challenge_champion(paths.root, "3")
    result = last_result(paths)
    assert result is not None and (result["action"], result["candidate"]) == ("challenge", "worse")
    assert result["verdict"] == "refused"
    challenge_champion(paths.root, "models:/tunesmith/2")
    result = last_result(paths)
    assert result is not None and (result["verdict"], result["champion"]["version"]) == ("accepted", 2)
    with pytest.raises(TunesmithError, match="models:/tunesmith/9: no such version; there are: 1, 2, 3"):
        challenge_champion(paths.root, "9")
    with pytest.raises(TunesmithError, match="a version is a number, such as 3"):
        challenge_champion(paths.root, "latest")


def test_the_ledger_is_appended_and_earlier_lines_stay(paths: Paths) -> None:
    params = write_params(paths)
    paths.state.mkdir(parents=True, exist_ok=True)
    old = '{"candidate":"first","key":"k","reasons":[],"time":"2026-01-01T00:00:00+00:00","verdict":"refused"}\n'
    (paths.state / "decisions.jsonl").write_text(old)
    run(params, paths)
    before = paths.ledger.read_bytes()
    propose(paths, params, "better", 0.8)
    assert paths.ledger.read_bytes().startswith(before)
    assert [one["candidate"] for one in decisions(paths)] == ["first", "lora", "better"]
    assert (paths.state / "decisions.jsonl").read_text() == old


def test_an_alias_that_moved_meanwhile_stops_the_promotion(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.register import judge

    params = write_params(paths)
    run(params, paths)
    propose(paths, params, "better", 0.8)
    original = judge.ensure_version

    def meanwhile(inputs: Any, *more: Any) -> Any:
        inputs.registry.client.set_registered_model_alias("tunesmith", "champion", "1")
        return original(inputs, *more)

    monkeypatch.setattr(judge, "ensure_version", meanwhile)
    with pytest.raises(TunesmithError, match="compared with version 2, but version 1 is the champion now"):
        propose(paths, params, "best", 0.9)
    assert aliases(paths)["champion"] == 1 and not list(paths.state.glob("decision-*.json"))


def test_the_persons_name_comes_from_the_environment_or_git(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_USER", "Ada Lovelace")
    assert person_name(paths.root) == "Ada Lovelace"
    monkeypatch.delenv("TUNESMITH_USER")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    for number, (key, value) in enumerate({"user.name": "Bo", "user.email": "bo@example.org"}.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    assert person_name(paths.root) == "Bo <bo@example.org>"
