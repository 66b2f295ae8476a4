"""The DAG: the stages of ``dvc.yaml``, and what ``dvc repro`` does with them on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.core.params import read_yaml
from tasks.inference.predict import Predictor
from tests.dag_modules import ROOT, dependencies
from tests.workspaces import commit, copy_workspace, dvc, edit, make_workspace, ran

STAGES = read_yaml(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_modules_it_imports(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    module = stage["cmd"].split()[2]
    listed = sorted(str(path) for path in stage["deps"] if str(path).startswith("tasks/"))
    assert listed == dependencies(module), f"deps of {name} in dvc.yaml must be these files"


def test_tasks_never_import_prefect() -> None:
    files = list((ROOT / "tasks").rglob("*.py"))
    assert len(files) > 40
    assert not [path for path in files if "import prefect" in path.read_text() or "from prefect" in path.read_text()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, built_workspace: Path) -> Path:
    """A workspace whose ``base`` and ``lora`` were built by one ``dvc repro`` and ``full`` by a second one."""
    root = copy_workspace(built_workspace, tmp_path_factory.mktemp("dag") / "workspace")
    full = {"full": {"method": "full", "mixture": "demo"}}
    edit(root, "experiments", lambda p: p.update(experiments=dict(sorted((p["experiments"] | full).items()))))
    dvc(root, "repro")
    return root


def test_everything_is_built(built: Path) -> None:
    comparison = json.loads((built / "reports/comparison/comparison.json").read_text())
    assert [system["name"] for system in comparison["systems"]] == ["base", "full", "lora", "lead", "nearest"]
    assert comparison["candidate"] in {"full", "lora"}
    rows = {
        name: pq.read_table(built / f"reports/experiments/{name}/predictions.parquet").column("row_id").to_pylist()
        for name in ("base", "full", "lora")
    }
    assert rows["base"] == rows["full"] == rows["lora"] and len(rows["base"]) == 8
    for name in ("full", "lora"):
        steps = [json.loads(line) for line in (built / f"runs/{name}/train/history.jsonl").read_text().splitlines()]
        assert steps[0]["step"] == 0 and "validation_loss" in steps[0]
        assert json.loads((built / f"runs/{name}/train/run.json").read_text())["tokens_per_second"] > 0
        assert json.loads((built / f"runs/{name}/predict/run.json").read_text())["seconds"] > 0


def test_nothing_half_written_or_untracked_remains(built: Path) -> None:
    assert not list(built.rglob("*.partial"))
    assert not (built / "checkpoints").exists() or not list((built / "checkpoints").iterdir())
    assert dvc(built, "status", "--json").stdout.strip() == "{}"


def test_no_machine_path_enters_an_output_or_the_lock(built: Path, built_workspace: Path) -> None:
    texts = [p for p in built.rglob("*") if p.suffix in {".json", ".jsonl", ".yaml", ".lock", ".md"} and p.is_file()]
    checked = [p for p in texts if not {".git", ".dvc", "base", "tasks"} & set(p.relative_to(built).parts)]
    assert len(checked) > 20
    assert not [p for p in checked if str(built) in p.read_text() or str(built_workspace) in p.read_text()]


def test_a_second_repro_runs_nothing(built: Path) -> None:
    assert ran(dvc(built, "repro").stdout) == []


def test_another_rank_trains_anew_and_a_longer_completion_is_only_generated_anew(built: Path, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    longer = {"evaluation": {"generation": {"max_new_tokens": 9}}}
    patches = {"lora": {"lora": {"rank": 2}}, "full": longer}
    edit(root, "experiments", lambda p: [p["experiments"][name].update(patch) for name, patch in patches.items()])
    again = ran(dvc(root, "repro").stdout)
    assert (again[0], again[-1]) == ("resolve", "compare")
    assert sorted(again[1:-1]) == ["predict@full", "predict@lora", "score@full", "score@lora", "train@lora"]
    assert json.loads((root / "models/lora/adapter_config.json").read_text())["r"] == 2
    assert max(pq.read_table(root / "reports/predictions/full/test.parquet").column("new_tokens").to_pylist()) == 9


def test_changed_metrics_and_intervals_score_anew_and_generate_nothing(built: Path, tmp_path: Path) -> None:
    """The code of one metric changes, the template set names another one, and intervals need fewer resamples."""
    root = copy_workspace(built, tmp_path / "workspace")
    predictions, rendered = root / "reports/experiments/lora/predictions.parquet", root / "data/rendered/demo.parquet"
    before, rows = pq.read_table(predictions).column("rouge1_f").to_pylist(), rendered.read_bytes()
    templates = root / "tasks/template/library/dialogue_summary.yaml"
    assert templates.read_text().count("metrics: [rouge]") == 1
    templates.write_text(templates.read_text().replace("metrics: [rouge]", "metrics: [rouge, chrf]"))
    module = root / "tasks/metrics/rouge/rouge.py"
    module.write_text(
        module.read_text() + "\n_rows = Rouge.rows\n"
        "Rouge.rows = lambda *texts: {name: [1 + s for s in scores] for name, scores in _rows(*texts).items()}\n"
    )
    edit(root, "evaluation", lambda p: p["evaluate"]["intervals"].update(resamples=200))
    again = ran(dvc(root, "repro").stdout)
    assert sorted(again[:-1]) == ["baselines", "resolve", "score@base", "score@full", "score@lora", "template@demo"]
    assert again[-1] == "compare"
    assert rendered.read_bytes() == rows
    scored = pq.read_table(predictions)
    assert scored.column("rouge1_f").to_pylist() == [1 + score for score in before]
    assert scored.column("chrf").null_count == 0


def test_a_deleted_experiment_leaves_the_comparison(built: Path, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    edit(root, "experiments", lambda p: p["experiments"].pop("full"))
    # Without the run cache: tests of another file, which shares it, delete the same experiment.
    assert ran(dvc(root, "repro", "--no-run-cache").stdout) == ["resolve", "compare"]
    comparison = json.loads((root / "reports/comparison/comparison.json").read_text())
    assert [system["name"] for system in comparison["systems"]] == ["base", "lora", "lead", "nearest"]


def test_a_failing_stage_keeps_what_was_finished(built: Path, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    edit(root, "experiments", lambda p: p["experiments"]["lora"].update(lora={"targets": ["no_such_layer"]}))
    done = dvc(root, "repro", check=False)
    assert done.returncode != 0
    assert "train@lora: error: params/experiments.yaml: lora.targets: 'no_such_layer' must be a layer of" in done.stdout
    assert "Traceback" not in done.stdout
    assert (root / "models/full/model.safetensors").exists() and not (root / "models/lora").exists()


def test_a_misspelt_mixture_deletes_nothing(built: Path, tmp_path: Path) -> None:
    root = copy_workspace(built, tmp_path / "workspace")
    edit(root, "experiments", lambda p: p["experiments"]["full"].update(mixture="dmeo"))
    done = dvc(root, "repro", check=False)
    assert done.returncode != 0
    assert (
        "experiments.full.mixture: there is no mixture 'dmeo' in params/mixtures.yaml; there are: demo" in done.stdout
    )
    assert (root / "models/full/model.safetensors").exists()


@pytest.mark.slow
def test_an_encoder_decoder_learns_its_training_summaries(tmp_path: Path, tiny_t5: Path) -> None:
    """The whole DAG on a T5 with random weights, until it generates its training summaries word for word."""
    root = make_workspace(tmp_path / "workspace", tiny_t5)
    source = root / "data/sources/notes"
    source.mkdir(parents=True)
    things = ["lamp", "chair", "phone", "shirt", "kettle", "radio"]
    # Validation has the summaries of training with other prompts, so the best epoch is a late one.
    texts = {"train": ["my {} is broken", "this {} is broken"], "validation": ["the {} is broken"]}
    for part, wordings in texts.items():
        rows = [{"dialogue": w.format(t), "summary": f"the {t} needs repair"} for t in things for w in wordings]
        (source / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (source / "test.jsonl").write_text(json.dumps({"dialogue": "our bag is broken", "summary": "the bag needs repair"}))
    edit(root, "sources", lambda p: p.update(generated={}, sources={"notes": _notes()}))
    edit(root, "mixtures", lambda p: p.update(mixtures={"notes": {"sources": {"notes": {}}}}))
    edit(root, "evaluation", lambda p: p["evaluation_set"].update(sources=["notes"]))
    # After 60 steps rounding decides whether the last repeated letter is counted; from 100 on, four seeds say all.
    loop = {"learning_rate": 5e-3, "epochs": 120, "schedule": "constant"}
    experiments = {"base": {"method": "none"}, "full": {"method": "full", "training": loop}, "lora": {"method": "lora"}}
    edit(
        root,
        "experiments",
        lambda p: p.update(experiments={n: e | {"mixture": "notes"} for n, e in experiments.items()}),
    )
    dvc(root, "add", "data/sources/notes")
    commit(root)
    dvc(root, "repro")
    trained = pq.read_table(root / "data/mixtures/notes/train.parquet").to_pylist()
    assert len(trained) == 2 * len(things)
    last = json.loads((root / "runs/full/train/history.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 120
    predictor = Predictor.load(root / "models/full", root=root)
    assert predictor.complete([row["prompt"] for row in trained]) == [row["completion"] for row in trained]


def _notes() -> dict[str, object]:
    files = {part: [part] for part in ("train", "validation", "test")}
    return {
        "ingest": {},
        "template": {"set": "dialogue_summary", "use": ["summarise"]},
        "split": {"by": "file", "files": files},
    }
