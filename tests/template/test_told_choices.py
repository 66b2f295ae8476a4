"""Answer choices that a prompt tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.template.library import load_set
from tasks.template.validate import (
    Report,
    describe_leak,
    leaking_templates,
    names_only,
    suspected_templates,
)
from tests.template.own_set import findings, stage_run, write_own
from tests.template.rendering import SAMPLES, SETS, Rows, rendered

STARS: Rows = [{"q": f"Review {'abcdefghijklmnopqrst'[i]}", "a": i % 5 + 1} for i in range(20)]
CHOICES = ', answer_choices: ["1", "2", "3", "4", "5"]'


def write_stars(root: Path, prompt: str, more: str = "") -> None:
    write_own(root, prompt, f"{CHOICES}{more}")
    path = root / "tasks/template/library/own/mine.yaml"
    path.write_text(path.read_text().replace("references: a,", "references: a | string,"))


def test_a_prompt_that_reveals_the_right_choice_stops_the_stage_and_validate_reports_it(tmp_path: Path) -> None:
    write_stars(tmp_path, "{{ q }}: they gave {{ a }} stars. How many?")
    with pytest.raises(TunesmithError) as caught:
        stage_run(tmp_path, STARS)
    message = str(caught.value)
    assert "template 'planted' names it and no other choice in 20 of 20 rows, the first at f:1; correct" in message
    assert "answer_choices" not in message, "listing them is no way to silence it"
    assert not list(tmp_path.glob("data/rendered/*"))
    assert [(f.weight, f.kind, f.message) for f in findings(tmp_path, STARS)] == [("error", "leak", message)]


def test_nine_in_ten_or_fewer_than_ten_rows_are_a_note_and_half_is_none(tmp_path: Path) -> None:
    write_stars(tmp_path, "{{ q }}. How many stars?")
    told = [row | {"q": f"I gave {row['a']} stars, said {row['q']}"} for row in STARS]

    def kinds(rows: Rows) -> list[tuple[str, str]]:
        return [(f.weight, f.kind) for f in findings(tmp_path, rows)]

    assert kinds([*told[:19], STARS[19]]) == [("error", "leak")]
    assert kinds([*told[:18], *STARS[18:]]) == [("note", "leak")]
    assert kinds([*told[:11], *STARS[11:]]) == [("note", "leak")]
    assert kinds([*told[:10], *STARS[10:]]) == []
    assert kinds(told[:9]) == [("note", "leak")]
    assert "in 18 of 20 rows, the first at f:1;" in findings(tmp_path, [*told[:18], *STARS[18:]])[0].message


def test_a_prompt_may_list_all_choices_name_one_whatever_is_right_or_be_extractive(tmp_path: Path) -> None:
    write_stars(tmp_path, "{{ q }}. 1, 2, 3, 4 or 5 stars?")
    assert len(stage_run(tmp_path, STARS)) == 20 and findings(tmp_path, STARS) == []
    write_stars(tmp_path, "{{ q }}: they gave {{ a }} stars. How many?", ", extractive: true")
    assert len(stage_run(tmp_path, STARS)) == 20 and findings(tmp_path, STARS) == []
    write_stars(tmp_path, "{{ q }}: 5 stars?")
    assert [f.weight for f in findings(tmp_path, [row | {"a": 5} for row in STARS])] == ["note"]


def test_a_template_with_choices_in_some_rows_is_named_with_the_rule_that_it_breaks() -> None:
    """Choices may be rendered for each row: naming a few by chance is not what is wrong with a leak."""
    report = Report()
    for i in range(20):
        report.leak("mixed", i < 15, f"f:{i}")
    report.name_choice("mixed", "yes", "f:18")
    report.name_choice("mixed", "no", "f:19")
    assert leaking_templates(report) == ["mixed"] and suspected_templates(report) == []
    message = describe_leak("s", "mixed", report)
    assert "must not tell its completion; template 'mixed' does in 15 of 20 rows, the first at f:0" in message
    for i in range(17):
        report.name_choice("mixed", "yes", f"f:{i}")
    assert leaking_templates(report) == ["mixed"], "once, whatever the rules that it breaks"


@pytest.mark.parametrize(
    ("prompt", "right", "choices", "told"),
    [
        ("It is not supported.", "not supported", ["supported", "not supported"], True),
        ("It is not supported.", "supported", ["supported", "not supported"], False),
        ("Supported or not supported?", "not supported", ["supported", "not supported"], False),
        ("Why? YES!", "yes", ["yes", "no"], True),
        ("Yesterday", "yes", ["yes", "no"], False),
        ("Is 🙂 meant?", "🙂", ["🙂", "🙁"], True),
        ("Written in C.", "C++", ["C", "C++"], False),
        ("Nothing", "", ["", "no"], False),
        ("a a b", "a", ["a", "b"], False),
    ],
)
def test_a_choice_is_named_alone_as_whole_words(prompt: str, right: str, choices: list[str], told: bool) -> None:
    assert names_only(prompt, right, choices) is told


LABELS: dict[str, tuple[str, list[Any]]] = {
    "cause_effect": ("label", [0, 1]),
    "entailment": ("label", ["0", "1"]),
    "multiple_choice": ("answer", list("ABCD")),
    "product_reviews": ("rating", list("12345")),
    "sentiment": ("label", [0, 1]),
    "yes_no_reading": ("label", [True, False]),
}


def test_every_set_with_choices_is_looked_at() -> None:
    assert set(LABELS) == {name for name in SETS if any(t.answer_choices for t in load_set(name).templates)}


@pytest.mark.parametrize("name", LABELS)
def test_no_template_of_the_library_reveals_its_choice(name: str) -> None:
    column, labels = LABELS[name]
    values: Rows = [SAMPLES[name] | {column: labels[i % len(labels)]} for i in range(20)]
    rows, report = rendered(values, load_set(name), assign="all")
    assert any(row["answer_choices"] for row in rows) and min(report.tried.values()) == 20
    assert (leaking_templates(report), suspected_templates(report)) == ([], [])
