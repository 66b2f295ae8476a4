"""Imports: promptsource's format and FLAN-style lists, by value, and a reason for each refusal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.template.importing.formats import to_jinja
from tasks.template.importing.write import Imported, import_templates
from tasks.template.library import TemplateSet, load_set
from tests.template.rendering import Rows, by_id, rendered

PROMPTSOURCE = """\
dataset: toy
subset: pairs
templates:
  1d1d: !Template
    answer_choices: No ||| Yes
    id: 1d1d
    jinja: "{{first}}\\n\\nDoes it mean \\"{{second}}\\"? |||\\n{{ answer_choices[label] }}\\n"
    metadata: !TemplateMetadata
      choices_in_prompt: false
      metrics: [Accuracy, Other]
      original_task: true
    name: Does it mean?
    reference: ''
  2d2d: !Template
    answer_choices: null
    id: 2d2d
    jinja: "{% if label == 1 %}\\nSay otherwise: {{ first }}\\n|||\\n{{ second }}\\n{% endif %}"
    metadata: !TemplateMetadata {choices_in_prompt: null, metrics: [BLEU, ROUGE], original_task: false}
    name: otherwise
    reference: ''
  3d3d: !Template
    answer_choices: '{{first}} ||| {{second}}'
    id: 3d3d
    jinja: "{% set which = ['longer', 'shorter'] | choice %}Which is {{which}}: {{first}} or {{second}}?
      ||| {% if (which == 'longer') == (first | length > second | length) %}{{ answer_choices[0] }}{% else
      %}{{ answer_choices[1] }}{% endif %}"
    metadata: !TemplateMetadata {choices_in_prompt: true, metrics: [], original_task: false}
    name: does it mean
    reference: ''
  4d4d: !Template
    answer_choices: null
    id: 4d4d
    jinja: "{% for a, b in zip(first.split(), second.split()) %}{{ a | highlight }}={{ b }} {% endfor %}|||
      {{ [label, label, 0] | most_frequent | first }}"
    metadata: !TemplateMetadata {choices_in_prompt: null, metrics: [Squad], original_task: true}
    name: "1: pairs"
    reference: ''
