"""A model generates as it was evaluated: ``predict`` and the registered model against ``predictions.parquet``."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from flows.commands.predict import predict_file, predict_text
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths, tracking_uri
from tasks.evaluate.evaluated_model import PromptRenderer
from tasks.evaluate.inference_settings import Inference, identity, ranked
from tasks.ingest.tables import read_table, write_table
from tasks.registry.decisions import record
from tasks.serving.moved import MOVED
from tasks.template.library import Template
from tasks.template.stored import SourceTemplates, stored
from tasks.tracking.client import VARIABLE, open_store
from tasks.tracking.sync import sync
from tests.evaluate.evaluated_workspace import (
    EXPERIMENTS,
    PARAMS,
    TEMPLATES,
    completions,
    raw,
    rendered,
)
from tests.train.training_workspace import PAIRS
from tests.workspaces import own_artifacts


def silent(line: str) -> None:
    """Nobody reads it."""


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def ask(paths: Paths, names: list[str], rows: list[dict[str, Any]], folder: Path, template: str | None = None) -> Any:
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    write_table(source, rows)
    predict_file(paths.root, names, source, target, template, silent, silent)
    return [row for _, row in read_table(target)]


def test_what_was_evaluated_is_written(evaluated: Paths) -> None:
    inference = Inference.read(evaluated.report("base_2") / "inference.json")
    assert (inference.experiment, inference.shots, inference.threads) == ("base_2", 2, 1)
    assert inference.key == files.read_json(evaluated.model("base_2") / "manifest.json")["key"]
    assert inference.generation.max_new_tokens == 12
    assert sorted(inference.templates) == sorted(inference.order) == ["chats/plain", "chats/short"]
    assert set(inference.fingerprint["fields"]["templates"]) == {"chats/plain", "chats/short"}
    losses = [inference.templates[name].validation_loss_per_byte or 0 for name in inference.order]
    assert 0 < losses[0] < losses[1], "the template with the lower validation loss comes first"
    by_id = {row["row_id"]: row for row in rendered() if row["template_id"] == "short"}
    examples = inference.templates["chats/short"].examples
    assert len(examples) == 2 and all(by_id[one["row_id"]]["prompt"] == one["prompt"] for one in examples)
    assert Inference.read(evaluated.report("base") / "inference.json").templates["chats/short"].examples == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_predict_gives_the_predictions_alone(evaluated: Paths, tmp_path: Path, name: str) -> None:
    expected = completions(evaluated, name)
    shown = [{key: row[key] for key in ("prompt", "source", "template_id")} for row in rendered()]
    assert [row["completion"] for row in ask(evaluated, [name], shown, tmp_path)] == expected
    whole = [row | {"chat": row["text"]} for row in rendered()]
    assert [row["completion"] for row in ask(evaluated, [name], whole, tmp_path)] == expected
    for template in ("plain", "short"):
        answers = ask(evaluated, [name], raw(), tmp_path, f"chats/{template}")
        assert [row["completion"] for row in answers] == completions(evaluated, name, template)
        assert {row["template"] for row in answers} == {f"chats/{template}"}


def test_predict_gives_the_predictions_side_by_side(evaluated: Paths, tmp_path: Path) -> None:
    for names in (list(EXPERIMENTS), list(EXPERIMENTS)[::-1]):
        answers = ask(evaluated, names, raw(), tmp_path, "chats/short")
        for name in names:
            mine = [row["completion"] for row in answers if row["experiment"] == name]
            assert mine == completions(evaluated, name, "short"), name
    assert completions(evaluated, "base_2") != completions(evaluated, "base"), "the examples count"


def test_a_completion_does_not_depend_on_other_models_beside(evaluated: Paths) -> None:
    chat = PAIRS[0][0]
    alone = {name: predict_text(evaluated.root, [name], chat, None, silent, silent)[name] for name in EXPERIMENTS}
    assert predict_text(evaluated.root, list(EXPERIMENTS), chat, None, silent, silent) == alone


def test_the_template_is_named(evaluated: Paths, tmp_path: Path) -> None:
    noted: list[str] = []
    first = Inference.read(evaluated.report("base_2") / "inference.json").order[0]
    predict_text(evaluated.root, ["base_2"], "hello", None, silent, noted.append)
    assert noted == [f"base_2: template {first} (2 known), 2 examples in the prompt"]
    assert {row["template"] for row in ask(evaluated, ["base_2"], raw(), tmp_path)} == {first}


def renderer(templates: SourceTemplates) -> PromptRenderer:
    names = [f"chats/{one.id}" for one in templates.set.templates]
    inference = Inference(experiment="x", key="k", fingerprint={}, sources={"chats": templates}, order=names)
    return PromptRenderer.of("x", inference, {})


def test_a_model_without_templates_refuses_the_name_of_one() -> None:
    known = PromptRenderer.of("x", Inference(experiment="x", key="k", fingerprint={}), {})
    assert known.render_text("hello").template is None
    with pytest.raises(TunesmithError, match="x knows no template 'chats/short'; it knows: none"):
        known.render_text("hello", "chats/short")


def test_rows_are_rendered_as_the_stage_renders_them() -> None:
    """Values of the source's parameters, null and missing columns."""
    everything = PARAMS.model_copy(update={"use": None})
    known = renderer(stored(TEMPLATES, everything, "chats"))
    by_template = {row["template_id"]: row["prompt"] for row in rendered() if row["row_id"] == "r1"}
    row = raw()[0]
    del row["summary"]
    assert known.render_row(row, "1", "chats/short").text == by_template["short"]
    assert known.render_row({"dialogue": row["chat"]}, "1", "chats/short").text == by_template["short"]
    assert known.render_row(row, "1").template == "chats/short", "the first has no note"
    assert known.render_row(row | {"note": None}, "1").template == "chats/short"
    assert known.render_row(row | {"note": "new"}, "1").text == f"{row['chat']}\nNote: new"
    assert known.render_text("hello").text == "In English, in short: hello"
    with pytest.raises(TunesmithError, match="template chats/noted needs the columns chat, note; give rows"):
        known.render_text("hello", "chats/noted")
    with pytest.raises(
        TunesmithError, match="f:3: template chats/noted needs the columns chat, note; the row lacks note"
    ):
        known.render_row(row, "f:3", "chats/noted")


