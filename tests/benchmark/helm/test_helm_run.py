"""``tunesmith helm`` on a tiny model: every cell, what is kept, what a broken scenario costs."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.commands.helm import helm
from tasks.benchmark.helm import measure_choices, run
from tasks.benchmark.helm.choices import Scored
from tasks.benchmark.helm.measure_texts import measure_generation
from tasks.benchmark.helm.measured import INSTANCES
from tasks.benchmark.helm.picture import draw, goodness
from tasks.benchmark.helm.scenarios import METRICS, Wording, load_scenarios
from tasks.benchmark.helm.scenarios import draw as draw_rows
from tasks.benchmark.helm.table import below, html, markdown, number, overview, rich_table
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.inference.generate import Generated
from tasks.inference.predict import Predictor
from tasks.template.library import LIBRARY
from tests.benchmark.helm.conftest import PARAMS
from tests.benchmark.helm.data_folder import put, write

SCENARIOS = load_scenarios()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def measured(trained: Paths, data: Path) -> list[dict[str, Any]]:
    return run.measure(["base", "full"], SCENARIOS, data, PARAMS, trained)


def test_every_cell_is_a_value_with_interval_or_a_reason(measured: list[dict[str, Any]]) -> None:
    for found in measured:
        assert list(found["scenarios"]) == list(SCENARIOS)
        for name, entry in found["scenarios"].items():
            assert list(entry["cells"]) == list(METRICS)
            for metric, cell in entry["cells"].items():
                if "na" in cell:
                    assert cell["na"]
                    continue
                assert metric not in SCENARIOS[name].na
                assert cell["low"] <= cell["value"] <= cell["high"]
        assert "mmlu looks for mmlu/test.jsonl" in found["scenarios"]["mmlu"]["cells"]["accuracy"]["na"]
        accuracy, robustness, fairness = (
            found["scenarios"]["sst2"]["cells"][metric]["value"] for metric in ("accuracy", "robustness", "fairness")
        )
        assert max(robustness, fairness) <= accuracy, "the worst wording is no better than the original"
        assert found["scenarios"]["bbq"]["details"]["bbq"]["target_unknown"] == 0
        assert set(found["scenarios"]["crows_pairs"]["details"]["by_group"]) == {"age", "gender"}
        toxicity = found["scenarios"]["real_toxicity_prompts"]["details"]["toxicity"]
        assert toxicity["toxic prompt"]["n"] == toxicity["nontoxic prompt"]["n"] == 4
    assert [found["experiment"] for found in measured] == ["base", "full"]
    assert list(measured[0]["memorisation"]) == ["demo"]


def test_instances_are_written_with_all_wordings(trained: Paths, measured: list[dict[str, Any]]) -> None:
    rows = files.read_rows(trained.helm / "base" / "sst2.parquet")
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
    worst -= {row["instance"] for row in rows if row["variant"] in ("typos", "spaces") and not row["score"]}
    assert measured[0]["scenarios"]["sst2"]["cells"]["robustness"]["value"] <= len(worst) / 8
    assert files.read_json(trained.helm / "base" / "results.json")["key"] == measured[0]["key"]


def test_worst_case_by_hand(base: Predictor, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is right as long as the text says ``He``: lower case and swapped gender make it wrong."""

    def score(predictor: Predictor, questions: Any, budget: int) -> Any:
        logprobs = [[float((i == q.answer) == ("He " in q.prompt)) for i in range(2)] for q in questions]
        return Scored(logprobs, [0.1] * len(questions), [1] * len(questions))

    monkeypatch.setattr(measure_choices, "score_questions", score)
    texts = ["He slept", "he slept", "He and she", "nobody"]  # right, wrong, right, wrong
    put(data, "worst/dev.jsonl", [{"sentence": text, "label": i % 2} for i, text in enumerate(texts)])
    scenario = SCENARIOS["sst2"].model_copy(update={"files": ["worst/dev.jsonl"]})
    wording = Wording("sst2", scenario, LIBRARY)
    found = measure_choices.measure_choice(scenario, draw_rows("sst2", scenario, data, 8, 0), wording, base, PARAMS)
    assert found.cells["accuracy"]["value"] == 0.5
    assert found.cells["robustness"]["value"] == 0, "lower case takes the capital of both"
    # "He slept" becomes "She slept"; "He and she" becomes "She and he": both wrong.
    assert found.cells["fairness"]["value"] == 0
    kept = {name: entry["kept"]["value"] for name, entry in found.details["fairness"].items()}
    assert kept == {"dialect": 1, "gender": 0, "names_black": 1, "names_hispanic": 1, "names_asian": 1}
    changed = {name: entry["changed_rows"] for name, entry in found.details["fairness"].items()}
    assert changed == {"dialect": 1, "gender": 2, "names_black": 0, "names_hispanic": 0, "names_asian": 0}
    assert found.details["robustness"]["expansions"]["changed_rows"] == 0
    # Confidence is e / (e + 1) in every row, half of them right.
    assert found.cells["calibration"]["value"] == pytest.approx(math.e / (math.e + 1) - 0.5)


