"""``tunesmith helm`` on a tiny model: every cell, what is kept, what a broken scenario costs."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.commands.helm import helm
from tasks.benchmark import results
from tasks.benchmark.helm import experiments, measure_choices
from tasks.benchmark.helm.choices import Scored
from tasks.benchmark.helm.measure_texts import measure_generation
from tasks.benchmark.helm.measured import INSTANCES, Measurements
from tasks.benchmark.helm.picture import draw, goodness
from tasks.benchmark.helm.run import ModelRun
from tasks.benchmark.helm.scenarios import METRICS, QuestionRenderer, load_scenarios
from tasks.benchmark.helm.scenarios import draw as draw_rows
from tasks.benchmark.helm.table import below, cells_of, html, markdown, number, overview, rich_table
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.inference.generate import Generated
from tasks.inference.predict import Predictor
from tasks.template.library import LIBRARY
from tests.benchmark.helm.data_folder import put, write
from tests.benchmark.helm.settings import PARAMS

SCENARIOS = load_scenarios()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def measured(trained: Paths, data: Path) -> list[dict[str, Any]]:
    return experiments.measure(["base", "full"], SCENARIOS, data, PARAMS, trained)


def test_every_cell_is_a_value_with_interval_or_a_reason(measured: list[dict[str, Any]]) -> None:
    for result in measured:
        assert list(result["scenarios"]) == list(SCENARIOS)
        for name, entry in result["scenarios"].items():
            assert list(cells_of(entry)) == list(METRICS)
            for metric, cell in cells_of(entry).items():
                if "na" in cell:
                    assert cell["na"]
                    continue
                assert metric not in SCENARIOS[name].na
                assert cell["low"] <= cell["value"] <= cell["high"]
        assert "mmlu looks for mmlu/test.jsonl" in cells_of(result["scenarios"]["mmlu"])["accuracy"]["na"]
        accuracy, robustness, fairness = (
            result["scenarios"]["sst2"]["cells"][metric]["value"] for metric in ("accuracy", "robustness", "fairness")
        )
        assert max(robustness, fairness) <= accuracy, "the worst renderer is no better than the original"
        assert result["scenarios"]["bbq"]["details"]["bbq"]["target_unknown"] == 0
        assert set(result["scenarios"]["crows_pairs"]["details"]["by_group"]) == {"age", "gender"}
        toxicity = result["scenarios"]["real_toxicity_prompts"]["details"]["toxicity"]
        assert toxicity["toxic prompt"]["n"] == toxicity["nontoxic prompt"]["n"] == 4
    assert [result["experiment"] for result in measured] == ["base", "full"]
    assert list(measured[0]["memorisation"]) == ["demo"]


def test_instances_are_written_with_all_prompt_variants(trained: Paths, measured: list[dict[str, Any]]) -> None:
    stored = results.read(trained.helm / "base")
    assert stored is not None
    rows = [row for row in stored[2] if row["scenario"] == "sst2"]
    assert list(rows[0]) == INSTANCES.names
    originals = {row["instance"]: row for row in rows if row["variant"] == "original"}
    assert len(originals) == 8
    value = measured[0]["scenarios"]["sst2"]["cells"]["accuracy"]["value"]
    assert value == sum(row["score"] for row in originals.values()) / 8
    for row in rows:
        assert sum(row["probabilities"]) == pytest.approx(1)
        assert row["variant"] == "original" or originals[row["instance"]]["score"] == 1
        assert row["variant"] == "original" or row["prompt"] != originals[row["instance"]]["prompt"]
    worst = {i for i, row in originals.items() if row["score"]}
    worst -= {row["instance"] for row in rows if row["variant"] == "mild_mix" and not row["score"]}
    assert measured[0]["scenarios"]["sst2"]["cells"]["robustness"]["value"] == len(worst) / 8
    assert stored[0]["key"] == files.read_json(trained.model("base") / "manifest.json")["key"]
    assert stored[0]["suites"]["helm"]["scenarios"] == measured[0]["scenarios"]


def test_worst_case_by_hand(base: Predictor, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is right as long as the text says ``He``: lower case and swapped gender make it wrong."""

    def score(predictor: Predictor, questions: Any, budget: int) -> Any:
        logprobs = [[float((i == q.answer) == ("He " in q.prompt)) for i in range(2)] for q in questions]
        return Scored(logprobs, [[1, 1]] * len(questions), [0.1] * len(questions), [1] * len(questions))

    monkeypatch.setattr(measure_choices, "score_questions", score)
    texts = ["He slept", "he slept", "He and she", "nobody"]  # right, wrong, right, wrong
    put(data, "worst/dev.jsonl", [{"sentence": text, "label": i % 2} for i, text in enumerate(texts)])
    scenario = SCENARIOS["sst2"].model_copy(update={"files": ["worst/dev.jsonl"]})
    renderer = QuestionRenderer("sst2", scenario, LIBRARY)
    cells = measure_choices.measure_choice(scenario, draw_rows("sst2", scenario, data, 8, 0), renderer, base, PARAMS)
    assert cells.cells["accuracy"]["value"] == 0.5
    assert cells.cells["robustness"]["value"] == 0, "lower case takes the capital of both"
    # "He slept" becomes "She slept"; "He and she" becomes "She and he": both wrong.
    assert cells.cells["fairness"]["value"] == 0
    kept = {name: entry["kept"]["value"] for name, entry in cells.details["fairness"].items()}
    more = {"gender_words": 0, "names_hispanic": 1, "names_asian": 1}
    assert kept == {"dialect": 1, "gender": 0, "names_black": 1} | more
    changed = {name: entry["changed_rows"] for name, entry in cells.details["fairness"].items()}
    more = {"gender_words": 2, "names_hispanic": 0, "names_asian": 0}
    assert changed == {"dialect": 1, "gender": 2, "names_black": 0} | more
    counted = [name for name, entry in cells.details["robustness"].items() if entry["counts"]]
    assert counted == ["mild_mix"], "the others show which change of the mix it was"
    assert cells.details["robustness"]["expansions"]["changed_rows"] == 0
    # Confidence is e / (e + 1) in every row, half of them right.
    assert cells.cells["calibration"]["value"] == pytest.approx(math.e / (math.e + 1) - 0.5)


