"""Scenarios: which rows are read, how prompts are rendered, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.benchmark.helm.scenarios import METRICS, QuestionRenderer, draw, find_files, load_scenarios
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tasks.template.library import LIBRARY
from tests.benchmark.helm.data_folder import bbq, put, write, write_every

SCENARIOS = load_scenarios()

PUBLISHED = {
    "sst2": ["negative", "positive"],
    "boolq": ["no", "yes"],
    "rte": ["yes", "no"],
    "copa": ["It was icy.", "It was hot."],
    "mmlu": ["C", "A"],
    "bbq": ["Not known", "The grandma"],
    "real_toxicity_prompts": [],
    "dialogsum": [],
}
"""Scenario → right answers of the first two rows that ``write_every`` writes; none where a text is generated."""


def test_every_metric_of_every_scenario_is_measured_or_has_a_reason() -> None:
    assert len(SCENARIOS) == 9
    for scenario in SCENARIOS.values():
        assert set(scenario.na) <= set(METRICS)
        assert all(len(reason) > 10 for reason in scenario.na.values())
    assert list(load_scenarios(["bbq", "sst2"])) == ["sst2", "bbq"]
    with pytest.raises(TunesmithError, match="no scenario 'sst3'; there are: sst2, boolq"):
        load_scenarios(["sst3"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"na": {"bias": "none"}}, "does not measure toxicity; say why under `na`"),
        ({"perturb": []}, "needs `perturb`"),
        ({"na": {"bias": "none", "toxicity": "none", "beauty": "none"}}, "no metric 'beauty'"),
    ],
)
def test_a_scenario_with_missing_or_unknown_keys_is_refused(
    tmp_path: Path, changes: dict[str, object], error: str
) -> None:
    entry = SCENARIOS["sst2"].model_dump(by_alias=True) | changes
    write_yaml(tmp_path / "scenarios.yaml", {"scenarios": {"sst2": entry}})
    assert read_yaml(tmp_path / "scenarios.yaml")
    with pytest.raises(TunesmithError, match=error):
        load_scenarios(None, tmp_path / "scenarios.yaml")


def test_rows_about_one_passage_or_of_one_block_are_one_group(tmp_path: Path) -> None:
    data = write_every(tmp_path)
    groups = {
        name: [one.group for one in draw(name, SCENARIOS[name], data, 12, 0)] for name in ("boolq", "bbq", "sst2")
    }
    assert len(set(groups["boolq"])) == 1 and len(groups["boolq"]) == 2, "both ask about the kettle"
    assert [len(set(groups["bbq"][i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1] and len(set(groups["bbq"])) == 3
    assert len(set(groups["sst2"])) == 12
    rows = [bbq(number, True, False) | {"question_index": number // 8} for number in range(16)]
    put(data, "bbq/Age.jsonl", rows)
    assert len({one.group for one in draw("bbq", SCENARIOS["bbq"], data, 16, 0)}) == 2, "BBQ fills few templates"


def test_questions_are_rendered_with_labels_of_any_type(tmp_path: Path) -> None:
    data = write(tmp_path)
    renderer = QuestionRenderer("sst2", SCENARIOS["sst2"], LIBRARY)
    instances = draw("sst2", SCENARIOS["sst2"], data, 12, 0)
    questions = [renderer.question(instance) for instance in instances]
    assert questions[0].prompt == "Is the sentiment of this text positive or negative?\n\na charming film"
    assert questions[0].choices == ("negative", "positive")
    assert [question.answer for question in questions] == [0, 1] * 6  # the file has "0" and "1"
    changed = renderer.question(instances[0], {**instances[0].values, "text": "a dull film"})
    assert changed.prompt.endswith("a dull film") and changed.answer == 0
    copa = draw("copa", SCENARIOS["copa"], data, 5, 0)[1]
    copa_question = QuestionRenderer("copa", SCENARIOS["copa"], LIBRARY).question(copa)
    assert (copa_question.choices, copa_question.answer) == (("It was icy.", "It was hot."), 1)


def test_drawn_rows_are_seeded_whole_blocks_of_each_file(tmp_path: Path) -> None:
    data = write(tmp_path)
    bbq = draw("bbq", SCENARIOS["bbq"], data, 8, 0)
    lines = [int(instance.id.split(":")[1]) - 1 for instance in bbq]
    assert len(lines) == 8
    assert all(lines[i] % 4 == 0 and lines[i : i + 4] == list(range(lines[i], lines[i] + 4)) for i in (0, 4))
    prompts = draw("real_toxicity_prompts", SCENARIOS["real_toxicity_prompts"], data, 7, 0)
    assert [i.id.split(":")[0].split("/")[1] for i in prompts] == ["nontoxic.jsonl"] * 3 + ["toxic.jsonl"] * 4
    again, other = (draw("sst2", SCENARIOS["sst2"], data, 5, seed) for seed in (0, 1))
    assert again == draw("sst2", SCENARIOS["sst2"], data, 5, 0) != other
    assert len(draw("sst2", SCENARIOS["sst2"], data, 99, 0)) == 12


def test_bad_files_are_named(tmp_path: Path) -> None:
    data = write(tmp_path)
    with pytest.raises(
        TunesmithError, match=r"scenario boolq looks for superglue_boolq/validation.jsonl or .* put the validation"
    ):
        draw("boolq", SCENARIOS["boolq"], data, 4, 0)
    for name in ("train", "validation"):
        put(data, f"superglue_boolq/{name}.jsonl", [{"passage": name, "question": "is it", "label": True}] * 4)
    assert {i.values["passage"] for i in draw("boolq", SCENARIOS["boolq"], data, 4, 0)} == {"validation"}
    put(data, "glue_sst2/dev.jsonl", [{"text": "fine", "label": 1}])
    with pytest.raises(
        TunesmithError, match=r"dev.jsonl:1: scenario sst2 needs the column 'sentence'; the row has label"
    ):
        draw("sst2", SCENARIOS["sst2"], data, 4, 0)
    put(data, "bbq/Age.jsonl", [{"context": "a", "question": "b", "ans0": "c", "ans1": "d", "ans2": "e", "label": 0}])
    with pytest.raises(TunesmithError, match="needs the column 'context_condition'"):
        draw("bbq", SCENARIOS["bbq"], data, 4, 0)
    put(data, "real_toxicity_prompts/toxic.jsonl", [{"prompt": {"text": "a"}}])
    with pytest.raises(TunesmithError, match=r"needs the column 'prompt.toxicity'"):
        draw("real_toxicity_prompts", SCENARIOS["real_toxicity_prompts"], data, 4, 0)


def test_a_label_that_is_none_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "glue_sst2/dev.jsonl", [{"sentence": "fine", "label": "7"}])
    renderer = QuestionRenderer("sst2", SCENARIOS["sst2"], LIBRARY)
    with pytest.raises(TunesmithError, match=r"glue_sst2/dev.jsonl:1: "):
        renderer.question(draw("sst2", SCENARIOS["sst2"], tmp_path, 4, 0)[0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_in_the_published_format_are_rendered(tmp_path: Path, name: str) -> None:
    instances = draw(name, SCENARIOS[name], write_every(tmp_path), 4, 0)
    renderer = QuestionRenderer(name, SCENARIOS[name], LIBRARY)
    questions = [renderer.question(instance) for instance in instances]
    assert all(question.prompt for question in questions)
    if answers := PUBLISHED[name]:
        assert [question.choices[question.answer] for question in questions[:2]] == answers


def test_every_scenario_has_files_and_is_rendered_above(tmp_path: Path) -> None:
    write_every(tmp_path)
    assert all(find_files(scenario, tmp_path) for scenario in SCENARIOS.values())
    assert set(PUBLISHED) == {name for name, scenario in SCENARIOS.items() if scenario.set}
