"""Leaks, unused columns, choices, optional columns: a template that would spoil a training is named first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_rows
from tasks.core.paths import Paths
from tasks.template.library import load_set
from tasks.template.validate import (
    leaked_reference,
)
from tasks.text.rows import RENDERED
from tests.template.own_set import findings, stage_run, write_own
from tests.template.rendering import Rows, error_of, rendered, template_set

CHATS: Rows = [
    {"q": f"Customer: number {i} is broken. Agent: a new one comes.", "a": f"Number {i} gets replaced soon."}
    for i in range(10)
]


def test_a_planted_leak_stops_the_stage_by_name(tmp_path: Path) -> None:
    write_own(tmp_path, "Sum up: {{ q }} ({{ a | upper }})")
    with pytest.raises(TunesmithError) as caught:
        stage_run(tmp_path, CHATS, max_dropped=1.0)
    assert "template 'planted' does in 10 of 10 rows, the first at f:1" in str(caught.value)
    assert not list(tmp_path.glob("data/rendered/*"))


def test_an_extractive_template_may_show_the_answer(tmp_path: Path) -> None:
    write_own(tmp_path, "Sum up: {{ q }} ({{ a }})", ", extractive: true")
    assert len(stage_run(tmp_path, CHATS)) == 10


def test_a_single_row_that_reveals_its_answer_is_dropped_and_counted() -> None:
    told = {"q": "Agent: The  lamp is\nreplaced for free, sir.", "a": "the lamp is replaced for free"}
    rows, report = rendered([*CHATS, told])
    assert (len(rows), report.dropped) == (10, {"leak": 1})
    assert report.first == {"leak": "f:11 (template 'one')"}


def test_a_short_answer_in_the_text_is_a_coincidence_unless_most_rows_show_it(tmp_path: Path) -> None:
    rows, report = rendered([*CHATS, {"q": "Is 7 prime?", "a": "7"}])
    assert (len(rows), report.dropped, report.leaking) == (11, {}, {"one": 1})
    write_own(tmp_path, "{{ q }} It is {{ a }}.")
    with pytest.raises(TunesmithError, match="template 'planted' does in 3 of 3 rows"):
        stage_run(tmp_path, [{"q": f"Which? {i}", "a": x} for i, x in enumerate(("red", "blue", "green"))])


@pytest.mark.parametrize(
    ("prompt", "completion", "told"),
    [
        ("He said: YES, it\n works", "yes, it works", True),
        ("Yesterday", "yes", False),
        ("a year or yes", "yes", True),
        ("eyes yes", "yes", True),
        ("(see f(x);) done", "f(x);", True),
        ("15", "5", False),
        ("The cat, sat on.", "the cat sat on", True),
        ("the cat sat on", "The cat -- sat\non!", True),
        ("\u201cYes\u201d: it\u2019s here", "yes it's here", True),
        ("ﬁne, thanks", "Fine thanks", True),
        ("Is it 🙂 or 🙁?", "🙂", True),
        ("Is it fine?", "🙂", False),
        ("a + b", "+", True),
        ("naïves", "naïve", False),
    ],
)
def test_a_completion_is_found_as_whole_words(prompt: str, completion: str, told: bool) -> None:
    assert (leaked_reference(prompt, [completion]) is not None) is told


def test_any_reference_counts_as_a_leak() -> None:
    values: Rows = [{"q": "We sell a lamp that shines.", "a": ["Not told at all here.", "a lamp that shines"]}]
    assert rendered([*CHATS, *values])[1].dropped == {"leak": 1}


def test_a_short_leaked_reference_hides_no_long_one() -> None:
    values: Rows = [{"q": "Yes, we sell a lamp that shines.", "a": ["yes", "a lamp that shines"]}]
    assert rendered([*CHATS, *values])[1].dropped == {"leak": 1}
    assert leaked_reference("it is a b c, supercalifragilistic", ["a b c", "Supercalifragilistic"]) == "a b c"


def test_answer_choices_may_be_in_the_prompt_but_the_completion_is_one_of_them() -> None:
    choices = template_set("{{ q }} yes or no?", "a", answer_choices=["yes", "no"])
    rows, report = rendered([{"q": "1", "a": "yes"}, {"q": "2", "a": "maybe"}], choices)
    assert [row["completion"] for row in rows] == ["yes"]
    assert report.dropped == {"a completion that is none of the answer choices": 1}


def test_answer_choices_are_rendered_for_each_row() -> None:
    choices = template_set("{{ q }}", "answer_choices[1]", answer_choices="{{ q }} ||| not {{ q }}")
    rows, _ = rendered([{"q": "A", "a": 0}, {"q": "B ||| C", "a": 0}], choices)
    assert [row["answer_choices"] for row in rows] == [["A", "not A"], ["B ||| C", "not B ||| C"]]
    assert [row["completion"] for row in rows] == ["not A", "not B ||| C"]


def test_a_template_that_never_uses_a_required_column_is_named() -> None:
    templates = template_set("Say something.").model_copy(update={"required": ["q"]})
    assert "template 'one' of set 'own' never uses the column 'q'" in error_of(CHATS, templates)
    assert template_set("{{ q }}").model_copy(update={"required": None}).required_columns() == ["q"]


def test_an_unknown_metric_and_an_unknown_column_are_named_with_the_known(tmp_path: Path) -> None:
    write_own(tmp_path, "{{ q }}", ", metrics: [rogue]")
    with pytest.raises(TunesmithError, match="no metric 'rogue'; there are: rouge, bleu, "):
        load_set("own/mine", tmp_path / "tasks/template/library")
    path = tmp_path / "tasks/template/library/own/mine.yaml"
    path.write_text(path.read_text().replace(", metrics: [rogue]", "").replace("{{ q }}", "{{ qq }}"))
    with pytest.raises(TunesmithError, match="planted: no column 'qq' in the set; there are: q, a"):
        load_set("own/mine", tmp_path / "tasks/template/library")


def test_an_unknown_set_is_named_with_packaged_and_own_ones(tmp_path: Path) -> None:
    write_own(tmp_path, "{{ q }}")
    (tmp_path / "tasks/template/library/given.yaml").write_text("")
    for name in ("yours", "../own/mine", "own/../own/mine"):
        with pytest.raises(TunesmithError, match="there are: given, own/mine "):
            load_set(name, tmp_path / "tasks/template/library")


# optional columns, values, one wording for all

REVIEWS: Rows = [{"review": f"It is fine, number {i}.", "rating": i % 5 + 1} for i in range(40)]


def test_a_row_without_a_title_gets_no_template_that_needs_one() -> None:
    reviews = load_set("product_reviews")
    asks = {"one_sentence", "headline"}
    without, _ = rendered(REVIEWS, reviews, assign="all")
    assert {row["template_id"] for row in without} == {t.id for t in reviews.templates} - asks
    titled: Rows = [row | {"title": f"Good thing {i}"} for i, row in enumerate(REVIEWS)]
    rows, _ = rendered([*titled[:1], REVIEWS[1] | {"title": " "}], reviews, assign="all")
    assert {r["row_id"] for r in rows if r["template_id"] in asks} == {"r0"}
    rows, report = rendered(REVIEWS[:2], reviews, use=["headline"])
    assert (rows, report.dropped) == ([], {"no template for the columns that it has": 2})
    assert "column 'headline' is missing" in error_of(REVIEWS, reviews, columns={"title": "headline"})


def test_titles_change_the_template_only_of_rows_that_draw_one_with_a_title() -> None:
    reviews = load_set("product_reviews")
    before = {row["row_id"]: row["template_id"] for row in rendered(REVIEWS, reviews)[0]}
    titled: Rows = [row | {"title": f"Good thing {i}"} for i, row in enumerate(REVIEWS)]
    after = {row["row_id"]: row["template_id"] for row in rendered(titled, reviews)[0]}
    moved = {after[i] for i in before if before[i] != after[i]}
    assert moved == {"one_sentence", "headline"}


def test_assign_one_gives_every_row_the_first() -> None:
    rows, _ = rendered(REVIEWS, load_set("product_reviews"), assign="one", use=["rate", "stars"])
    assert {row["template_id"] for row in rows} == {"rate"}
    assert {row["task"] for row in rows} == {"rating_prediction"}


def test_an_inverted_template_has_its_own_input_as_text_and_keeps_identity_and_group() -> None:
    rows, _ = rendered(REVIEWS[:1], load_set("product_reviews"), assign="all", use=["stars", "write_for_stars"])
    stars, writes = rows
    assert (writes["task"], writes["completion"]) == ("review_writing", REVIEWS[0]["review"])
    assert (writes["text_column"], writes["text"]) == ("rating", "1")
    assert (stars["text_column"], stars["text"]) == ("review", REVIEWS[0]["review"])
    assert (stars["identity"], stars["group"]) == (writes["identity"], writes["group"])


def test_values_name_the_languages_of_a_source() -> None:
    row = {"en": "A dog runs.", "fr": "Un chien court."}
    params = {"columns": {"source": "en", "target": "fr"}}
    values = {"source_language": "English", "target_language": "French"}
    rows, _ = rendered([row], load_set("translation"), assign="all", **params, values=values)
    by_id = {r["template_id"]: r for r in rows}
    assert by_id["labelled"]["prompt"] == "English: A dog runs.\nFrench:"
    assert by_id["labelled"]["completion"] == "Un chien court."
    assert by_id["labelled_back"]["prompt"] == "French: Un chien court.\nEnglish:"
    assert by_id["labelled_back"]["text"] == "Un chien court."
    assert "no column 'tongue' in set 'translation'" in error_of([row], load_set("translation"), values={"tongue": "x"})
    assert "is in `columns` and in `values`" in error_of(
        [row], load_set("translation"), columns={"source": "en"}, values={"source": "x"}
    )


def test_entities_are_read_from_tokens_and_tags() -> None:
    values: Rows = [
        {"tokens": ["Ann", "saw", "New", "York"], "ner_tags": ["B-person", "O", "B-location", "I-location"]},
        {"tokens": ["nobody", "came"], "ner_tags": ["O", "O"]},
    ]
    rows, _ = rendered(values, load_set("entities"), use=["list_names"], columns={"tags": "ner_tags"})
    assert [row["completion"] for row in rows] == ["Ann: person\nNew York: location", "none"]
    assert rows[0]["text"] == rows[0]["identity"] == "Ann saw New York"
    assert "every token needs one tag" in error_of(
        [{"tokens": ["a"], "tags": []}], load_set("entities"), use=["list_names"]
    )


# streaming, and the whole check of a source


def test_rows_beyond_one_batch_are_streamed_in_their_order(tmp_path: Path) -> None:
    write_own(tmp_path, "{{ q }}")
    values: Rows = [{"q": f"Which is number {i}?", "a": f"The one after {i - 1}."} for i in range(4100)]
    rows = stage_run(tmp_path, values)
    assert [row["row_id"] for row in rows] == [f"r{i}" for i in range(4100)]
    path = Paths(tmp_path).rendered("s")
    assert read_rows(path) == rows
    first = path.read_bytes()
    stage_run(tmp_path, values)
    assert path.read_bytes() == first


def test_no_rows_are_a_table_with_its_columns(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_own(tmp_path, "{{ q }}")
    assert stage_run(tmp_path, [{"q": "", "a": "x"}], max_dropped=1.0) == []
    assert pq.read_schema(Paths(tmp_path).rendered("s")).names == RENDERED.names


def test_validate_names_each_kind(tmp_path: Path) -> None:
    write_own(tmp_path, "{{ q }}")
    long = {"q": "word " * 13, "a": "Too many of them."}
    results = findings(tmp_path, [*CHATS, CHATS[0], {"q": "", "a": "x"}, long])
    assert [(f.weight, f.kind) for f in results] == [("error", "dropped"), ("note", "duplicate"), ("error", "context")]
    assert "1 with empty q, the first at f:12" in results[0].message
    assert results[1].message == "1 row reads as an earlier one, first f:11 (planted) as f:1 (planted)"
    assert "1 of 12 prompts alone exceed max_length (12 tokens" in results[2].message
    assert findings(tmp_path, CHATS) == []
    allowed = findings(tmp_path, [*CHATS, {"q": "", "a": "x"}], max_dropped=0.5)
    assert [(f.weight, f.kind) for f in allowed] == [("note", "dropped")]


def test_validate_names_a_planted_leak_and_a_failing_template(tmp_path: Path) -> None:
    write_own(tmp_path, "{{ q }}: {{ a }}")
    leak, dropped = findings(tmp_path, CHATS, max_dropped=1.0)
    assert (leak.weight, leak.kind, "planted" in leak.message) == ("error", "leak", True)
    assert (dropped.weight, dropped.message) == ("note", "10 with leak, the first at f:1 (template 'planted')")
    path = tmp_path / "tasks/template/library/own/mine.yaml"
    path.write_text(path.read_text().replace("{{ a }}", "{{ q.nosuch }}"))
    (finding,) = findings(tmp_path, CHATS)
    assert (finding.weight, finding.kind) == ("error", "template")
    assert "template 'planted' fails on this row" in str(finding)