@pytest.mark.parametrize("empty", [None, "", " \n", float("nan")])
@pytest.mark.parametrize("column", ["chat", "prompt"])
def test_an_empty_text_is_refused_and_named(evaluated: Paths, tmp_path: Path, empty: Any, column: str) -> None:
    rows = [{"prompt": "hello"}, *({column: empty} for _ in range(12))]
    with pytest.raises(TunesmithError) as error:
        ask(evaluated, ["lora"], rows, tmp_path)
    lines = str(error.value).splitlines()
    assert len(lines) == 11 and lines[0].startswith(f"{tmp_path}/in.jsonl:2: a row must have a text; it is empty")
    assert lines[-1].endswith("2 more rows cannot be used")
    assert not (tmp_path / "out.jsonl").exists()
    with pytest.raises(TunesmithError, match="the text must not be empty"):
        predict_text(evaluated.root, ["lora"], " \n", None, silent, silent)


def test_a_table_may_have_rendered_rows_and_others(evaluated: Paths, tmp_path: Path) -> None:
    rows = [{"prompt": "Say something.", "chat": None}, {"prompt": None, "chat": "hello"}]
    answers = ask(evaluated, ["base"], rows, tmp_path)
    apart = [ask(evaluated, ["base"], [one], tmp_path)[0] for one in ({"prompt": "Say something."}, {"chat": "hello"})]
    assert [row["completion"] for row in answers] == [row["completion"] for row in apart]


def test_the_best_template_of_the_first_task_comes_first() -> None:
    templates = [Template(id=i, task=task, prompt=i + "{{dialogue}}", completion="c") for i, task in
             (("a", "sum"), ("b", "back"), ("c", "sum"), ("d", "back"))]  # fmt: skip
    source = stored(TEMPLATES.model_copy(update={"templates": templates}), PARAMS.model_copy(update={"use": None}), "s")
    used = Counter({f"s/{i}": 1 for i in "abcd"})
    losses = {"s/a": 2.0, "s/b": 0.1, "s/c": 1.0}
    assert ranked("s", source, used, losses) == ["s/c", "s/a", "s/b", "s/d"], "d was not measured"
    assert ranked("s", source, used, {"s/c": 1.0}) == ["s/a", "s/c", "s/b", "s/d"], "the order of the set"
    assert ranked("s", source, Counter({"s/d": 1, "s/a": 2}), losses) == ["s/a", "s/d"]


