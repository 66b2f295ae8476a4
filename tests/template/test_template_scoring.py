"""What ``template@S`` writes of metrics: a file of its own, so that other metrics leave the rows as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json
from tasks.core.params import parse
from tasks.core.paths import Paths
from tasks.metrics.languages import _BLEU_TOKENIZERS
from tasks.template.library import load_set
from tasks.template.params import TemplateParams
from tasks.template.run import scoring_of
from tests.template.own_set import stage_run, write_own
from tests.template.rendering import Rows

ROWS: Rows = [{"q": "Which lamp is broken?", "a": "The one in the hall."}]


def test_other_metrics_leave_the_rendered_rows_as_they_are(tmp_path: Path) -> None:
    rendered, scoring = Paths(tmp_path).rendered("s"), Paths(tmp_path).scoring("s")
    write_own(tmp_path, "{{ q }}")
    stage_run(tmp_path, ROWS)
    before = rendered.read_bytes()
    assert read_json(scoring) == {"templates": {"planted": {"metrics": ["rouge"]}}}
    write_own(tmp_path, "{{ q }}", ", metrics: [token_f1, chrf]")
    stage_run(tmp_path, ROWS)
    assert rendered.read_bytes() == before
    assert read_json(scoring) == {"templates": {"planted": {"metrics": ["token_f1", "chrf"]}}}


def test_another_language_leaves_the_rendered_rows_as_they_are(tmp_path: Path) -> None:
    rendered, scoring = Paths(tmp_path).rendered("s"), Paths(tmp_path).scoring("s")
    write_own(tmp_path, "{{ q }}")
    stage_run(tmp_path, ROWS)
    before = rendered.read_bytes()
    stage_run(tmp_path, ROWS, language="de")
    assert rendered.read_bytes() == before
    assert read_json(scoring) == {"language": "de", "templates": {"planted": {"metrics": ["rouge"]}}}


@pytest.mark.parametrize("code", ["Deutsch", "german", "DE", "de_AT", ""])
def test_a_language_is_a_code(code: str) -> None:
    with pytest.raises(TunesmithError, match=rf"s\.template\.language: must be a code of ISO 639.*; it is '{code}'"):
        parse(TemplateParams, {"set": "own", "language": code}, "params/sources.yaml", "s.template")


@pytest.mark.parametrize(
    ("code", "written"), [("zho", "zh"), ("chi-TW", "zh-TW"), ("jpn", "ja"), ("eng", "en"), ("gre", "el")]
)
def test_a_code_of_three_letters_is_refused_if_there_is_one_of_two(code: str, written: str) -> None:
    """Under three letters, no tokenizer and no word list would apply."""
    with pytest.raises(TunesmithError, match=rf"s\.template\.language: .*; it is '{code}'; write {written}$"):
        parse(TemplateParams, {"set": "own", "language": code}, "params/sources.yaml", "s.template")


def test_every_language_that_a_score_knows_is_accepted() -> None:
    assert {"yue", "wuu", "lzh"} < _BLEU_TOKENIZERS.keys()
    for code in _BLEU_TOKENIZERS:
        assert TemplateParams(set="own", language=code).language == code


def test_only_the_templates_in_use_are_named() -> None:
    """Other metrics of the others then score nothing anew."""
    params = TemplateParams(set="product_reviews", use=["stars", "headline"])
    assert scoring_of("s", load_set("product_reviews"), params).model_dump(exclude_none=True) == {
        "templates": {"stars": {"metrics": ["accuracy", "macro_f1"]}, "headline": {"metrics": ["rouge"]}}
    }