def test_what_is_measured_is_not_measured_again(
    trained: Paths, data: Path, measured: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr(Predictor, "load", refuse)
    again = run.measure(["base"], SCENARIOS, data, PARAMS, trained)
    assert again[0]["scenarios"] == measured[0]["scenarios"]
    with pytest.raises(AssertionError, match="loaded again"):
        run.measure(["base"], SCENARIOS, data, PARAMS.model_copy(update={"rows": 5}), trained)


def test_a_broken_scenario_loses_no_other(trained: Paths, data: Path, tmp_path: Path) -> None:
    paths = Paths(Path(shutil.copytree(trained.root, tmp_path / "copy")))
    broken = Path(shutil.copytree(data, tmp_path / "data"))
    put(broken, "glue_sst2/dev.jsonl", [{"text": "no sentence", "label": 1}])
    found = run.measure(["base"], load_scenarios(["sst2", "crows_pairs"]), broken, PARAMS, paths)
    assert "needs the column 'sentence'" in found[0]["scenarios"]["sst2"]["error"]
    assert found[0]["scenarios"]["sst2"]["cells"]["accuracy"]["na"].startswith("failed: ")
    assert "value" in found[0]["scenarios"]["crows_pairs"]["cells"]["bias"]
    assert overview(found, 0.3).failures[0].startswith("base: sst2: ")


def test_an_empty_generation_is_counted(base: Predictor, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "generate", lambda self, prompts: [Generated("", 1, True) for _ in prompts])
    scenario = SCENARIOS["dialogsum"]
    wording = Wording("dialogsum", scenario, LIBRARY)
    instances = draw_rows("dialogsum", scenario, data, 4, 0)
    found = measure_generation(scenario, instances, wording, base, PARAMS)
    assert found.details["empty"] == 4
    assert found.cells["toxicity"]["value"] == 0 and found.cells["accuracy"]["value"] == 0
    assert found.cells["bias"] == {"na": "no generation mentions a word of the gender lists"}


def test_nothing_to_measure_is_told(trained: Paths, data: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"scenario sst2 looks for .*\n.*scenario boolq"):
        run.measure(["base"], SCENARIOS, tmp_path, PARAMS, trained)
    with pytest.raises(TunesmithError, match="experiment 'other' has no model"):
        run.measure(["other"], SCENARIOS, data, PARAMS, trained)


def test_the_command_writes_table_and_picture(
    trained: Paths, data: Path, measured: list[dict[str, Any]], tmp_path: Path
) -> None:
    paths = Paths(Path(shutil.copytree(trained.root, tmp_path / "copy")))
    paths.params.mkdir()
    write_yaml(paths.params / "evaluation.yaml", {"compare": {"baseline": "base"}, "helm": PARAMS.model_dump()})
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
    assert goodness("bias", "pairs", {"value": 0.5}) == 1 and goodness("bias", "pairs", {"value": 0.0}) == 0
    assert goodness("bias", "bbq", {"value": -0.25}) == 0.75
    assert goodness("bias", "generation", {"value": 0.5}) == 0
    assert goodness("efficiency", "choice", {"value": 1.0}) is None and goodness("bias", "bbq", {"na": "x"}) is None
    for name in ("a.png", "b.png"):
        draw(measured, 0.3, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
