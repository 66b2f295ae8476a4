"""Parameters: what is wrong in a YAML file is named by file, key or line, with the remedy, all at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.core.errors import TunesmithError
from tasks.core.params import Params, load, merge, parse, read_yaml, write_yaml
from tasks.core.remedies import remedy_for
from tasks.evaluate.params import EvaluateParams
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.params import MixtureParams
from tasks.resolve.params import Experiment
from tasks.split.params import SplitParams
from tasks.template.params import TemplateParams
from tasks.tuning import methods
from tasks.tuning.params import LoopParams

LORA = methods.named("lora").params


def yaml(folder: Path, text: str | bytes) -> Path:
    path = folder / "p.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def error_of(path: Path, model: type[Params] = LoopParams, *keys: str) -> str:
    with pytest.raises(TunesmithError) as caught:
        load(model, path, *keys)
    return str(caught.value)


def test_a_number_with_an_exponent_is_a_number(tmp_path: Path) -> None:
    params = load(LoopParams, yaml(tmp_path, "learning_rate: 2e-3\nschedule: linear\n"))
    assert (params.learning_rate, params.epochs) == (0.002, 1)


def test_a_whole_number_is_accepted_as_a_fraction(tmp_path: Path) -> None:
    assert load(LoopParams, yaml(tmp_path, "learning_rate: 1\n")).learning_rate == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "learning_rat: 1.0\nlearning_rate: 1.0",
            "a.learning_rat: unknown key; known here: accumulation, activation_checkpointi",
        ),
        ("epochs: 2", "a.learning_rate: this key is required; add it"),
        ("learning_rate: '2e-3'", "a.learning_rate: input should be a valid number; it is '2e-3'"),
        ("learning_rate: 1.0\nepochs: true", "a.epochs: input should be a valid integer; it is True"),
        ("learning_rate: 1.0\nepochs: 1.5", "a.epochs: input should be a valid integer"),
        ("learning_rate: 1.0\nepochs: '2'", "a.epochs: input should be a valid integer; it is '2'"),
        ("learning_rate: 0.0", "a.learning_rate: input should be greater than 0; it is 0.0"),
        (
            "learning_rate: 1.0\nschedule: cosin",
            "a.schedule: input should be 'cosine', 'linear' or 'constant'; it is 'co",
        ),
    ],
)
def test_a_wrong_value_is_one_line_with_its_key(tmp_path: Path, text: str, expected: str) -> None:
    path = yaml(tmp_path, "a:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    message = error_of(path, LoopParams, "a")
    assert message.startswith(f"{path}: {expected}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("model", "data", "key", "value", "remedy"),
    [
        (LORA, {"base_model": "./base"}, "base_model", "'./base'", "{name: ./base}"),
        (Experiment, {"base_model": "a/b"}, "base_model", "'a/b'", "{name: a/b}"),
        (Experiment, {"launcher": 2}, "launcher", "2", "{processes: 2}"),
        (Experiment, {"lora": 8}, "lora", "8", "{rank: 8}"),
        (Experiment, {"training": 2e-3}, "training", "0.002", "{learning_rate: 0.002}"),
        (Experiment, {"training": 2}, "training", "2", "{epochs: 2}"),
        (Experiment, None, "", "empty", "{method: METHOD, mixture: MIXTURE}"),
        (EvaluateParams, {"generation": 64}, "generation", "64", "{max_new_tokens: 64}"),
        (SplitParams, "hash", "", "'hash'", "{by: hash}"),
        (SplitParams, {"limit": 300}, "limit", "300", "{train: 300}"),
        (SplitParams, {"stratify": "label"}, "stratify", "'label'", "[label]"),
        (TemplateParams, "t: x", "", "'t: x'", "{set: 't: x'}"),
        (TemplateParams, {"set": "t", "columns": "text"}, "columns", "'text'", "{KEY: text}"),
        (MixtureParams, "demo", "", "'demo'", "{sources: {demo: {}}}"),
        (MixtureParams, {"sources": ["a", "b"]}, "sources", "['a', 'b']", "{a: {}, b: {}}"),
        (MixtureParams, {"sources": {"a": 5}}, "sources.a", "5", "{limit: 5}"),
        (EvaluationSetParams, {"sources": "demo"}, "sources", "'demo'", "[demo]"),
    ],
)
def test_a_plain_value_where_a_mapping_is_wanted_is_shown_inside_it(
    model: type[Params], data: Any, key: str, value: str, remedy: str
) -> None:
    if isinstance(data, dict) and model in (LORA, Experiment):
        data |= {"method": "lora", "mixture": "m"}
    with pytest.raises(TunesmithError) as error:
        parse(model, data, "f.yaml")
    shape = "a list" if remedy.startswith("[") else "a mapping of keys to values"
    where = f"f.yaml: {key}" if key else "f.yaml"
    assert f"{where}: must be {shape}; it is {value}; write `{remedy}`" in str(error.value).splitlines()


def test_the_suggested_value_is_accepted_if_no_other_key_is_required() -> None:
    fields = [
        field.annotation
        for model in (LORA, EvaluateParams, SplitParams, MixtureParams, EvaluationSetParams)
        for field in model.model_fields.values()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Params)
    ]
    shown = [(model, remedy_for(model, value)) for model in fields for value in (3, 0.5, "text")]
    accepted = [
        model.model_validate(YAML(typ="safe").load(remedy.split("`")[1]))
        for model, remedy in shown
        if "`" in remedy and not re.search("[A-Z]", remedy)
    ]
    assert len(accepted) >= 8


def test_the_marks_of_a_merge_conflict_are_named(tmp_path: Path) -> None:
    path = yaml(tmp_path, "a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n")
    assert error_of(path) == (f"{path}:2: the marks of a merge conflict begin here; keep one side and remove the marks")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    path = yaml(tmp_path, "epochs: 0\nschedul: x\nprecision: fp16\n")
    keys = [line.split(": ")[1] for line in error_of(path).splitlines()]
    assert sorted(keys) == ["epochs", "learning_rate", "precision", "schedul"]


def test_an_unknown_nested_key_is_named_with_the_known_keys(tmp_path: Path) -> None:
    path = yaml(tmp_path, "generation: {max_tokens: 5}\n")
    expected = (
        f"{path}: generation.max_tokens: unknown key; known here: max_new_tokens, num_beams, precision, token_budget"
    )
    assert error_of(path, EvaluateParams) == expected


def test_a_missing_section_is_named_with_the_existing_ones(tmp_path: Path) -> None:
    path = yaml(tmp_path, "sources:\n  one: {}\n  two: {}\n")
    assert (
        error_of(path, EvaluateParams, "sources", "three") == f"{path}: sources.three: no such key; there is: one, two"
    )
    assert "source: no such key; there is: sources" in error_of(path, EvaluateParams, "source")


def test_an_empty_section_takes_the_defaults(tmp_path: Path) -> None:
    assert load(EvaluateParams, yaml(tmp_path, "evaluate:\n"), "evaluate") == EvaluateParams()
    assert read_yaml(yaml(tmp_path, "# nothing\n")) == {}


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, 'found duplicate key "b" with value "3" (original value: "1")'),
        ("a: !!python/object:os.system 1\n", 1, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "but found another document"),
    ],
)
def test_broken_yaml_is_named_by_line(tmp_path: Path, text: str, line: int, expected: str) -> None:
    path = yaml(tmp_path, text)
    message = error_of(path)
    assert message.startswith(f"{path}:{line}: ")
    assert expected in message
    assert "\n" not in message


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    assert error_of(yaml(tmp_path, b"a: caf\xe9\n")).endswith("not UTF-8 at byte 6; save the file as UTF-8")


def test_a_control_character_is_refused(tmp_path: Path) -> None:
    message = error_of(yaml(tmp_path, "a: \x00\n"))
    assert "not valid YAML" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["- 1\n", "word\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "must be a mapping of keys to values" in error_of(yaml(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert error_of(tmp_path / "p.yaml").startswith(f"{tmp_path}/p.yaml: no such file")


def test_parameters_are_frozen() -> None:
    params = parse(LoopParams, {"learning_rate": 1.0}, "f")
    with pytest.raises(ValueError, match="frozen"):
        params.epochs = 2  # type: ignore[misc]


def test_merge_lays_a_patch_over_defaults_and_changes_neither() -> None:
    defaults: dict[str, Any] = {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": 3}
    patch: dict[str, Any] = {"a": {"c": {"g": 4}}, "e": [2], "f": None}
    assert merge(defaults, patch) == {"a": {"b": 1, "c": {"d": 2, "g": 4}}, "e": [2], "f": None}
    assert (defaults, patch) == (
        {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": 3},
        {"a": {"c": {"g": 4}}, "e": [2], "f": None},
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    data: dict[str, Any] = {"z": 2e-3, "a": {"t": "on", "n": None, "l": [1, "2", True]}, "é": "a: b"}
    write_yaml(tmp_path / "p.yaml", data)
    assert read_yaml(tmp_path / "p.yaml") == data
    assert list(read_yaml(tmp_path / "p.yaml")) == ["z", "a", "é"]
