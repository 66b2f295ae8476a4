"""What is examined before anything runs: the base model of every experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.commands.doctor import examine
from flows.commands.plan import plan
from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.resolve.bases import refuse_missing_bases
from tests.workspaces import edit, make_workspace

GONE = "base model of lora: base_model.name: ./gone: a local base model must be a folder with config.json; there is no"
UNPINNED = "base model of hub, hub_too: base_model: some/model: a hub id needs `revision`"


@pytest.fixture
def root(tmp_path: Path, tiny_llama: Path) -> Path:
    def use_others(params: dict[str, Any]) -> None:
        params["experiments"]["lora"]["base_model"] = {"name": "./gone"}
        hub = {"method": "none", "mixture": "demo", "base_model": {"name": "some/model"}}
        params["experiments"] |= {"hub": hub, "hub_too": hub}

    root = make_workspace(tmp_path / "workspace", tiny_llama)
    edit(root, "experiments", use_others)
    return root


def test_doctor_examines_the_base_model_of_every_experiment(root: Path) -> None:
    steps: list[str] = []
    findings = [finding for finding in examine(root, steps.append) if finding.subject == "base model"]
    assert [finding.ok for finding in findings] == [True, False, False]
    assert findings[0].result.startswith("./base, causal, weights ") and findings[0].result.endswith(
        "; used by base, full"
    )
    assert findings[1].result.startswith(GONE) and findings[2].result.startswith(UNPINNED)
    assert "finding the base model ./gone" in steps


def test_doctor_names_models_whose_base_changed_in_place(root: Path) -> None:
    Paths(root).model("full").mkdir(parents=True)
    write_json(Paths(root).model("full") / "manifest.json", {"base_model": {"weights_sha256": "of before"}})
    (changed, *_) = [finding for finding in examine(root) if finding.subject == "base model"]
    assert not changed.ok
    assert changed.result == (
        "./base: its weights changed since full ran. Restore them, or `tunesmith run` trains these experiments again"
    )


def test_a_plan_is_refused_before_it_builds_data(root: Path) -> None:
    steps: list[str] = []
    with pytest.raises(TunesmithError) as error:
        plan(root, None, steps.append)
    lines = str(error.value).splitlines()
    assert len(lines) == 2 and lines[0].startswith(GONE) and lines[1].startswith(UNPINNED)
    assert steps == []


def test_only_the_experiments_that_run_count(root: Path) -> None:
    refuse_missing_bases(Paths(root), ["base", "full"])
    with pytest.raises(TunesmithError, match="base model of hub_too: "):
        refuse_missing_bases(Paths(root), ["base", "hub_too"])