"""

ROW = {"first": "Ann left | early", "second": "Ann did not stay", "label": 1}


def imported(tmp_path: Path, text: str, **more: Any) -> tuple[Imported, TemplateSet]:
    path = tmp_path / "templates.yaml"
    path.write_text(text)
    folder = tmp_path / "library/own"
    result = import_templates(path, folder, **more)
    return result, load_set(f"own/{result.written[0].stem}", tmp_path / "library")


def test_a_promptsource_file_is_rendered_as_promptsource_would(tmp_path: Path) -> None:
    result, templates = imported(tmp_path, PROMPTSOURCE)
    assert result.summary() == "imported 4 of 4 templates, refused 0"
    assert (templates.name, list(templates.columns), templates.identity) == (
        "toy_pairs",
        ["first", "second", "label"],
        ["first", "second"],
    )
    rows = by_id(templates, ROW)
    assert list(rows) == ["does_it_mean", "otherwise", "does_it_mean_2", "1_pairs"]
    assert rows["does_it_mean"]["prompt"] == 'Ann left | early\n\nDoes it mean "Ann did not stay"?'
    assert (rows["does_it_mean"]["completion"], rows["does_it_mean"]["answer_choices"]) == ("Yes", ["No", "Yes"])
    assert (rows["otherwise"]["prompt"], rows["otherwise"]["completion"]) == (
        "Say otherwise: Ann left | early",
        "Ann did not stay",
    )
    picked = rows["does_it_mean_2"]
    which = picked["prompt"].split()[2].rstrip(":")
    expected = {"longer": max, "shorter": min}[which](picked["answer_choices"], key=len)
    assert picked["completion"] == expected, "prompt and completion see the same choice"
    assert (rows["1_pairs"]["prompt"], rows["1_pairs"]["completion"]) == ("Ann=Ann left=did |=not early=stay", "1")


def test_a_column_that_the_prompt_sets_anew_is_so_in_the_completion(tmp_path: Path) -> None:
    text = PROMPTSOURCE.replace('"{{first}}\\n\\nDoes', '"{% set label = 1 - label %}{{first}}\\n\\nDoes')
    assert text != PROMPTSOURCE
    rows = by_id(imported(tmp_path, text)[1], ROW)
    assert rows["does_it_mean"]["prompt"].startswith("Ann left | early\n\nDoes")
    assert rows["does_it_mean"]["completion"] == "No"


def test_metadata_is_kept(tmp_path: Path) -> None:
    _, templates = imported(tmp_path, PROMPTSOURCE, name="mine")
    kept = {t.id: (templates.task_of(t), t.metrics, t.inverted, t.extractive) for t in templates.templates}
    assert kept == {
        "does_it_mean": ("classification", ["accuracy"], False, False),
        "otherwise": ("generation", ["bleu", "rouge"], True, False),
        "does_it_mean_2": ("classification", None, True, False),
        "1_pairs": ("generation", ["exact_match", "token_f1"], False, True),
    }
    assert templates.name == "mine"


def test_an_empty_branch_drops_the_row_by_reason(tmp_path: Path) -> None:
    _, templates = imported(tmp_path, PROMPTSOURCE)
    rows, report = rendered([ROW | {"label": 0}], templates, use=["otherwise"])
    assert (rows, report.dropped) == ([], {"empty prompt": 1})


def test_the_choice_of_a_row_depends_on_seed_and_row_only(tmp_path: Path) -> None:
    _, templates = imported(tmp_path, PROMPTSOURCE)
    values: Rows = [{**ROW, "first": f"Ann {i}"} for i in range(30)]
    prompts = [row["prompt"] for row in rendered(values, templates, use=["does_it_mean_2"])[0]]
    assert prompts[:10] == [row["prompt"] for row in rendered(values[:10], templates, use=["does_it_mean_2"])[0]]
    assert {prompt.split()[2] for prompt in prompts} == {"longer:", "shorter:"}


@pytest.mark.parametrize(
    ("jinja", "reason"),
    [
        ("{{ first }}", "it has no completion (no ||| in it)"),
        ("{% if first %}{{ first }} ||| x", "not valid Jinja2 in line 1: Unexpected end of template"),
        ("{{ first | nosuch }} ||| x", "not valid Jinja2 in line 1: No filter named 'nosuch'."),
        ("Hi! ||| x", "it uses no column"),
        ("", "it has no text (`jinja`)"),
        ("{{ first }} {{ _choice_key }} ||| x", "no column can be called '_choice_key', which means something else"),
        ("{{ first }} {{ range }} ||| x", "no column can be called 'range', which means something else"),
        ("{{ " + "(" * 3000 + "first" + ")" * 3000 + " }} ||| x", "not valid Jinja2: "),
    ],
)
def test_what_cannot_be_imported_is_named_with_the_reason(tmp_path: Path, jinja: str, reason: str) -> None:
    bad = f"  5d5d: !Template {{answer_choices: null, id: 5, jinja: {json.dumps(jinja)}, name: bad one}}\n"
    result, templates = imported(tmp_path, PROMPTSOURCE + bad)
    assert result.summary() == "imported 4 of 5 templates, refused 1"
    assert result.refused[0].startswith(f"{tmp_path}/templates.yaml: bad one: {reason}")
    assert len(templates.templates) == 4


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            "answer_choices: \"{{ ''.__class__ }}\"",
            "answer_choices cannot be rendered: access to attribute '__class__'",
        ),
        ('answer_choices: "{{ [][0].x }}"', "answer_choices cannot be rendered: "),
        ('answer_choices: "{{ 7 ** (3 * 10 ** 6) }}"', "answer_choices cannot be rendered: the result of '**' would"),
        ("answer_choices: [a]", "answer_choices must be a text; it is a list"),
        ("metadata: x", "metadata must be a mapping; it is a str"),
        ("metadata: {metrics: 3}", "metrics must be a list of names; it is a int"),
        ("metadata: {metrics: BLEU}", "metrics must be a list of names; it is a str"),
        ('answer_choices: "\\ud800"', "not UTF-8: surrogates not allowed"),
    ],
)
def test_a_broken_field_refuses_its_template_only(tmp_path: Path, fields: str, reason: str) -> None:
    bad = f"  5d5d: !Template {{{fields}, jinja: '{{{{ first }}}} ||| x', name: bad}}\n"
    result, templates = imported(tmp_path, PROMPTSOURCE + bad)
    assert result.summary() == "imported 4 of 5 templates, refused 1"
    assert re.fullmatch(rf"{tmp_path}/templates.yaml: '?bad'?: {re.escape(reason)}.*", result.refused[0])
    assert len(templates.templates) == 4


def test_control_characters_are_kept(tmp_path: Path) -> None:
    text = "a\x07b\x85c\u2028d\x00e\tf\ufeffg\n  h"
    jinja = json.dumps("{{ first }}" + text + " ||| i\rj")
    more = f"  5d5d: !Template {{jinja: {jinja}, name: odd}}\n"
    result, templates = imported(tmp_path, PROMPTSOURCE + more)
    assert result.summary() == "imported 5 of 5 templates, refused 0"
    rows = by_id(templates, ROW)["odd"]
    assert (rows["prompt"], rows["completion"]) == (ROW["first"] + text, "i\nj")


def test_a_broken_file_of_a_folder_is_named_and_the_others_are_imported(tmp_path: Path) -> None:
    files = {"a": b"templates:\n  x: \xe9\n", "b": PROMPTSOURCE.encode(), "c": b"templates: [", "d": b"x: 1"}
    for name, content in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "templates.yaml").write_bytes(content)
    result = import_templates(tmp_path, tmp_path / "own")
    assert result.summary() == "imported 4 of 4 templates, refused 0, 3 files unread"
    assert [path.name for path in result.written] == ["toy_pairs.yaml"]
    for name, message, line in zip("acd", ("not valid YAML", "not valid YAML", "must map"), result.unread, strict=True):
        assert line.startswith(f"{tmp_path}/{name}/templates.yaml: ") and message in line


@pytest.mark.parametrize(
    ("name", "text"), [("a.yaml", b"templates:\n  x: \xe9"), ("a.yaml", b"\xe9"), ("a.json", b"\xe9")]
)
def test_a_latin_1_file_is_refused(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(TunesmithError, match=rf"{name}: not valid (YAML|JSON): 'utf-8' codec can't decode"):
        import_templates(tmp_path / name, tmp_path / "own")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch hacked']", "!Other {name: x}"])
def test_other_tags_run_nothing(tmp_path: Path, tag: str) -> None:
    with pytest.raises(TunesmithError, match="not valid YAML: could not determine a constructor"):
        imported(tmp_path, f"{PROMPTSOURCE}  6d6d: {tag}\n")
    assert not list(tmp_path.rglob("hacked")) and not (tmp_path / "library").exists()


def test_a_template_cannot_leave_the_sandbox(tmp_path: Path) -> None:
    text = PROMPTSOURCE.replace("{{ second }}", "{{ second.__class__.__mro__ }}")
    _, templates = imported(tmp_path, text)
    with pytest.raises(TunesmithError, match="template 'otherwise' fails on this row: access to attribute"):
        rendered([ROW], templates, use=["otherwise"])


def test_an_existing_set_stays_unless_replaced(tmp_path: Path) -> None:
    imported(tmp_path, PROMPTSOURCE)
    with pytest.raises(TunesmithError, match=r"toy_pairs.yaml: a set of this name exists; .* --replace"):
        imported(tmp_path, PROMPTSOURCE)
    assert imported(tmp_path, PROMPTSOURCE, replace=True)[0].imported == 4


# FLAN-style lists

LISTS = {
    "chats": [["Sum up:\n\n{dialogue}", "{summary}"], {"input": "{dialogue} {{short}}", "target": "TL;DR {summary}"}],
    "odd": [
        ["{dialogue!r}", "{summary}"],
        ["{}", "x"],
        ["{a.b}", "x"],
        ["{", "x"],
        ["{q}"],
        ["hi", "ho"],
        ["{q}", "{zip}"],
    ],
}


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_lists_of_format_strings(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"flan.{ending}"
    path.write_text(json.dumps(LISTS))  # JSON is YAML
    result = import_templates(path, tmp_path / "own")
    assert result.summary() == "imported 2 of 9 templates, refused 7"
    assert [re.sub(".*: (p.): ", r"\1 ", line) for line in result.refused] == [
        "p1 a field must be the name of a column alone; it is {dialogue!r}",
        "p2 a field must be the name of a column alone; it is {}",
        "p3 a field must be the name of a column alone; it is {a.b}",
        "p4 Single '{' encountered in format string",
        "p5 a pair must be two texts, the input and the target",
        "p6 it uses no column",
        "p7 no column can be called 'zip', which means something else in a template",
    ]
    row = {"dialogue": "A: hi", "summary": "A greets."}
    rows = by_id(load_set("own/chats", tmp_path), row)
    assert (rows["p1"]["prompt"], rows["p1"]["completion"]) == ("Sum up:\n\nA: hi", "A greets.")
    assert (rows["p2"]["prompt"], rows["p2"]["completion"]) == ("A: hi {short}", "TL;DR A greets.")


@pytest.mark.parametrize("text", ["{a}", "{{{a}}}", "{{% {a} %}} {{#}}", "}}{{ {{{{a}}}} {a}{a}", "{{% raw %}}"])
def test_a_format_string_renders_as_python_formats_it(text: str) -> None:
    from tasks.template.environment import ENVIRONMENT

    assert ENVIRONMENT.from_string(to_jinja(text)).render(a="x") == text.format(a="x")


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "x: 1"), ("a.yaml", "x"), ("a.json", "{"), ("a.yaml", "a: [")])
def test_another_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TunesmithError, match=r"a\.(yaml|json): (must be a promptsource file|not valid (YAML|JSON))"):
        import_templates(tmp_path / name, tmp_path / "own")


def test_a_missing_folder_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"no file templates\.yaml in this folder"):
        import_templates(tmp_path, tmp_path / "own")
    with pytest.raises(TunesmithError, match="no such file"):
        import_templates(tmp_path / "x.yaml", tmp_path / "own")