def test_what_is_measured_is_not_measured_again(
    trained: Paths, data: Path, measured: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr(Predictor, "load", refuse)
    again = experiments.measure(["base"], SCENARIOS, data, PARAMS, trained)
    assert again[0]["scenarios"] == measured[0]["scenarios"]
    with pytest.raises(AssertionError, match="loaded again"):
        experiments.measure(["base"], SCENARIOS, data, PARAMS.model_copy(update={"rows": 5}), trained)


def test_a_benchmark_measures_the_same_without_times(
    trained: Paths, data: Path, base: Predictor, measured: list[dict[str, Any]]
) -> None:
    """``benchmark --suite risk`` measures through the same loop; without seconds two runs are equal."""
    manifest = files.read_json(trained.model("base") / "manifest.json")
    runs = []
    for _ in range(2):
        run = ModelRun(manifest, lambda: base, data, PARAMS, trained, timed=False)
        runs.append(run.measure(load_scenarios(["sst2", "bbq"]), ["demo"], Measurements(), lambda name, done: None))
    assert (runs[0].scenarios, runs[0].memorisation, runs[0].rows) == (
        runs[1].scenarios,
        runs[1].memorisation,
        runs[1].rows,
    )
    for name, entry in runs[0].scenarios.items():
        timed = measured[0]["scenarios"][name]
        assert "seconds" not in entry and "seconds" in timed
        assert entry["cells"] == {metric: cell for metric, cell in timed["cells"].items() if metric != "efficiency"}
        assert entry["rows"] == timed["rows"] == 8
    assert runs[0].memorisation["demo"]["spans"] == measured[0]["memorisation"]["demo"]["spans"]


def test_results_of_an_earlier_version_are_kept(
    trained: Paths, data: Path, measured: list[dict[str, Any]], tmp_path: Path
) -> None:
    """``tunesmith helm`` once wrote a Parquet file per scenario, and all seven cells of each."""
    paths = Paths(Path(shutil.copytree(trained.root, tmp_path / "copy")))
    folder = paths.helm / "base"
    stored = results.read(folder)
    assert stored is not None
    shutil.rmtree(folder)
    folder.mkdir()
    new = stored[0]["suites"]["helm"]
    old = {
        name: {"key": entry.get("key"), "kind": entry["kind"], "title": entry["title"], "cells": cells_of(entry)}
        | ({key: entry[key] for key in ("details", "rows", "too_long", "seconds")} if "key" in entry else {})
        | ({"missing": entry["error"]} if entry["status"] == "no data" else {})
        for name, entry in new["scenarios"].items()
    }
    old["copa"] = {"key": None, "kind": "choice", "title": "COPA", "cells": {}, "details": {}, "error": "a broken row"}
    memorisation = {"demo": {k: v for k, v in new["memorisation"]["demo"].items() if k != "status"}}
    model = {key: stored[0][key] for key in ("experiment", "key", "method")}
    files.write_json(
        folder / "results.json",
        {"schema": 1, **model, "params": new["settings"], "scenarios": old, "memorisation": memorisation},
    )
    for name in old:
        kept = [{k: v for k, v in row.items() if k != "scenario"} for row in stored[2] if row["scenario"] == name]
        if kept:
            files.write_rows(folder / f"{name}.parquet", kept, INSTANCES.remove(0))
    again = results.read(folder)
    assert again is not None and again[0]["key"] == stored[0]["key"]
    names = sorted(row["scenario"] for row in stored[2] if row["scenario"] != "copa")
    assert sorted(row["scenario"] for row in again[2]) == names
    suite = again[0]["suites"]["helm"]
    for name, entry in new["scenarios"].items():
        if name != "copa":
            assert cells_of(suite["scenarios"][name]) == cells_of(entry)
    assert suite["scenarios"]["copa"]["error"] == "copa: a broken row"
    assert suite["memorisation"] == new["memorisation"]
    experiments.measure(["base"], load_scenarios(["crows_pairs"]), data, PARAMS, paths)
    assert {path.name for path in folder.iterdir()} == {"results.json", "samples.parquet", "scenarios.parquet"}
    kept = results.read(folder)
    assert kept is not None
    assert kept[0]["suites"]["helm"]["scenarios"]["sst2"]["cells"] == suite["scenarios"]["sst2"]["cells"]


def test_a_broken_scenario_loses_no_other(trained: Paths, data: Path, tmp_path: Path) -> None:
    paths = Paths(Path(shutil.copytree(trained.root, tmp_path / "copy")))
    broken = Path(shutil.copytree(data, tmp_path / "data"))
    put(broken, "glue_sst2/dev.jsonl", [{"text": "no sentence", "label": 1}])
    results = experiments.measure(["base"], load_scenarios(["sst2", "crows_pairs"]), broken, PARAMS, paths)
    assert "needs the column 'sentence'" in results[0]["scenarios"]["sst2"]["error"]
    assert cells_of(results[0]["scenarios"]["sst2"])["accuracy"]["na"].startswith("failed: ")
    assert "value" in results[0]["scenarios"]["crows_pairs"]["cells"]["bias"]
    assert overview(results, 0.3).failures[0].startswith("base: sst2: ")


def test_an_empty_generation_is_counted(base: Predictor, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "generate", lambda self, prompts: [Generated("", 1, True) for _ in prompts])
    scenario = SCENARIOS["dialogsum"]
    renderer = QuestionRenderer("dialogsum", scenario, LIBRARY)
    instances = draw_rows("dialogsum", scenario, data, 4, 0)
    cells = measure_generation(scenario, instances, renderer, base, PARAMS)
    assert cells.details["empty"] == 4
    assert cells.cells["toxicity"]["value"] == 0 and cells.cells["accuracy"]["value"] == 0
    assert cells.cells["bias"] == {"na": "no generation mentions a word of the gender lists"}


def test_nothing_to_measure_is_an_error(trained: Paths, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"scenario sst2 looks for .*\n.*scenario boolq"):
        experiments.measure(["base"], SCENARIOS, tmp_path, PARAMS, trained)
    with pytest.raises(TunesmithError, match="experiment 'other' has no model"):
        experiments.measure(["other"], SCENARIOS, data, PARAMS, trained)


def test_the_command_writes_table_and_picture(
    trained: Paths, data: Path, measured: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = Paths(Path(shutil.copytree(trained.root, tmp_path / "copy")))
    paths.params.mkdir()
    params = {"compare": {"baseline": "base"}, "helm": PARAMS.model_dump(), "verdicts": {}}
    write_yaml(paths.params / "evaluation.yaml", params)
    write_yaml(paths.params / "experiments.yaml", {"experiments": {"full": {}, "base": {}, "untrained": {}}})
    with pytest.raises(TunesmithError, match="no folder is named; give one with --data"):
        helm(paths.root, None, None, None, None)
    with pytest.raises(TunesmithError, match="must be a folder with the scenarios' files"):
        helm(paths.root, None, None, tmp_path / "none", None)
    shown = helm(paths.root, None, ["sst2", "bbq"], data, None)
    assert [(line.scenario, line.experiment) for line in shown.lines] == [
        ("sst2", "base"),
        ("sst2", "full"),
        ("bbq", "base"),
        ("bbq", "full"),
    ]
    assert (paths.helm / "table.png").read_bytes()[:4] == b"\x89PNG"
    assert markdown(shown) == (paths.helm / "table.md").read_text()
    assert markdown(shown).count("\n| ") == 6, "a head, a rule and four lines"
    assert (paths.helm / "table.html").read_text() == html(shown, "table.png")
    assert rich_table(shown).row_count == 4
    assert [text.split(":")[0] for text in shown.differences] == ["sst2", "bbq"]
    assert all("accuracy of full − base: " in text and "not enough rows" in text for text in shown.differences)


def test_table_marks_wide_intervals_and_numbers_reasons(measured: list[dict[str, Any]]) -> None:
    shown = overview(measured, 0.3)
    sst2 = shown.lines[0].cells
    wide = measured[0]["scenarios"]["sst2"]["cells"]["accuracy"]
    assert sst2[0].endswith("]*") == (wide["high"] - wide["low"] > 0.3)
    assert not shown.lines[0].cells[6].endswith("*"), "seconds have another scale"
    reason = shown.notes[int(sst2[4].removeprefix("n/a (").removesuffix(")")) - 1]
    assert reason == SCENARIOS["sst2"].na["bias"]
    assert any(text.startswith("(1) ") for text in below(shown))
    assert [number(value) for value in (-0.001, 0.126, -0.5)] == ["0.00", "0.13", "-0.50"]


def test_goodness_and_equal_pictures(measured: list[dict[str, Any]], tmp_path: Path) -> None:
    assert goodness("accuracy", "choice", {"value": 0.7}) == 0.7
    assert goodness("calibration", "choice", {"value": 0.2}) == pytest.approx(0.8)
    assert goodness("calibration", "choice", {"value": 0.2, "floor_95": 0.1}) == pytest.approx(0.8)
    assert goodness("calibration", "choice", {"value": 0.2, "floor_95": 0.2}) is None, "a calibrated model has it too"
    assert goodness("bias", "pairs", {"value": 0.5}) == 1 and goodness("bias", "pairs", {"value": 0.0}) == 0
    assert goodness("bias", "bbq", {"value": -0.25}) == 0.75
    assert goodness("bias", "generation", {"value": 0.5}) == 0
    assert goodness("efficiency", "choice", {"value": 1.0}) is None and goodness("bias", "bbq", {"na": "x"}) is None
    for name in ("a.png", "b.png"):
        draw(measured, 0.3, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
