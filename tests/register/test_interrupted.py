"""A decision that a kill or a fault interrupts is carried out once, whatever command comes next."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows import by_hand, retrain
from flows.by_hand import decide_by_hand
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.registry.decisions import decisions
from tasks.registry.opened import complete_interrupted
from tasks.registry.verdict import WORDS, last_result
from tasks.tracking.client import open_store
from tasks.tracking.tag_names import BY_HAND, GATE, REJECTED
from tests.register.killed import Killed, repeated_until_it_ends
from tests.tracking.ledger_workspace import add_comparison, add_experiment


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Summaries of the decisions whose events were emitted."""
    emitted: list[str] = []
    monkeypatch.setattr(by_hand, "emit_decision", lambda result: emitted.append(result["summary"]))
    return emitted


def prepared(paths: Paths, approval: str) -> RegistrationParams:
    """lora is the champion; better is the next candidate, which is the champion or awaits approval."""
    params = RegistrationParams.model_validate({"min_groups": 2, "approval": approval})
    run(params.model_copy(update={"approval": "automatic"}), paths)
    write_yaml(paths.params / "registration.yaml", {"registration": {"min_groups": 2, "approval": approval}})
    add_experiment(paths, "better", [0.8, 0.9, 0.8, 0.9])
    add_comparison(paths, "better", "base", "lora", "better")
    run(params, paths)
    return params


def aliases(paths: Paths) -> dict[str, int]:
    model = open_store(paths.root).client.get_registered_model("tunesmith")
    return {name: int(number) for name, number in model.aliases.items()}


def journals(paths: Paths) -> list[Path]:
    return list(paths.state.glob("decision-*.json"))


def tags(paths: Paths, version: int) -> dict[str, str]:
    return dict(open_store(paths.root).client.get_model_version("tunesmith", str(version)).tags)


def last_facts(paths: Paths) -> tuple[Any, ...]:
    last = decisions(paths)[-1]
    return tuple(last[name] for name in ("action", "verdict", "version", "by", "why"))


