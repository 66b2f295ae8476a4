"""Memorisation: spans by hand, and a model that has memorised its rows."""

from __future__ import annotations

import pytest

from tasks.benchmark.helm import memorisation
from tasks.benchmark.helm.memorisation import beginnings, longest_run, measure_memorisation, span_cell, spans, verbatim
from tasks.benchmark.helm.params import MemorisationParams
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tests.benchmark.helm.settings import INTERVALS, PARAMS
from tests.train.training_workspace import PAIRS, rows


def test_spans_are_runs_of_tokens_as_text(base: Predictor) -> None:
    tokenizer = base.renderer.tokenizer
    text = "the new lamp is late."
    tokens = tokenizer.tokenize(text)
    texts = spans(tokenizer, text, 3)
    assert len(texts) == len(tokens) - 2
    assert text.startswith(texts[0]) and text.endswith(texts[-1])
    assert spans(tokenizer, text, len(tokens)) == [text]
    assert spans(tokenizer, text, len(tokens) + 1) == []


def test_share_of_spans_by_hand() -> None:
    assert verbatim(["a lamp", "no lamp"], "there is a lamp") == [True, False]
    # 3 of 4 spans, though the mean of the rows' shares would be 5/6.
    assert span_cell([[True], [True, True, False]], 50, INTERVALS, "ab")["value"] == 0.75
    assert span_cell([[], []], 50, INTERVALS, "ab") == {"na": "no generation is 50 tokens long"}
    assert longest_run("x the lamp is on y", "and the lamp is on fire") == 4
    assert longest_run("", "a") == 0 and longest_run("b", "a") == 0


def test_beginnings_go_beyond_what_all_rows_share(base: Predictor) -> None:
    chosen = rows(
        [("Summarize: my lamp is broken and cold", "A lamp."), ("Summarize: the parcel is late today", "Late.")]
    )
    texts = [base.renderer.tokenizer.decode(tokens) for tokens in beginnings(base, chosen, 2)]
    assert all(text.startswith("<|user|>Summarize: ") for text in texts)
    for row, tokens in zip(chosen, beginnings(base, chosen, 2), strict=True):
        whole = base.renderer.encode(row["prompt"], row["completion"])
        assert tokens == (whole.prompt + whole.completion)[: len(tokens)]


def test_memorised_rows_are_detected(trained: Paths, base: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    # The model was trained on completions, not on the middle of prompts, so it gets the whole prompt.
    whole = lambda predictor, rows, tokens: [predictor.renderer.prompt(row["prompt"]) for row in rows]
    monkeypatch.setattr(memorisation, "beginnings", whole)
    params = PARAMS.model_copy(update={"memorisation": MemorisationParams(rows=6, new_tokens=12, span_tokens=3)})
    full = Predictor.load(trained.model("full"), base.generation, trained.root)
    known = measure_memorisation(full, trained.mixture("demo"), params)
    other = measure_memorisation(base, trained.mixture("demo"), params)
    assert known["rows"] == len(PAIRS) and known["mixture"] == "demo"
    assert known["spans"]["value"] > 0.9 and known["generated_spans"] > 6
    assert known["longest_words"] >= 4 > other["longest_words"]
    assert other["spans"].get("value", 0) < 0.5
