"""``template``: every wording of the library renders, each row keeps its wording, and nothing is lost in silence."""

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
from tasks.metrics.names import METRICS
from tasks.template.library import LIBRARY, Template, TemplateSet, load_set
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.run import grouped_by, run
from tasks.template.stored import stored
from tasks.template.validate import Report
from tasks.text.rows import GROUPED_BY, TEMPLATES

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
    "self_instruct": {"instruction": "Add the numbers.", "instances": [{"input": "1 and 2", "output": "3"}]},
    "translation": {"source": "A dog runs.", "target": "Ein Hund rennt."},
    "yes_no_reading": {"passage": "The sun is hot.", "question": "is the sun hot", "label": True},
    "dialogue_summary": {"dialogue": "A: Is it <b>late</b> & cold?\nB: Yes.", "summary": ["It is late.", "Late."]},
    "instruction": {"instruction": "Add the numbers.", "input": "1 and 2", "output": "3"},
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
    asked = TemplateParams(set="own", **params)
    return list(render(rows_of(given), "s", templates or template_set(), asked, report)), report


def error_of(given: Rows, templates: TemplateSet | None = None, **params: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        rendered(given, templates, **params)
    return str(caught.value)


# the library


def test_there_is_a_sample_for_every_set() -> None:
    assert sorted(SAMPLES) == SETS


@pytest.mark.parametrize("name", SETS)
def test_every_wording_renders_a_sample_row(name: str) -> None:
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
    assert len(prompts) == len(rows) > 1, "no two wordings read the same"
    assert templates.license
    assert all(set(templates.metrics_of(template)) <= set(METRICS) for template in templates.templates)
    assert len({row["group"] for row in rows}) == 1, "all wordings of a row stay on one side of a split"
    assert (report.rows, report.rendered, report.dropped) == (1, len(rows), {})


def test_no_task_has_direct_and_inverted_wordings() -> None:
    found = [(t.inverted, (name, s.task_of(t))) for name in SETS for s in [load_set(name)] for t in s.templates]
    direct, inverted = ({task for back, task in found if back is side} for side in (False, True))
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
    ("change", "said"),
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
        ("  - {id: one, prompt: q, references: a}\n  - {id: one, prompt: q, references: a}", "used twice: one"),
    ],
)
def test_a_wrong_set_is_refused_when_it_is_loaded(tmp_path: Path, change: str, said: str) -> None:
    head = "name: own\ntask: qa\ndescription: d\ncolumns: {q: question, a: answer}\ntemplates:\n"
    (tmp_path / "own.yaml").write_text(f"{head}{change}\n")
    with pytest.raises(TunesmithError) as caught:
        load_set("own", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/own.yaml: ")
    assert said in str(caught.value)


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


# who gets which wording

DIALOGUES: Rows = [{"dialogue": f"A: {i}?\nB: {i}.", "summary": f"They say {i}."} for i in range(400)]


def wordings(values: Rows, **params: Any) -> dict[str, str]:
    rows, _ = rendered(values, load_set("dialogue_summary"), **params)
    return {row["row_id"]: row["template_id"] for row in rows}


def test_rendering_is_deterministic_and_the_seed_matters() -> None:
    templates = load_set("dialogue_summary")
    assert rendered(DIALOGUES, templates)[0] == rendered(DIALOGUES, templates)[0]
    assert wordings(DIALOGUES) != wordings(DIALOGUES, seed=1)


def test_more_rows_change_no_other_rows_wording() -> None:
    few, many = wordings(DIALOGUES[:100]), wordings(DIALOGUES)
    assert few == {row_id: many[row_id] for row_id in few}


def test_all_wordings_are_used_about_equally_often() -> None:
    counts = Counter(wordings(DIALOGUES).values())
    assert set(counts) == {template.id for template in load_set("dialogue_summary").templates}
    assert all(25 <= count <= 75 for count in counts.values()), "400 rows by 8 wordings: 50, and 3.8 sigma"


def test_another_wording_moves_only_the_rows_that_it_wins() -> None:
    two, three = wordings(DIALOGUES, use=["gist", "report"]), wordings(DIALOGUES, use=["gist", "report", "briefly"])
    moved = {three[row_id] for row_id in two if two[row_id] != three[row_id]}
    assert moved == {"briefly"}


def test_assign_all_gives_each_row_every_wording() -> None:
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
def test_what_makes_groups_is_told_to_the_split(change: dict[str, Any], matters: bool) -> None:
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
    assert rows[0]["references"] == ["X", "Y"]


def test_answer_choices_are_known_to_prompt_and_references() -> None:
    templates = template_set(
        "{{ q }} {{ answer_choices | join('/') }}", "answer_choices[a]", answer_choices=["no", "yes"]
    )
    row = rendered([{"q": "Well?", "a": 1}], templates)[0][0]
    assert (row["prompt"], row["completion"], row["answer_choices"]) == ("Well? no/yes", "yes", ["no", "yes"])


def test_what_a_template_appends_no_other_row_or_wording_sees() -> None:
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


def test_the_rendered_file_tells_what_made_its_groups(tmp_path: Path) -> None:
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
