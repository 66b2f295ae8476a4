"""A decision that a kill or a fault interrupts is carried out once, whatever command comes next."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from flows import by_hand
from flows.by_hand import decide_by_hand
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.register import journal
from tasks.register.decisions import decisions
from tasks.register.opened import complete_interrupted
from tasks.register.params import RegistrationParams
from tasks.register.run import run
from tasks.register.verdict import last_result
from tasks.tracking.client import open_store
from tasks.tracking.tag_names import GATE, REJECTED
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
    assert kills >= 7
    assert aliases(paths) == left and journal.read(paths) is None
    assert len(decisions(paths)) == known + 1
    assert last_facts(paths) == (action, verdict, version, "Ada", "all rows read")
    assert last_result(paths)["rules"] == decisions(paths)[-1]["rules"]
    assert tags(paths, version)[GATE] in ("accepted", "rejected", "promoted by hand", "restored by rollback")
    assert (REJECTED in tags(paths, 2)) == (version == 1 or verdict == "rejected")
    run(params, paths)
    assert aliases(paths) == left, "the next run of the gate undoes nothing"


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
    params = prepared(paths, "manual")
    known = len(decisions(paths))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("tasks.register.keep.record", _killed)
        decide_by_hand(paths.root, "approve", "2", "all rows read", "Ada")
    assert aliases(paths) == {"champion": 2, "previous": 1, "awaiting-approval": 2} and events == []
    if other == "gate":
        assert by_hand.complete_interrupted(paths.root) is not None
        assert run(params, paths)["summary"] == "better is already the champion, version 2"
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


def test_a_champion_that_another_workspace_set_meanwhile_stays(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    params = prepared(paths, "manual")
    add_experiment(paths, "third", [0.7, 0.8, 0.7, 0.8])
    decide_by_hand(paths.root, "promote", "third", "another base", "Bo")
    decide_by_hand(paths.root, "promote", "1", "the older one", "Bo")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("tasks.register.keep.record", _killed)
        decide_by_hand(paths.root, "promote", "2", "all rows read", "Ada")
    open_store(paths.root).client.set_registered_model_alias("tunesmith", "champion", "3")
    with caplog.at_level("WARNING", "tunesmith"):
        result = complete_interrupted(params, paths)
    assert result is not None and not result["changed"] and aliases(paths)["champion"] == 3
    assert "does not move the champion: version 3 became the champion meanwhile" in caplog.text
    assert last_facts(paths)[:3] == ("promote", "promoted", 2) and journal.read(paths) is None


def _killed(*arguments: Any) -> None:
    raise Killed