def test_a_model_that_was_not_evaluated_is_refused(evaluated: Paths, tmp_path: Path) -> None:
    paths = Paths(Path(shutil.copytree(evaluated.root, tmp_path / "copy")))
    path = paths.report("lora") / "inference.json"
    files.write_json(path, files.read_json(path) | {"key": "other"})
    with pytest.raises(
        TunesmithError, match=r"must belong to the model in .*; it belongs to another one; evaluate with"
    ):
        predict_text(paths.root, ["lora"], "hello", None, silent, silent)
    path.unlink()
    with pytest.raises(TunesmithError, match=r"no such file; .* evaluated first: `tunesmith run --experiment lora`"):
        predict_text(paths.root, ["lora"], "hello", None, silent, silent)


def test_what_decides_completions_has_a_hash_of_its_own(evaluated: Paths) -> None:
    written = files.read_json(evaluated.report("base_2") / "inference.json")
    use = written["templates"]["chats/plain"]
    measured = {
        **written,
        "templates": {**written["templates"], "chats/plain": use | {"validation_loss_per_byte": 9.0}},
    }
    assert identity(measured) == identity(written)
    other = {**written, "templates": {**written["templates"], "chats/plain": use | {"examples": []}}}
    assert identity(other) != identity(written) != identity(written | {"shots": 3})


def test_a_refused_model_names_the_reason(evaluated: Paths, tmp_path: Path) -> None:
    paths = Paths(Path(shutil.copytree(evaluated.root, tmp_path / "copy")))
    key = files.read_json(paths.model("lora") / "manifest.json")["key"]
    decision = {"time": "2026-01-02T03:04:05+00:00", "key": key, "accepted": False, "reasons": ["too few rows"]}
    record(paths, decision)
    noted: list[str] = []
    predict_text(paths.root, ["lora"], "hello", None, silent, noted.append)
    line = "lora: the gate refused this model at 2026-01-02T03:04:05+00:00: too few rows"
    assert line in noted
    record(paths, decision | {"time": "2026-01-03T03:04:05+00:00", "accepted": True, "reasons": []})
    noted.clear()
    predict_text(paths.root, ["lora"], "hello", None, silent, noted.append)
    assert not [line for line in noted if "gate" in line]


def loaded(paths: Paths, monkeypatch: pytest.MonkeyPatch, address: str, elsewhere: Path) -> Any:
    """The registered model, from another folder."""
    monkeypatch.setenv("TUNESMITH_ROOT", str(paths.root))
    monkeypatch.chdir(elsewhere)
    mlflow.set_tracking_uri(tracking_uri(paths.root))
    try:
        return mlflow.pyfunc.load_model(address)
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    ("address", "name"), [("models:/tunesmith@champion", "lora"), ("models:/tunesmith/2", "base_2")]
)
def test_the_registered_model_generates_as_predict_does(
    registered: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, name: str
) -> None:
    model = loaded(registered, monkeypatch, address, tmp_path)
    inputs = model.metadata.signature.inputs.inputs
    assert [column.name for column in inputs] == ["prompt", "template", "messages", "tools", "chat", "dialogue"]
    assert not any(column.required for column in inputs)
    shown = pd.DataFrame([{"prompt": row["prompt"]} for row in rendered() if row["template_id"] == "plain"])
    assert model.predict(shown.assign(template="chats/plain")) == completions(registered, name, "plain")
    for template in ("plain", "short"):
        expected = completions(registered, name, template)
        rows = pd.DataFrame(raw()).drop(columns="summary").assign(template=f"chats/{template}")
        assert model.predict(rows) == expected
        answers = ask(registered, [address], raw(), tmp_path, f"chats/{template}")
        assert [row["completion"] for row in answers] == expected
    for row in ({"prompt": "hello"}, {"messages": [{"role": "user", "content": "hello"}]}):
        alone = model.predict(pd.DataFrame([row]))
        assert alone == [ask(registered, [name], [row], tmp_path)[0]["completion"]]
    for frame in (pd.DataFrame({"chat": ["hello", None]}), pd.DataFrame({"prompt": ["hello", " "]})):
        with pytest.raises(MlflowException, match="row 2: a row must have a text; it is empty"):
            model.predict(frame)
    with pytest.raises(MlflowException, match=r"row 1: template chats/.* needs the columns chat"):
        model.predict(pd.DataFrame({"summary": ["hello"]}))