CASES = [
    ("approve", "2", "manual", "accepted", 2, {"champion": 2, "previous": 1}),
    ("reject", "2", "manual", "rejected", 2, {"champion": 1}),
    ("promote", "1", "automatic", "promoted", 1, {"champion": 1, "previous": 2}),
    ("rollback", None, "automatic", "restored", 1, {"champion": 1, "previous": 2}),
]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("action", "target", "approval", "verdict", "version", "left"), CASES)
def test_a_command_that_is_killed_at_every_write_decides_once(
    action: str,
    target: str | None,
    approval: str,
    verdict: str,
    version: int,
    left: dict[str, int],
    before: bool,
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kill is followed by the same command, as a person would repeat it."""
    params = prepared(paths, approval)
    known = len(decisions(paths))
    command = partial(decide_by_hand, paths.root, action, target, "all rows read", "Ada")
    _, kills = repeated_until_it_ends(command, before, monkeypatch)
    assert {"set_registered_model_tag", "set_model_version_tag", "log_batch", "record", "show", "begin", "end"} <= kills
    assert aliases(paths) == left and journals(paths) == []
    assert len(decisions(paths)) == known + 1
    assert last_facts(paths) == (action, verdict, version, "Ada", "all rows read")
    assert last_result(paths)["rules"] == decisions(paths)[-1]["rules"]
    assert tags(paths, version)[GATE] == WORDS[verdict]
    assert (REJECTED in tags(paths, 2)) == (version == 1 or verdict == "rejected")
    run(params, paths)
    assert aliases(paths) == left, "the next run of the gate undoes nothing"


def killed_at(step: str, paths: Paths, monkeypatch: pytest.MonkeyPatch, *command: str | None) -> None:
    """Carry out ``command`` (action and target) for Ada; SIGKILL arrives in place of ``step``."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(step, _killed)
        decide_by_hand(paths.root, str(command[0]), command[1], "all rows read", "Ada")


@pytest.mark.parametrize(
    ("other", "target", "left"),
    [
        ("rollback", None, {"champion": 1, "previous": 2}),
        ("reject", "2", {"champion": 2, "previous": 1}),
        ("gate", None, {"champion": 2, "previous": 1}),
    ],
)
def test_another_command_completes_a_killed_approval_first(
    other: str,
    target: str | None,
    left: dict[str, int],
    paths: Paths,
    events: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared(paths, "manual")
    known = len(decisions(paths))
    killed_at("tasks.registry.carry_out.note_decision", paths, monkeypatch, "approve", "2")
    assert events == [] and len(decisions(paths)) == known
    if other == "gate":
        by_hand.complete_interrupted(paths.root)
        retrain._run_gate(paths)
        result = last_result(paths)
        assert result is not None and result["summary"] == "better is already the champion, version 2"
    elif other == "reject":
        with pytest.raises(TunesmithError, match=r"only a version that awaits approval .* none does"):
            decide_by_hand(paths.root, "reject", target, "too formal", "Bo")
    else:
        decide_by_hand(paths.root, other, target, "it repeats itself", "Bo")
    assert aliases(paths) == left
    approval = decisions(paths)[known]
    assert (approval["action"], approval["by"], approval["verdict"]) == ("approve", "Ada", "accepted")
    assert approval["rules"] and approval["previous_champion"]["version"] == 1
    assert events[0] == "better accepted: tunesmith version 2 is now the champion"


@pytest.fixture
def other(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Another clone, whose commands use the same registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", open_store(paths.root).uri)
    clone = Paths(tmp_path / "other")
    clone.params.mkdir(parents=True)
    write_yaml(clone.params / "registration.yaml", {"registration": {"min_groups": 2, "approval": "manual"}})
    return clone


STEPS = [f"tasks.registry.carry_out.{name}" for name in ("_move", "note_decision")]


@pytest.mark.parametrize("step", [*STEPS, "tasks.registry.keep.record"])
def test_a_rollback_in_another_clone_comes_after_the_killed_approval(
    step: str,
    paths: Paths,
    other: Paths,
    events: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    params = prepared(paths, "manual")
    killed_at(step, paths, monkeypatch, "approve", "2")
    with pytest.raises(TunesmithError, match=r"only a version that awaits approval .* none does"):
        decide_by_hand(other.root, "reject", "2", "too formal", "Bo")
    assert aliases(paths) == {"champion": 2, "previous": 1}, "the other clone has finished the approval"
    assert tags(paths, 2)["tunesmith.gate_rules"].startswith("passed: ROUGE-1")
    decide_by_hand(other.root, "rollback", None, "it repeats itself", "Bo")
    events.clear()  # those of the other clone
    assert by_hand.complete_interrupted(paths.root) is None and events == [], "version 2 is no champion any more"
    assert last_facts(paths) == ("approve", "accepted", 2, "Ada", "all rows read")
    assert "another workspace has decided since: lora (version 1, restored by rollback) stays" in caplog.text
    assert aliases(paths) == {"champion": 1, "previous": 2} and "Bo" in tags(paths, 2)[REJECTED]
    assert run(params, paths)["verdict"] == "rejected"


def test_an_approval_that_is_killed_before_its_first_step_did_not_happen(
    paths: Paths, other: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    params = prepared(paths, "manual")
    known = decisions(paths)
    killed_at("tasks.registry.registry.Registry.begin", paths, monkeypatch, "approve", "2")
    decide_by_hand(other.root, "reject", "2", "too formal", "Bo")
    assert complete_interrupted(params, paths) is None and decisions(paths) == known
    assert "is not recorded, since it was not carried out" in caplog.text
    assert aliases(paths) == {"champion": 1} and journals(paths) == []


def test_an_alias_that_a_person_sets_back_in_mlflow_stays(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    params = prepared(paths, "manual")
    killed_at("tasks.registry.carry_out.by_hand", paths, monkeypatch, "approve", "2")
    assert aliases(paths)["champion"] == 2
    open_store(paths.root).client.set_registered_model_alias("tunesmith", "champion", "1")
    assert complete_interrupted(params, paths) is None and aliases(paths)["champion"] == 1


@pytest.mark.parametrize("person_sets", [3, None])
def test_a_champion_that_a_person_sets_in_mlflow_meanwhile_stays(
    person_sets: int | None, paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    params = prepared(paths, "manual")
    add_experiment(paths, "third", [0.7, 0.8, 0.7, 0.8])
    decide_by_hand(paths.root, "promote", "third", "another base", "Bo")
    decide_by_hand(paths.root, "promote", "1", "the older one", "Bo")
    known = decisions(paths)
    killed_at("tasks.registry.carry_out._steps", paths, monkeypatch, "promote", "2")
    client = open_store(paths.root).client
    if person_sets:
        client.set_registered_model_alias("tunesmith", "champion", str(person_sets))
    else:
        client.delete_registered_model_alias("tunesmith", "champion")
    assert complete_interrupted(params, paths) is None
    assert "an interrupted decision is given up, since the champion changed: better promoted by hand" in caplog.text
    assert aliases(paths).get("champion") == person_sets and decisions(paths) == known
    assert BY_HAND not in tags(paths, 2) and REJECTED not in tags(paths, 1)


@pytest.mark.parametrize("deleted", ["version", "former", "run", "purged run", "comparison"])
def test_what_is_deleted_meanwhile_blocks_no_later_decision(
    deleted: str, paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(paths, "manual")
    killed_at("tasks.registry.carry_out._steps", paths, monkeypatch, "approve", "2")
    client = open_store(paths.root).client
    if deleted in ("version", "former"):
        client.delete_model_version("tunesmith", "2" if deleted == "version" else "1")
    elif "run" in deleted:
        run_id = client.get_model_version("tunesmith", "2").run_id
        client.delete_run(run_id)
        if deleted == "purged run":
            client._tracking_client.store._hard_delete_run(run_id)  # as `mlflow gc` does
    else:
        (paths.comparison / "comparison.json").unlink()
    by_hand.complete_interrupted(paths.root)
    assert journals(paths) == []
    left = {"version": 1, "former": None}  # MLflow removes a version's aliases with it
    assert aliases(paths).get("champion") == left.get(deleted, 2)
    assert ("is deleted" in caplog.text) == (deleted == "version" or "run" in deleted)
    assert (decisions(paths)[-1]["action"] == "approve") == (deleted not in left)


def test_a_journal_that_is_cut_off_is_named_and_blocks_nothing(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    params = prepared(paths, "automatic")
    killed_at("tasks.registry.carry_out._steps", paths, monkeypatch, "promote", "1")
    (cut,) = journals(paths)
    cut.write_text('{"action": "pro')
    decide_by_hand(paths.root, "rollback", None, "it repeats itself", "Bo")
    assert f"{cut}: removed, since it is cut off; the ledger lacks" in caplog.text
    assert complete_interrupted(params, paths) is None and last_facts(paths)[0] == "rollback"


def test_only_the_same_command_counts_as_a_repetition(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The experiment lora is trained anew after the kill, so its name stands for another model."""
    prepared(paths, "automatic")
    killed_at("tasks.registry.keep.record", paths, monkeypatch, "promote", "1")
    with pytest.raises(TunesmithError, match="models:/other/1: a version is a number"):
        decide_by_hand(paths.root, "promote", "models:/other/1", "all rows read", "Ada")
    assert aliases(paths) == {"champion": 1, "previous": 2} and journals(paths) == []
    decide_by_hand(paths.root, "rollback", None, "it repeats itself", "Ada")
    killed_at("tasks.registry.keep.record", paths, monkeypatch, "promote", "1")
    add_experiment(paths, "lora", [0.9, 0.8, 0.9, 0.8], key="another")
    decide_by_hand(paths.root, "promote", "lora", "trained anew", "Ada")
    assert aliases(paths) == {"champion": 3, "previous": 1}


def _killed(*arguments: Any) -> None:
    raise Killed
