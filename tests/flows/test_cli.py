"""The command line on a built tiny workspace: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.flows.command_line import Cli, one_error
from tests.flows.logged import SCHEDULER
from tests.memory.planned import LLAMA_70B
from tests.workspaces import copy_workspace, dvc, edit


def test_status_says_what_is_stale_and_why(built: Path, cli: Cli) -> None:
    assert cli(built, "status") == (0, "all 17 stages are up to date\n")
    edit(built, "experiments", lambda p: p["experiments"]["lora"].update(seed=5))
    code, printed = cli(built, "status")
    dvc(built, "repro", "--single-item", "resolve")
    stale = json.loads(dvc(built, "status", "--json").stdout)
    edit(built, "experiments", lambda p: p["experiments"]["lora"].pop("seed"))
    dvc(built, "repro", "--single-item", "resolve")
    assert code == 0 and "modified params/experiments.yaml" in printed
    assert "3 of 17 stages will run, 2 more only if what they read changes" in printed
    for address in ("train@lora", "compare"):
        assert re.search(rf"{address} +│ resolve will change build/experiments/lora/train.yaml", printed)
    assert re.search(r"predict@lora +│ only if train@lora changes what it writes", printed)
    assert "train@lora will run;" in printed and "@base" not in printed and "ingest" not in printed
    assert set(stale) == {"train@lora", "compare"}, "DVC agrees once resolve ran"


def test_status_of_a_stage_that_was_never_built_is_one_line(built: Path, cli: Cli) -> None:
    experiment = {"method": "lora", "mixture": "demo", "lora": {"rank": 2}}
    edit(built, "experiments", lambda p: p["experiments"].update(fresh=experiment))
    _, printed = cli(built, "status")
    _, every = cli(built, "status", "--verbose")
    edit(built, "experiments", lambda p: p["experiments"].pop("fresh"))
    assert re.search(r"train@fresh +│ never built ", printed) and "tasks/" not in printed
    assert "tasks/tuning/methods/lora.py" in every


def test_plan_prints_the_contract_and_trains_nothing(built: Path, cli: Cli, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    before = sorted(path.name for path in (root / "models").iterdir())
    # Stale and unbuilt: the plan builds data, and no model.
    edit(
        root, "experiments", lambda p: p["experiments"].update(lora_r4=p["experiments"]["lora"] | {"lora": {"rank": 4}})
    )
    edit(root, "sources", lambda p: p["sources"]["demo"]["split"].update(limit={"train": 7}))
    code, printed = cli(root, "plan")
    assert code == 0
    assert "base: trains nothing" in printed and "lora, lora_r4" in printed, "equal contracts are shown once"
    assert "mixture demo: 7 training rows" in printed
    assert re.search(r"demo/summarisation +│ 7 +│ 7 +│ 7 +│ +│", printed)
    assert "bringing the data of demo up to date …\n" in printed
    assert re.search(r"rows +│ 7 +│", printed) and re.search(r"rows with the end token +│ 7 of 7 ", printed)
    completion = pq.read_table(root / "data/mixtures/demo/train.parquet").to_pylist()[0]["completion"]
    assert f"[[{completion}<|end|>]]" in printed
    assert "8 independent groups of test rows: a difference of " in printed
    assert re.search(r"a difference of 0\.03 \(verdicts\.margin\) needs about \d+ groups", printed)
    assert sorted(path.name for path in (root / "models").iterdir()) == before
    code, printed = cli(root, "plan", "--memory", "--no-samples")
    assert code == 0
    for line in ("training in all", "evaluation in all", "merging in all"):
        assert re.search(rf"{line} +│( +[\d,–]+ +│){{3}}", printed), line
    assert (root / ".tunesmith/plan/memory.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"fits into [\d,]+ MB free +│( +yes +│){3}", printed)
    assert "no experiment 'x'" in one_error(cli(root, "plan", "--experiment", "x"))


def test_a_plan_for_a_model_that_is_larger_than_the_machine(
    built: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an experiment's rows on 8 layers of Llama 2 70B; with several processes, and where nothing can be planned."""
    root = copy_workspace(built, tmp_path / "workspace")
    (root / "config.json").write_text(json.dumps(LLAMA_70B | {"num_hidden_layers": 8}))
    edit(root, "experiments", lambda p: p["experiments"]["lora"].update(launcher={"processes": 2, "strategy": "fsdp"}))
    monkeypatch.setattr("tasks.core.device.free_memory_bytes", lambda: 10 * 10**9)
    code, printed = cli(root, "plan", "--config", root / "config.json", "--no-samples")
    assert code == 0
    # 4 bytes of fp32 for each of 7,369,531,392 parameters, and the adapter.
    weights = re.search(r"training: weights +│ +– +│ +(\d+),(\d+) +│", printed)
    assert weights is not None and 29_478 <= int("".join(weights.groups())) < 29_600, printed
    flat = " ".join(printed.split())
    assert re.search(r"fits into 10,000 MB free │ no: evaluation │ no: evaluation, merging │", flat), flat
    assert "lora: evaluation: the weights alone need 14.74 GB in bf16, 10.00 GB are free; take a smaller base" in flat
    assert "lora: training is planned as one process" in flat, "and no advice is given"

    def cannot(*_: object) -> None:
        raise NotImplementedError("a value was asked for")

    edit(root, "experiments", lambda p: p["experiments"]["lora"].pop("launcher"))
    with monkeypatch.context() as patched:
        patched.setattr("flows.commands.memory_plan.plan_training", cannot)
        code, printed = cli(root, "plan", "--memory", "--no-samples")
        assert code == 0
        assert "lora: training: not planned: NotImplementedError: a value was asked for" in " ".join(printed.split())
        assert re.search(r"evaluation in all +│ +[\d,]+ +│ +[\d,]+ +│", printed), "the other phases are still planned"
        patched.setattr("flows.commands.memory_plan.plan_generation", cannot)
        code, printed = cli(root, "plan", "--memory", "--no-samples", "--experiment", "lora")
        assert code == 0 and "lora: evaluation: not planned" in printed, "nothing is left to draw, and all is said"

    monkeypatch.setattr("tasks.core.device.free_memory_bytes", lambda: 1000)
    code, printed = cli(root, "plan", "--memory", "--no-samples", "--experiment", "lora")
    flat = " ".join(printed.split())
    assert code == 0 and "no: training, evaluation, merging" in flat
    assert "lora: training: no batch size and no method of this model fits" in flat
    assert "; unchanged, it is refused" in flat