def test_runs_show_how_they_were_evaluated(registered: Paths) -> None:
    client = open_store(registered.root).client
    runs = {run.data.tags["tunesmith.experiment"]: run for run in client.search_runs(["1"])}
    assert [runs[name].data.params["shots"] for name in ("base", "base_2")] == ["0", "2"]
    params = {
        name: read_yaml(Path(client.download_artifacts(run.info.run_id, "params.yaml"))) for name, run in runs.items()
    }
    order = Inference.read(registered.report("lora") / "inference.json").order
    assert params["lora"]["evaluation.templates"] == order
    assert params["base"]["evaluation.generation"]["max_new_tokens"] == 12
    hashes = [runs[name].data.tags["tunesmith.inference_sha256"] for name in ("base", "base_2")]
    assert hashes[0] != hashes[1]
    assert hashes == [params[name]["evaluation.inference_sha256"] for name in ("base", "base_2")]


def test_another_way_of_generating_is_another_run(registered: Paths, tmp_path: Path) -> None:
    """A registered version points at the model in its run, which must not begin to generate differently."""
    paths = Paths(Path(shutil.copytree(registered.root, tmp_path / "copy")))
    own_artifacts(paths.root)
    before = {one.experiment: one.run_id for one in sync(paths)}
    path = paths.report("lora") / "inference.json"
    written = files.read_json(path)
    files.write_json(path, written | {"generation": written["generation"] | {"max_new_tokens": 3}})
    after = {one.experiment: one.run_id for one in sync(paths)}
    assert after["lora"] != before["lora"] and after["base"] == before["base"]
    params = read_yaml(Path(open_store(paths.root).client.download_artifacts(after["lora"], "params.yaml")))
    assert params["evaluation.generation"]["max_new_tokens"] == 3
    assert {one.experiment: one.run_id for one in sync(paths)} == after


def test_a_model_registered_before_still_generates(
    registered: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its folder has no ``inference.json`` and no canary: rendered prompts, and the templates of its training."""
    client = open_store(registered.root).client
    version = client.get_model_version_by_alias("tunesmith", "champion")
    old = Path(shutil.copytree(client.download_artifacts(version.run_id, "model"), tmp_path / "old"))
    for name in ("inference.json", "canary.json"):
        (old / name).unlink()
    monkeypatch.setenv("TUNESMITH_ROOT", str(registered.root))
    answerer = mlflow.pyfunc.load_model(str(old))
    answers = answerer.predict(pd.DataFrame({"prompt": ["hello"]}))
    assert answers == answerer.predict(pd.DataFrame({"dialogue": ["hello"]})) and len(answers) == 1


@pytest.mark.parametrize("rooms", [False, True])
def test_a_model_stored_by_an_earlier_version_loads(
    registered: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rooms: bool
) -> None:
    """Its ``serving_model.py`` imports old names, in a process that has imported the code of today."""
    client = open_store(registered.root).client
    version = client.get_model_version_by_alias("tunesmith", "champion")
    old = Path(shutil.copytree(client.download_artifacts(version.run_id, "model"), tmp_path / "old"))
    code = (Path(__file__).parent / "stored_serving_model.txt").read_text()
    imports = set(re.findall(r"from (tasks\S*) import", code))
    assert imports == {"tasks.errors", "tasks.stage", "tasks.evaluate.answer"}
    if rooms:  # the names after the modules had moved into rooms
        code = code.replace("tasks.errors", "tasks.core.errors").replace("tasks.stage", "tasks.core.stage")
        code = code.replace("tasks.evaluate.answer", "tasks.evaluate.as_evaluated")
    assert imports < set(MOVED)
    (old / "serving_model.py").write_text(code)
    monkeypatch.setenv("TUNESMITH_ROOT", str(registered.root))
    model = mlflow.pyfunc.load_model(str(old))
    rows = pd.DataFrame(raw()).drop(columns="summary").assign(template="chats/plain")
    assert model.predict(rows) == completions(registered, "lora", "plain")
    with pytest.raises(MlflowException, match="row 1: a row must have a text; it is empty"):
        model.predict(pd.DataFrame({"chat": [" "]}))


def test_no_champion_is_one_line(evaluated: Paths, registered: Paths) -> None:
    for paths, address in ((registered, "models:/other@champion"), (registered, "models:/tunesmith@none")):
        with pytest.raises(
            TunesmithError, match=f"{address}: MLflow at .* must have a version with this address; it has none"
        ):
            predict_text(paths.root, [address], "hello", None, silent, silent)
    with pytest.raises(
        TunesmithError, match=r"a registered model is models:/NAME@ALIAS or models:/NAME/VERSION; this is"
    ):
        predict_text(registered.root, ["models:/tunesmith"], "hello", None, silent, silent)
