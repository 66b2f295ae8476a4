"""The command line on a built tiny workspace: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.cli import main
from tasks.core.params import read_yaml, write_yaml
from tasks.ingest.tables import read_table, write_table
from tests.flows.command_line import BUILT, Cli, ledger, one_error
from tests.flows.logged import SCHEDULER
from tests.memory.planned import LLAMA_70B
from tests.workspaces import commit, dvc, edit, make_workspace, ran


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A workspace with base (an example in its prompts) and lora built by ``dvc repro``."""
    root = make_workspace(tmp_path_factory.mktemp("cli") / "workspace", tiny_llama)
    edit(root, "experiments", lambda p: p["experiments"].pop("full"))
    edit(root, "experiments", lambda p: p["experiments"]["base"].update(evaluation={"shots": 1}))
    commit(root)
    dvc(root, "repro")
    return root


def test_status_says_what_is_stale_and_why(built: Path, cli: Cli) -> None:
    assert cli(built, "status") == (0, "all 15 stages are up to date\n")
    edit(built, "experiments", lambda p: p["experiments"]["lora"].update(seed=5))
    code, printed = cli(built, "status")
    dvc(built, "repro", "--single-item", "resolve")
    stale = json.loads(dvc(built, "status", "--json").stdout)
    edit(built, "experiments", lambda p: p["experiments"]["lora"].pop("seed"))
    dvc(built, "repro", "--single-item", "resolve")
    assert code == 0 and "modified params/experiments.yaml" in printed
    assert "3 of 15 stages will run, 2 more only if what they read changes" in printed
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
    root = tmp_path / "workspace"
    shutil.copytree(built, root, symlinks=True)
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
    """Of an experiment's rows in the shape of Llama 2 70B; with several processes, and where nothing can be planned."""
    root = tmp_path / "workspace"
    shutil.copytree(built, root, symlinks=True)
    (root / "config.json").write_text(json.dumps(LLAMA_70B))
    edit(root, "experiments", lambda p: p["experiments"]["lora"].update(launcher={"processes": 2, "strategy": "fsdp"}))
    monkeypatch.setattr("tasks.core.device.free_memory_bytes", lambda: 20 * 10**9)
    code, printed = cli(root, "plan", "--config", root / "config.json", "--no-samples")
    assert code == 0
    # 4 bytes of fp32 for each of 68,976,648,192 parameters, and the adapter.
    weights = re.search(r"training: weights +│ +– +│ +(\d+),(\d+) +│", printed)
    assert weights is not None and 275_906 <= int("".join(weights.groups())) < 276_100, printed
    flat = " ".join(printed.split())
    assert re.search(r"fits into 20,000 MB free │ no: evaluation │ no: evaluation, merging │", flat), flat
    assert "lora: evaluation: the weights alone need 137.95 GB in bf16, 20.00 GB are free; take a smaller base" in flat
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
    root = tmp_path / "workspace"
    shutil.copytree(built, root, symlinks=True)
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


def test_champion_of_a_workspace_that_never_asked_the_gate(built: Path, cli: Cli) -> None:
    code, printed = cli(built, "champion")
    assert code == 0 and "models:/tunesmith@champion: no champion yet" in printed
    assert "the gate has decided nothing here yet; `tunesmith run` runs it" in printed
    assert "champion: --set needs --because TEXT" in one_error(cli(built, "champion", "--set", "lora"))


def test_doctor_refuses_a_metric_that_there_is_not(built: Path, cli: Cli) -> None:
    edit(built, "registration", lambda p: p["registration"].update(metric="acuracy"))
    code, printed = cli(built, "doctor")
    planned = cli(built, "plan")
    edit(built, "registration", lambda p: p["registration"].update(metric="rouge1_f"))
    assert code == 1 and "did you mean 'accuracy'?" in " ".join(printed.replace("│", " ").split())
    assert one_error(planned).endswith("did you mean 'accuracy'?")


def test_predict_needs_a_text(built: Path, cli: Cli) -> None:
    assert "predict: the text must not be empty" in one_error(cli(built, "predict", "--experiment", "lora", " "))