def test_a_plan_that_breaks_the_contract_is_an_error(built: Path, cli: Cli, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    edit(root, "experiments", lambda p: p["experiments"]["lora"].update(max_length=40, max_dropped=0.0))
    error = one_error(cli(root, "plan"))
    assert "data/mixtures/demo/train.parquet: row " in error and "max_length is 40" in error


def test_compare_prints_the_table(built: Path, cli: Cli) -> None:
    code, printed = cli(built, "compare")
    assert code == 0
    assert all(name in printed for name in ("base", "lora", "lead", "nearest", "ROUGE-1"))
    assert "not in this table" not in printed
    assert "gate: no decision on this comparison yet; `tunesmith run` makes one" in printed
    edit(built, "experiments", lambda p: p["experiments"].update(fresh={"method": "lora", "mixture": "demo"}))
    code, printed = cli(built, "compare")
    edit(built, "experiments", lambda p: p["experiments"].pop("fresh"))
    assert code == 0 and "not in this table: fresh; `tunesmith status` says what is out of date" in printed


def test_champion_of_a_workspace_whose_gate_never_decided(built: Path, cli: Cli) -> None:
    code, printed = cli(built, "champion")
    assert code == 0 and "models:/tunesmith@champion: no champion yet" in printed
    assert "the gate has decided nothing here yet; `tunesmith run` runs it" in printed
    assert "promote: --why must give the reason" in one_error(cli(built, "promote", "lora", "--why", " "))


def test_doctor_refuses_an_unknown_metric(built: Path, cli: Cli) -> None:
    edit(built, "registration", lambda p: p["registration"].update(metric="acuracy"))
    code, printed = cli(built, "doctor")
    planned = cli(built, "plan")
    edit(built, "registration", lambda p: p["registration"].update(metric="rouge1_f"))
    assert code == 1 and "did you mean 'accuracy'?" in " ".join(printed.replace("│", " ").split())
    assert one_error(planned).endswith("did you mean 'accuracy'?")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["predict", "--experiment", "nothing", "text"],
            "no experiment 'nothing' in params/experiments.yaml; there are: base, lora",
        ),
        (["predict", "--experiment", "base", "--experiment", "no", "--template", "x/y", "t"], "no experiment 'no' in"),
        (["predict"], "give either a text, or --input and --output"),
        (["predict", "--input", "no.jsonl", "--output", "g.jsonl"], "no.jsonl: no such file"),
        (["predict", "--template", "x/y", "text"], "lora knows no template 'x/y'; it knows: demo/summarise"),
        (
            ["predict", "--champion", "text"],
            "it has none; there is no version of tunesmith yet",
        ),
        (["predict", "--input", "no.csv", "--output", "g.txt"], "g.txt: the ending must be one of .csv, .tsv, .jsonl"),
        (["data", "add", "no.jsonl", "--name", "s"], "no.jsonl: no such file"),
        (["data", "add", "no.jsonl", "--name", "Bad Name"], "a name must be lower-case letters"),
        (["data", "add", "no.jsonl", "--name", "demo"], "'demo' is made by a stage"),
        (["ui", "--only", "all"], "--only must be prefect or mlflow"),
    ],
)
def test_bad_arguments_are_one_line(built: Path, cli: Cli, arguments: list[str], says: str) -> None:
    assert says in one_error(cli(built, *arguments))


