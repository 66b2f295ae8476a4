"""``template``: every template renders, each row keeps its template, and dropped rows are counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_rows
from tasks.core.params import parse
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.template.library import Template, TemplateSet, load_set
from tasks.template.params import TemplateParams
from tasks.template.run import grouped_by, run
from tasks.template.stored import stored
from tasks.text.rows import GROUPED_BY, TEMPLATES
from tests.template.rendering import Rows, error_of, rendered, rows_of, template_set

# which row gets which template

DIALOGUES: Rows = [{"dialogue": f"A: {i}?\nB: {i}.", "summary": f"They say {i}."} for i in range(400)]


def wordings(values: Rows, **params: Any) -> dict[str, str]:
    rows, _ = rendered(values, load_set("dialogue_summary"), **params)
    return {row["row_id"]: row["template_id"] for row in rows}


def test_rendering_is_deterministic_and_the_seed_matters() -> None:
    templates = load_set("dialogue_summary")
    assert rendered(DIALOGUES, templates)[0] == rendered(DIALOGUES, templates)[0]
    assert wordings(DIALOGUES) != wordings(DIALOGUES, seed=1)


def test_more_rows_change_no_other_rows_template() -> None:
    few, many = wordings(DIALOGUES[:100]), wordings(DIALOGUES)
    assert few == {row_id: many[row_id] for row_id in few}


def test_all_templates_are_used_about_equally_often() -> None:
    counts = Counter(wordings(DIALOGUES).values())
    assert set(counts) == {template.id for template in load_set("dialogue_summary").templates}
    assert all(25 <= count <= 75 for count in counts.values()), "400 rows by 8 wordings: 50, and 3.8 sigma"


def test_another_template_changes_only_the_rows_that_draw_it() -> None:
    two, three = wordings(DIALOGUES, use=["gist", "report"]), wordings(DIALOGUES, use=["gist", "report", "briefly"])
    moved = {three[row_id] for row_id in two if two[row_id] != three[row_id]}
    assert moved == {"briefly"}


def test_assign_all_gives_each_row_every_template() -> None:
    rows, report = rendered(DIALOGUES[:3], load_set("dialogue_summary"), assign="all", use=["gist", "report"])
    assert [(row["row_id"], row["template_id"]) for row in rows] == [
        (row_id, template) for row_id in ("r0", "r1", "r2") for template in ("gist", "report")
    ]
    assert (report.rows, report.rendered) == (3, 6)


# groups

GROUPING: list[tuple[dict[str, Any], bool]] = [
    ({"use": ["one"]}, False),
    ({"seed": 1}, False),
    ({"max_dropped": 0.5}, False),
    ({"group": "who"}, True),
    ({"set": "other"}, True),
    ({"columns": {"q": "question"}}, True),
    ({"columns": {"a": "answer"}}, False),
    ({"values": {"q": "x"}}, True),
]


@pytest.mark.parametrize(("change", "matters"), GROUPING)
def test_the_columns_that_make_groups_are_stored_for_the_split(change: dict[str, Any], matters: bool) -> None:
    before = grouped_by(template_set(), TemplateParams(set="own"))
    assert (grouped_by(template_set(), TemplateParams(**{"set": "own", **change})) != before) == matters
    identified = template_set().model_copy(update={"identity": ["a"]})
    assert grouped_by(identified, TemplateParams(set="own")) != before


def test_rows_with_the_same_inputs_have_one_group_whatever_case_and_spaces() -> None:
    values: Rows = [{"q": "Why  now?", "a": "x"}, {"q": "why\nNOW?", "a": "y"}, {"q": "Why?", "a": "x"}]
    groups = [row["group"] for row in rendered(values)[0]]
    assert groups[0] == groups[1] != groups[2]


def test_an_instruction_with_another_input_has_another_group() -> None:
    values: Rows = [{"instruction": "Translate.", "input": x, "output": "z"} for x in ("a", "b", "A")]
    groups = [row["group"] for row in rendered(values, load_set("instruction"))[0]]
    assert groups[0] == groups[2] != groups[1]


def test_a_group_column_decides_where_it_has_a_value() -> None:
    values: Rows = [{"q": "1", "a": "x", "who": w} for w in ("ann", "bob", None)] + [{"q": "2", "a": "x", "who": None}]
    groups = [row["group"] for row in rendered(values, group="who")[0]]
    assert groups[:2] == ["ann", "bob"]
    assert len(set(groups)) == 4, "rows without a value are no group of their own"
    assert "f:1: column 'author' of `template.group` is missing" in error_of(values, group="author")


@pytest.mark.parametrize("empty", ["", "  \t"])
def test_an_empty_cell_of_a_group_column_is_no_value(empty: str) -> None:
    """A CSV has no null: all rows without an author would be one group."""
    with_column: Rows = [{"q": str(i), "a": "x", "who": empty} for i in range(3)] + [{"q": "9", "a": "x", "who": 0}]
    groups = [row["group"] for row in rendered(with_column, group="who")[0]]
    assert len(set(groups)) == 4 and groups[3] == "0"
    assert groups[:3] == [row["group"] for row in rendered(with_column[:3])[0]]


# wrong names


def test_a_missing_column_is_named_with_those_that_exist() -> None:
    message = error_of([{"q": "1", "answer": "2"}])
    assert message.startswith("f:1: column 'a' is missing; the row has answer, q, row_id, source_file, source_line; ")
    assert "`template.columns.a`" in message
    assert rendered([{"q": "1", "answer": "2"}], columns={"a": "answer"})[0][0]["completion"] == "2"


def test_a_column_that_the_set_does_not_have_is_refused() -> None:
    message = error_of([{"q": "1", "a": "2"}], columns={"answer": "a"})
    assert (
        message == "params/sources.yaml: sources.s.template.columns: no column 'answer' in set 'own'; there are: q, a"
    )


def test_an_unknown_template_is_refused() -> None:
    message = error_of([{"q": "1", "a": "2"}], use=["one", "two"])
    assert message == "params/sources.yaml: sources.s.template.use: no template 'two' in set 'own'; there are: one"


def test_a_template_that_is_named_twice_is_refused() -> None:
    with pytest.raises(TunesmithError) as caught:
        parse(TemplateParams, {"set": "own", "use": ["b", "a", "b"]}, "sources.yaml", "s.template")
    assert str(caught.value) == "sources.yaml: s.template.use: template 'b' is named twice; name each once"


def test_text_that_is_a_list_is_refused_and_not_shown_as_python() -> None:
    assert "f:1: column 'q' must be text; it is a list" in error_of([{"q": ["A: hi", "B: ho"], "a": "x"}])


# failing templates


@pytest.mark.parametrize(
    "prompt",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ q.format.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ nosuch }}",
        "{{ q.nosuch }}",
        "{{ q + 1 }}",
        "{{ 1 / 0 }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
    ],
)
def test_a_template_that_breaks_out_or_fails_is_one_readable_line(prompt: str) -> None:
    for templates in (
        template_set(prompt=prompt),
        template_set(references=prompt.strip("{} ")) if "{{" in prompt else None,
    ):
        if templates:
            message = error_of([{"q": "1", "a": "2"}], templates)
            assert message.startswith("f:1: template 'one' fails on this row: ")
            assert "\n" not in message


@pytest.mark.parametrize("expression", ["{'x': a}", "[[a]]", "[{'x': a}]"])
def test_references_that_are_no_texts_are_refused(expression: str) -> None:
    assert "must give a text or a list of texts" in error_of(
        [{"q": "1", "a": "2"}], template_set(references=expression)
    )


def test_references_may_come_from_a_filter() -> None:
    rows, _ = rendered([{"q": "1", "a": [" x ", "", None, "y"]}], template_set(references="a | select | map('upper')"))
    assert rows[0]["references"] == [" X ", "Y"]


def test_answer_choices_are_known_to_prompt_and_references() -> None:
    templates = template_set(
        "{{ q }} {{ answer_choices | join('/') }}", "answer_choices[a]", answer_choices=["no", "yes"]
    )
    row = rendered([{"q": "Well?", "a": 1}], templates)[0][0]
    assert (row["prompt"], row["completion"], row["answer_choices"]) == ("Well? no/yes", "yes", ["no", "yes"])


def test_no_other_row_or_template_sees_what_a_template_appends() -> None:
    grown = "{% set _ = answer_choices.append('c') %}{% set _ = toks[0].x.append('Z') %}{{ toks[0].x }} {{ q }}"
    wordings = [
        Template(
            id=i, prompt=f"{grown} {{{{ answer_choices | join }}}}", references="toks[0].x", answer_choices=choices
        )
        for i, choices in (("one", ["a", "b"]), ("two", ["a", "b"]), ("three", "a ||| b"))
    ]
    columns = {"q": "question", "toks": "tokens"}
    templates = TemplateSet(
        name="own", task="qa", description="", columns=columns, required=[], text="toks[0].x.pop() and q",
        templates=wordings,
    )  # fmt: skip
    rows, _ = rendered([{"q": q, "toks": [{"x": ["a"]}]} for q in "12"], templates, assign="all")
    assert [row["prompt"] for row in rows] == [f"['a', 'Z'] {q} abc" for q in "111222"]
    assert [(row["references"], row["answer_choices"]) for row in rows] == [(["a"], ["a", "b"])] * 6


# dropped rows

HOLES: Rows = [
    {"q": "1", "a": "x"},
    {"q": " \n", "a": "x"},
    {"q": "2", "a": None},
    {"q": None, "a": "x"},
    {"q": "3", "a": " "},
    {"q": "4", "a": ["", None]},
]


def test_rows_without_text_or_completion_are_dropped_and_counted_with_their_first_place() -> None:
    rows, report = rendered(HOLES)
    assert [row["row_id"] for row in rows] == ["r0"]
    assert report.dropped == {"empty q": 2, "empty completion": 3}
    assert report.first == {
        "empty q": "f:2 (template 'one')",
        "empty completion": "f:3 (template 'one')",
    }
    assert report.rows == report.rendered + sum(report.dropped.values())


def test_an_empty_prompt_is_dropped() -> None:
    templates = template_set("{% if q != 'skip' %}{{ q }}{% endif %}")
    rows, report = rendered([{"q": "skip", "a": "x"}, {"q": "1", "a": "x"}], templates)
    assert ([row["prompt"] for row in rows], report.dropped) == (["1"], {"empty prompt": 1})


def stage_run(root: Path, values: Rows, **params: Any) -> Rows:
    paths = Paths(root)
    paths.raw("s").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows_of(values)), paths.raw("s"))
    run("s", TemplateParams(set="instruction", **params), paths, Stage("template@s", root))
    return read_rows(paths.rendered("s"))


def test_the_rendered_file_stores_the_columns_that_make_groups(tmp_path: Path) -> None:
    stage_run(tmp_path, [{"instruction": "a", "input": "b", "output": "c"}])
    told = grouped_by(load_set("instruction"), TemplateParams(set="instruction"))
    how = stored(load_set("instruction"), TemplateParams(set="instruction"), "s").model_dump_json()
    metadata = pq.read_schema(Paths(tmp_path).rendered("s")).metadata
    assert metadata[GROUPED_BY] == told and json.loads(metadata[TEMPLATES]) == json.loads(how)


def test_too_many_dropped_rows_stop_the_stage_and_the_first_is_named(tmp_path: Path) -> None:
    values: Rows = [{"instruction": "a", "input": "", "output": x} for x in ("1", "2", "", "")]
    with pytest.raises(TunesmithError) as caught:
        stage_run(tmp_path, values, max_dropped=0.49)
    assert "2 with empty completion, the first at f:3" in str(caught.value)
    assert "`sources.s.template.max_dropped`" in str(caught.value)
    assert "now 0.49; needed 0.5000" in str(caught.value)
    assert not Paths(tmp_path).rendered("s").exists()
    assert [row["completion"] for row in stage_run(tmp_path, values, max_dropped=0.5)] == ["1", "2"]


# what tells two rows apart, and when they were


def test_identity_is_the_first_column_or_what_the_set_names() -> None:
    assert [row["identity"] for row in rendered([{"q": "Why?", "a": "So."}])[0]] == ["Why?"]
    both = template_set().model_copy(update={"identity": ["q", "a"]})
    assert [row["identity"] for row in rendered([{"q": "Why?", "a": "So."}], both)[0]] == ["Why?\nSo."]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3, 3.0),
        ("1717200000", 1717200000.0),
        ("20240601", 20240601.0),
        (20240601, 20240601.0),
        ("-1.5", -1.5),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:01", 1.0),
    ],
)
def test_time_is_a_number_or_a_date(value: Any, seconds: float) -> None:
    rows, _ = rendered([{"q": "Why?", "a": "So.", "at": value}], time="at")
    assert rows[0]["time"] == seconds


@pytest.mark.parametrize("value", ["yesterday", None, float("nan"), "9" * 400, "\u0661"])
def test_a_time_that_is_none_is_refused(value: Any) -> None:
    assert "column 'at' of `template.time` must be a number or an ISO 8601" in error_of(
        [{"q": "Why?", "a": "So.", "at": value}], time="at"
    )
