"""The library of template sets: every template renders, labels become words, and a wrong set is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.metrics.names import METRICS
from tasks.template.library import load_set
from tests.template.rendering import SAMPLES, SETS, VALUES, error_of, rendered


def test_there_is_a_sample_for_every_set() -> None:
    assert sorted(SAMPLES) == SETS


@pytest.mark.parametrize("name", SETS)
def test_every_template_renders_a_sample_row(name: str) -> None:
    templates = load_set(name)
    rows, report = rendered([SAMPLES[name]], templates, assign="all", values=VALUES.get(name, {}))
    assert [row["template_id"] for row in rows] == [template.id for template in templates.templates]
    for row, template in zip(rows, templates.templates, strict=True):
        text = row["text"]
        assert row["prompt"].count(text) == 1, "the text stands once, as it is written"
        assert not {"{{", "{%"} & set(row["prompt"].split())
        exempt = row["answer_choices"] or template.extractive
        assert exempt or row["completion"] not in row["prompt"], "the prompt does not tell the answer"
    prompts = {(row["prompt"], row["completion"]) for row in rows}
    alone = templates.conversational or name == "prompt_completion"
    assert len(prompts) == len(rows) > (0 if alone else 1), "no two templates give the same prompt"
    assert templates.license
    assert all(set(templates.metrics_of(template)) <= set(METRICS) for template in templates.templates)
    assert len({row["group"] for row in rows}) == 1, "all prompt variants of a row stay in one part of a split"
    assert (report.rows, report.rendered, report.dropped) == (1, len(rows), {})


def test_no_task_has_direct_and_inverted_templates() -> None:
    directions = [(t.inverted, (name, s.task_of(t))) for name in SETS for s in [load_set(name)] for t in s.templates]
    direct, inverted = ({task for back, task in directions if back is side} for side in (False, True))
    assert direct & inverted == set()
    assert inverted == {
        ("code_translation", "code_translation_back"),
        ("product_reviews", "review_writing"),
        ("translation", "translation_back"),
    }


def test_references_are_all_of_a_list_and_the_first_is_learned() -> None:
    rows, _ = rendered([SAMPLES["dialogue_summary"]], load_set("dialogue_summary"), use=["summarise"])
    assert rows[0]["references"] == ["It is late.", "Late."]
    assert rows[0]["completion"] == "It is late."
    assert rows[0]["prompt"] == ("Summarize the following conversation.\n\nA: Is it <b>late</b> & cold?\nB: Yes."), (
        "no character of it is escaped"
    )


@pytest.mark.parametrize(("label", "completion"), [(1, "positive"), (0, "negative"), ("1", "positive")])
def test_a_label_becomes_its_word(label: Any, completion: str) -> None:
    rows, _ = rendered([{"text": "It is.", "label": label}], load_set("sentiment"), use=["author"])
    assert (rows[0]["completion"], rows[0]["answer_choices"]) == (completion, ["negative", "positive"])


def test_a_row_without_a_label_is_dropped_and_never_negative() -> None:
    rows, report = rendered([{"text": "It is.", "label": None}], load_set("sentiment"))
    assert (rows, report.dropped) == ([], {"empty completion": 1})


@pytest.mark.parametrize("label", [-1, 2, "good", 0.5])
def test_a_label_out_of_range_is_an_error(label: Any) -> None:
    assert error_of([{"text": "It is.", "label": label}], load_set("sentiment")).startswith("f:1: template '")


def test_an_input_may_be_null() -> None:
    rows, _ = rendered(
        [{"instruction": "Say hi.", "input": None, "output": "hi"}], load_set("instruction"), use=["plain"]
    )
    assert rows[0]["prompt"] == "Say hi."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("  - {id: one, prompt: '{{ q }', references: a}", "one: not valid Jinja2 in line 1"),
        ("  - {id: one, prompt: '{{ q | nosuch }}', references: a}", "one: not valid Jinja2 in line 1"),
        ("  - {id: one, prompt: '{{ q }}', references: 'a +'}", "one: not valid Jinja2 in line 1"),
        (f"  - {{id: one, prompt: '{{{{ {'(' * 3000}q{')' * 3000} }}}}', references: a}}", "one: not valid Jinja2: "),
        ("  - {id: one, prompt: '{{ range }}', references: a}", "one: no column 'range' in the set; there are: q, a"),
        ("  - {id: one, prompt: q}", "templates.0: a template needs either `references`"),
        (
            "  - {id: one, prompt: q, references: a, promt: x}",
            "templates.0.promt: unknown key; known here: answer_choic",
        ),
        ("  - {id: one, references: a}", "templates.0: a template needs either `prompt` (a text) or `messages`"),
        ("  - {id: one, messages: q, prompt: q}", "templates.0: a template needs either `prompt`"),
        ("  - {id: one, messages: q, references: a}", "references: a template with `messages` takes none"),
        ("  - {id: one, prompt: q, references: a, tools: a}", "tools: only a template with `messages` takes them"),
        ("  - {id: one, messages: q +}", "one: not valid Jinja2 in line 1"),
        ("  - {id: one, messages: turns}", "one: no column 'turns' in the set; there are: q, a"),
        (
            "  - {id: one, messages: q}\n  - {id: two, prompt: q, references: a}",
            "a set has either prompts or conversations; 'two' has a `prompt`",
        ),
        ("  - {id: one, messages: q}\nidentity: [q]", "identity: a set with `messages` takes none"),
        ("  - {id: one, prompt: q, references: a}\n  - {id: one, prompt: q, references: a}", "used twice: one"),
    ],
)
def test_a_wrong_set_is_refused_when_it_is_loaded(tmp_path: Path, change: str, message: str) -> None:
    head = "name: own\ntask: qa\ndescription: d\ncolumns: {q: question, a: answer}\ntemplates:\n"
    (tmp_path / "own.yaml").write_text(f"{head}{change}\n")
    with pytest.raises(TunesmithError) as caught:
        load_set("own", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/own.yaml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["range", "dict", "self", "answer_choices", "_choice_key"])
def test_a_column_named_like_something_of_jinja_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "own.yaml").write_text(
        f"name: own\ntask: qa\ndescription: d\ncolumns: {{q: question, {name}: x}}\n"
        "templates:\n  - {id: one, prompt: '{{ q }}', references: q}\n"
    )
    with pytest.raises(TunesmithError, match=f"own.yaml: columns: no column can be called '{name}'.*; rename it"):
        load_set("own", tmp_path)


def test_an_unknown_set_is_named_with_the_known_ones() -> None:
    with pytest.raises(TunesmithError, match=r"no template set 'poems'.*there are: .*dialogue_summary.*sentiment"):
        load_set("poems")
