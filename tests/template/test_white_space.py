"""``template``: white space of a value stays, white space that the template adds at its ends does not."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.template.library import TemplateSet, load_set
from tasks.template.params import TemplateParams
from tasks.template.stored import prompts_of, stored
from tests.template.rendering import by_id, rendered, template_set

CODE = "    y = 2 * x\n    return y\n"


@pytest.mark.parametrize("answer", [CODE, "\t- item", "--- a\n+++ b\n \n", "\u00a0x", "x\r\n", "plain"])
@pytest.mark.parametrize("kind", ["references", "completion"])
def test_a_completion_is_as_the_row_has_it(answer: str, kind: str) -> None:
    answers: dict[str, Any] = (
        {"references": "a"} if kind == "references" else {"references": None, "completion": "{{ a }}\n"}
    )
    row = rendered([{"q": "Go on.", "a": answer}], template_set(**answers))[0][0]
    assert (row["completion"], row["references"]) == (answer, [answer])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("{{ q }}", CODE),
        ("\n{{ q }}\n\n", CODE),
        ("Continue:\n{{ q }}", f"Continue:\n{CODE}"),
        ("{{ q }}\nContinue.\n", f"{CODE}\nContinue."),
        ("{{ q | trim }}\n", CODE.strip()),
        ("{% if q %}\n{{ q }}\n{% endif %}\n", CODE),
        ("{{ '' }}\n {{ q }} \n{{ '  ' }}", CODE),
        ("{% filter upper %}{{ q }}{% endfilter %}", CODE.upper()),
        ("{% set n = q | length %}{{ q }}{{ n }}\n", f"{CODE}{len(CODE)}"),
        ("{% for line in q.splitlines() %}{{ line }}\n{% endfor %}", CODE.rstrip()),
    ],
)
def test_a_prompt_loses_only_white_space_of_the_template(prompt: str, expected: str) -> None:
    row = rendered([{"q": CODE, "a": "z"}], template_set(prompt=prompt))[0][0]
    assert row["prompt"] == expected


def test_a_template_that_measures_captured_text_sees_no_marks() -> None:
    prompt = "{% set part %}{{ q }}{% endset %}{{ part | length }} {{ q }}"
    assert rendered([{"q": " x ", "a": "z"}], template_set(prompt=prompt))[0][0]["prompt"] == "3  x"


def test_a_label_with_white_space_is_still_one_of_the_choices() -> None:
    templates = template_set(answer_choices=["yes", "no"])
    rows, report = rendered([{"q": "1", "a": " yes\n"}, {"q": "2", "a": "no"}], templates)
    assert ([row["completion"] for row in rows], report.dropped) == (["yes", "no"], {})


@pytest.mark.parametrize("missing", [None, "", "   ", "\n\t", float("nan")])
def test_a_value_that_is_missing_is_empty_in_every_prompt(missing: Any) -> None:
    row = {"instruction": "Name the capital of France.", "input": missing, "output": "Paris"}
    assert by_id(load_set("instruction"), row) == by_id(load_set("instruction"), row | {"input": ""})


@pytest.mark.parametrize("missing", [None, "   ", "\n\t"])
def test_a_blank_input_inside_an_instance_is_empty_too(missing: Any) -> None:
    def prompts(value: Any) -> list[str]:
        row = {"instruction": "Name a city.", "instances": [{"input": value, "output": "Oslo"}]}
        return [one["prompt"] for one in by_id(load_set("self_instruct"), row).values()]

    assert prompts(missing) == prompts("")
    assert prompts("in Peru")[0] == "Name a city.\n\nin Peru"


@pytest.mark.parametrize("missing", [None, " ", "\t\n", float("nan")])
def test_a_row_with_a_blank_optional_column_gets_no_template_that_uses_it(missing: Any) -> None:
    row = {"review": "Works well, I am glad.", "rating": "4", "title": missing}
    used = set(by_id(load_set("product_reviews"), row))
    assert used == set(by_id(load_set("product_reviews"), {"review": row["review"], "rating": "4"}))


NOTED = TemplateSet.model_validate(
    {
        "name": "noted",
        "task": "translation",
        "description": "",
        "columns": {"source": "", "target": "", "language": "", "note": ""},
        "required": ["source"],
        "templates": [
            {"id": "plain", "prompt": "{{ source }}\nNote: {{ note }}\nIn {{ language }}:", "references": "target"}
        ],
    }
)


@pytest.mark.parametrize("note", ["polite", None, "", " ", float("nan"), "  two blanks before"])
@pytest.mark.parametrize("source", ["A dog.", "   indented\n"])
def test_a_row_to_predict_is_rendered_as_in_training(note: Any, source: str) -> None:
    params = TemplateParams(set="noted", values={"language": "German"}, columns={"source": "en", "target": "de"})
    row = {"en": source, "de": "Ein Hund.", "note": note}
    trained = rendered([row], NOTED, **params.model_dump(exclude={"set"}))[0][0]["prompt"]
    (prompt,) = prompts_of("s", stored(NOTED, params, "s"))
    assert prompt.render(row, "row 1")["prompt"] == trained
    assert prompt.render({"source": source, "note": note}, "row 1")["prompt"] == trained, (
        "the set's names are accepted too"
    )
    assert not prompt.lacks({"en": source, "note": note}), "neither completion nor values are needed"