def test_predict_prints_the_answer_alone_and_the_rest_on_stderr(
    built: Path, cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": 1, "dialogue": "Customer: hello"}, {"id": 2, "prompt": "Say something."}]
    source, target = tmp_path / "f.jsonl", tmp_path / "g.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, printed = cli(built, "predict", "--input", source, "--output", target)
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert code == 0 and [answer["id"] for answer in answers] == [1, 2]
    assert all(isinstance(answer["completion"], str) and "finished" in answer for answer in answers)
    assert {answer["template"] for answer in answers} == {"demo/summarise"}
    assert "loading lora …" in printed and "lora: template demo/summarise\n" in printed

    monkeypatch.setattr(sys, "argv", ["tunesmith", "predict", "--experiment", "lora", "Customer: hello"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == answers[0]["completion"] + "\n"


def test_predict_answers_the_test_rows_of_a_csv_file_as_they_were_evaluated(
    built: Path, cli: Cli, tmp_path: Path
) -> None:
    """From a source's own columns, by several experiments at once, one of them with an example in its prompt."""
    names = ("base", "lora")
    of_test = pq.read_table(built / "data/evaluation/test.parquet").to_pylist()
    write_table(tmp_path / "rows.csv", [{"id": row["row_id"], "dialogue": row["text"]} for row in of_test])
    options = [part for name in names for part in ("--experiment", name)]
    code, printed = cli(
        built, "predict", *options, "--input", tmp_path / "rows.csv", "--output", tmp_path / "out.parquet"
    )
    assert code == 0 and "base: template demo/summarise, 1 example in the prompt" in printed
    answers = [row for _, row in read_table(tmp_path / "out.parquet")]
    assert [answer["id"] for answer in answers] == [row["row_id"] for row in of_test for _ in names]
    for name in names:
        predictions = pq.read_table(built / f"reports/experiments/{name}/predictions.parquet").to_pylist()
        mine = [(row["completion"], row["finished"]) for row in answers if row["experiment"] == name]
        assert mine == [(row["completion"], row["finished"]) for row in predictions]


def test_predict_needs_a_free_column_for_the_names(built: Path, cli: Cli, tmp_path: Path) -> None:
    source, target = tmp_path / "f.jsonl", tmp_path / "g.jsonl"
    source.write_text('{"experiment": "mine", "dialogue": "Customer: hello"}\n')
    both = ("--experiment", "base", "--experiment", "lora")
    error = one_error(cli(built, "predict", *both, "--input", source, "--output", target))
    assert "f.jsonl:1: with several experiments the column `experiment` must be free" in error


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
        (["predict", "--champion", "text"], "models:/tunesmith@champion: no version of a registered model has this"),
        (
            ["predict", "--input", "no.xlsx", "--output", "g.csv"],
            "no.xlsx: the ending must be one of .csv, .tsv, .jsonl",
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


def test_a_row_without_the_columns_is_named(built: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text('{"dialogue": "a"}\n{"text": "b"}\n')
    error = one_error(cli(built, "predict", "--input", tmp_path / "f.jsonl", "--output", tmp_path / "g.jsonl"))
    assert "f.jsonl:2: template demo/summarise needs the columns dialogue" in error
    assert not (tmp_path / "g.jsonl").exists()


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


def test_what_needs_a_server_says_that_none_runs(built: Path, cli: Cli) -> None:
    assert "trigger: a Prefect server must run, and none does" in one_error(cli(built, "trigger"))
    note = built / ".tunesmith/schedule.json"
    note.write_text(json.dumps({"cron": "0 3 * * 1", "timezone": "Asia/Kolkata", "pid": os.getpid(), "since": ""}))
    code, printed = cli(built, "status")
    note.unlink()
    assert code == 0
    assert "schedule '0 3 * * 1' of Asia/Kolkata: does not fire, since no Prefect server answers" in printed


def test_clean_removes_what_no_parameter_names(built: Path, cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(built, root, symlinks=True)
    edit(root, "experiments", lambda p: p["experiments"].pop("lora"))
    (root / "models/.base.99999999.partial").mkdir()
    (root / f"models/.lora.{os.getpid()}.partial").mkdir()  # a process that lives may be writing it
    (root / "checkpoints/old").mkdir(parents=True)
    (root / "data/scoring/gone.json").write_text("{}")  # of a source that is gone
    _, planned = cli(root, "clean", "--dry-run")
    assert "would remove models/lora" in planned and (root / "models/lora").exists()
    _, printed = cli(root, "clean")
    removed = ("models/lora", "runs/lora", "reports/predictions/lora", "reports/experiments/lora")
    for path in (*removed, "models/.base.99999999.partial", "data/scoring/gone.json"):
        assert f"removed {path}" in printed and not (root / path).exists()
    assert "dropped train@lora from dvc.lock" in printed
    assert (root / "models/base/manifest.json").exists()
    assert (root / "checkpoints/old").exists()
    assert "removed checkpoints/old" in cli(root, "clean", "--checkpoints")[1]
    (root / f"models/.lora.{os.getpid()}.partial").rmdir()
    assert cli(root, "clean") == (0, "nothing to remove\n")
    assert ran(dvc(root, "repro").stdout) == ["resolve", "compare"]


def test_clean_removes_what_the_stage_evaluate_of_earlier_versions_left(built: Path, cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(built, root, symlinks=True)
    (root / "runs/lora/evaluate").mkdir()
    lock = read_yaml(root / "dvc.lock")
    lock["stages"]["evaluate@lora"] = lock["stages"]["score@lora"]
    write_yaml(root / "dvc.lock", lock)
    _, printed = cli(root, "clean")
    assert printed.splitlines() == ["removed runs/lora/evaluate", "dropped evaluate@lora from dvc.lock"]
    assert not (root / "runs/lora/evaluate").exists() and (root / "runs/lora/train/run.json").exists()
    assert "evaluate@lora" not in read_yaml(root / "dvc.lock")["stages"]
    assert dvc(root, "status", "--json").stdout.strip() == "{}"


def test_a_restored_workspace_gets_the_same_ledger(built: Path, cli: Cli, tmp_path: Path) -> None:
    """Files from DVC's cache, an empty MLflow store, and ``tunesmith sync``."""
    cli(built, "sync")
    commit(built)
    root = tmp_path / "restored"
    shutil.copytree(built, root, ignore=shutil.ignore_patterns(*BUILT, ".dvc"), symlinks=True)
    shutil.copytree(built / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    dvc(root, "cache", "dir", "--local", str(built / ".dvc/cache"))
    dvc(root, "checkout")
    code, printed = cli(root, "sync")
    assert code == 0 and "lora: completed" in printed
    first, second = ledger(built), ledger(root)
    assert set(first) == {"base", "lora"}
    assert first == second
