"""Sample rows of every template set, and rows rendered by a set."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.template.library import LIBRARY, Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.validate import Report

Rows = list[dict[str, Any]]
SAMPLES: dict[str, dict[str, Any]] = {
    "cause_effect": {
        "premise": "It rained.",
        "choice1": "I got wet.",
        "choice2": "I got rich.",
        "question": "effect",
        "label": 0,
    },
    "code_translation": {"java": "int size() { return n; }", "cs": "public int Size() => n;"},
    "entailment": {"premise": "Ann sleeps deeply.", "hypothesis": "Ann rests.", "label": "0"},
    "entities": {"tokens": ["Ann", "Lee", "left", "Rome"], "tags": ["B-person", "I-person", "O", "B-location"]},
    "multiple_choice": {
        "question": "How many legs has a spider?",
        "A": "two",
        "B": "six",
        "C": "eight",
        "D": "none",
        "answer": "C",
        "subject": "high_school_biology",
    },
    "product_reviews": {"review": "Works well, I am glad.", "rating": "4", "title": "A good buy for us"},
    "prompt_completion": {"prompt": " Once upon ", "completion": "a time"},
    "self_instruct": {"instruction": "Add the numbers.", "instances": [{"input": "1 and 2", "output": "3"}]},
    "translation": {"source": "A dog runs.", "target": "Ein Hund rennt."},
    "yes_no_reading": {"passage": "The sun is hot.", "question": "is the sun hot", "label": True},
    "dialogue_summary": {"dialogue": "A: Is it <b>late</b> & cold?\nB: Yes.", "summary": ["It is late.", "Late."]},
    "instruction": {"instruction": "Add the numbers.", "input": "1 and 2", "output": "3"},
    "chat": {
        "messages": [{"role": "user", "content": "Is it late?"}, {"role": "assistant", "content": "Yes, it is."}],
        "system": None,
    },
    "preference": {"prompt": "Is it late?", "chosen": "Yes, it is.", "rejected": "No."},
    "sentiment": {"text": "A fine film.", "label": 1},
}
VALUES = {"translation": {"source_language": "English", "target_language": "German"}}
SETS = sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def rows_of(values: Rows) -> Rows:
    return [{"row_id": f"r{i}", "source_file": "f", "source_line": i + 1, **row} for i, row in enumerate(values)]


def template_set(prompt: str = "{{ q }}", references: str = "a", **more: Any) -> TemplateSet:
    template = Template(id="one", prompt=prompt, references=references, **more)
    columns = {"q": "question", "a": "answer"}
    return TemplateSet(name="own", task="qa", description="", columns=columns, required=[], templates=[template])


def rendered(given: Rows, templates: TemplateSet | None = None, **params: Any) -> tuple[Rows, Report]:
    report = Report()
    template_params = TemplateParams(set="own", **params)
    return list(render(rows_of(given), "s", templates or template_set(), template_params, report)), report


def error_of(given: Rows, templates: TemplateSet | None = None, **params: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        rendered(given, templates, **params)
    return str(caught.value)


def by_id(templates: TemplateSet, row: dict[str, Any], **params: Any) -> dict[str, dict[str, Any]]:
    rows, _ = rendered([row], templates, assign="all", **params)
    return {row["template_id"]: row for row in rows}