def test_outside_a_workspace(tmp_path: Path, cli: Cli) -> None:
    assert "not inside a Tunesmith workspace" in one_error(cli(tmp_path, "status"))


def test_a_tracking_server_that_is_down(built: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "MLFLOW_TRACKING_URI: the tracking server at http://127.0.0.1:9 must answer" in one_error(cli(built, "sync"))


def test_doctor_examines_everything(built: Path, cli: Cli) -> None:
    code, printed = cli(built, "doctor")
    for what in ("torch", "processor", "memory", "disk", "base model", "tracking store", "parameters"):
        assert what in printed
    assert "./base, causal, weights" in printed
    assert code == (1 if "│ no " in printed else 0)
    assert re.search(r"ok +│ versions +│ as tried", printed)
    assert re.search(r"ok +│ Prefect server +│ not started here yet", printed)


def test_doctor_names_a_service_of_a_server_that_failed(built: Path, cli: Cli) -> None:
    log = built / ".tunesmith/ui-prefect.log"
    log.write_text(SCHEDULER)
    code, printed = cli(built, "doctor")
    log.unlink()
    row = " ".join(re.sub("[│ ]+", " ", printed).split())
    assert code == 1 and "no Prefect server Prefect server: schedule_recent_deployments fails" in row
    assert "please supply a bulk_dml decorated function; no schedule fires" in row


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--timezone", "Asia/Kolkatta"],
            "--timezone 'Asia/Kolkatta': a time zone must be a name of the IANA database",
        ),
        (["--cron", "0 3 30 2 *"], "--cron '0 3 30 2 *': it never fires"),
        (["--experiment", "x"], "schedule: no experiment 'x' in params/experiments.yaml; there are: base, lora"),
        ([], "schedule: a Prefect server must run, and none does for this workspace; start one with `make ui`"),
    ],
)
def test_a_schedule_that_cannot_fire_is_refused(built: Path, cli: Cli, arguments: list[str], says: str) -> None:
    assert says in one_error(cli(built, "schedule", *arguments))


def test_commands_that_need_a_server_report_that_none_runs(built: Path, cli: Cli) -> None:
    assert "trigger: a Prefect server must run, and none does" in one_error(cli(built, "trigger"))
    note = built / ".tunesmith/schedule.json"
    note.write_text(json.dumps({"cron": "0 3 * * 1", "timezone": "Asia/Kolkata", "pid": os.getpid(), "since": ""}))
    code, printed = cli(built, "status")
    note.unlink()
    assert code == 0
    assert "schedule '0 3 * * 1' of Asia/Kolkata: does not fire, since no Prefect server answers" in printed
