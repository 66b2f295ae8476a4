"""Scores worked out by hand, and their means."""

from __future__ import annotations

from typing import Any

import pytest
import sacrebleu

from tasks.core.errors import TunesmithError
from tasks.evaluate.metrics import PREDICTIONS, corpus, score_rows, settings, summarise
from tasks.evaluate.report import scored_rows
from tasks.metrics.names import BETWEEN_REFERENCES
from tasks.metrics.params import IntervalParams
from tasks.metrics.rouge.rouge import by_sentence
from tasks.metrics.scoring import Scoring, TemplateScoring
from tasks.metrics.signs.signs import copied_ngrams
from tasks.text.rows import Row
from tests.evaluate.evaluated_workspace import NAMES, PARTS
from tests.train.training_workspace import rows

INTERVALS = IntervalParams(resamples=200)


def row(*references: str, text: str = "", choices: list[str] | None = None) -> Row:
    return {"references": list(references), "text": text, "answer_choices": choices or [], "metrics": []}


def scored(completion: str, row: Row) -> Row:
    return score_rows([completion], [row])[0]


def rouge(kind: str, completion: str, *references: str) -> tuple[float, ...]:
    scores = scored(completion, row(*references))
    return tuple(round(scores[f"{kind}_{part}"], 3) for part in PARTS)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rouge1", (0.8, 1.0, 0.889)),  # 4 of the 5 words said, 4 of 4 in the reference
        ("rouge2", (0.5, 0.667, 0.571)),  # "it is" and "cold outside": 2 of 4, 2 of 3
        ("rougeL", (0.8, 1.0, 0.889)),  # a common subsequence may have gaps
        ("rougeLsum", (0.8, 1.0, 0.889)),
    ],
)
def test_rouge_by_hand(kind: str, expected: tuple[float, ...]) -> None:
    assert rouge(kind, "It is very cold outside", "It is cold outside") == expected


def test_rouge_stems_words_and_ignores_case() -> None:
    assert rouge("rouge1", "LAMPS breaking", "lamp breaks") == (1.0, 1.0, 1.0)


def test_the_reference_with_the_best_f1_counts() -> None:
    """For each kind by itself, with precision and recall of that reference and no mixture."""
    assert rouge("rouge1", "a b c d", "a", "a b x y", "q") == (0.5, 0.5, 0.5)
    # Against "b a" ROUGE-1 is perfect and ROUGE-2 zero; against "a b c c" it is 0.667 and 0.5.
    assert rouge("rouge1", "a b", "b a", "a b c c") == (1.0, 1.0, 1.0)
    assert rouge("rouge2", "a b", "b a", "a b c c") == (1.0, 0.333, 0.5)


def test_lsum_goes_by_sentence_and_l_does_not() -> None:
    """Swapped sentences: the longest subsequence of the whole is one of the two, but each is found again."""
    assert rouge("rougeL", "Gamma delta. Alpha beta.", "Alpha beta. Gamma delta.") == (0.5, 0.5, 0.5)
    assert rouge("rougeLsum", "Gamma delta. Alpha beta.", "Alpha beta. Gamma delta.") == (1.0, 1.0, 1.0)


def test_lsum_unites_the_common_words_of_all_output_sentences_per_reference_sentence() -> None:
    """ROUGE-L finds two of the three words in order; Lsum finds them all, two in one sentence and one in the other."""
    assert rouge("rougeL", "Beta gamma. Alpha.", "Alpha beta gamma.") == (0.667, 0.667, 0.667)
    assert rouge("rougeLsum", "Beta gamma. Alpha.", "Alpha beta gamma.") == (1.0, 1.0, 1.0)


def test_by_sentence() -> None:
    assert by_sentence(" One. Two!  Three? 1.5 four\nfive ") == "One.\nTwo!\nThree?\n1.5 four\nfive"


@pytest.mark.parametrize(
    ("completion", "share"),
    [
        ("the cat sat on a mat", 1 / 3),  # of "the cat sat on", "cat sat on a", "sat on a mat"
        ("The cat, SAT on", 1.0),
        ("the cat sat", 0.0),  # no 4-gram
        ("", 0.0),
        ("sat on the mat sat on the mat", 2 / 5),  # the same 4-gram twice, and three across the border
    ],
)
def test_copied_4grams_by_hand(completion: str, share: float) -> None:
    assert copied_ngrams(completion, "The cat sat on the mat.") == pytest.approx(share)


def test_exact_match_applies_to_choices_and_where_a_template_names_it() -> None:
    assert scored("yes", row("yes"))["exact_match"] is None
    assert scored(" yes\n", row(" yes", choices=["yes", "no"]))["exact_match"] == 1.0
    assert scored("yes, it is", row("yes", choices=["yes", "no"]))["exact_match"] == 0.0


def predictions(*pairs: tuple[str, list[str]], choices: list[str] | None = None) -> list[Row]:
    rendered = rows([("the cat sat on the mat", references[0]) for _, references in pairs], choices)
    for known, (_, references) in zip(rendered, pairs, strict=True):
        known["references"] = references
    completions = [{"completion": completion, "new_tokens": 4, "finished": True} for completion, _ in pairs]
    metrics = ["accuracy", "macro_f1"] if choices else ["rouge"]
    scoring = Scoring(templates={"plain": TemplateScoring(metrics=metrics)})
    return scored_rows(rendered, completions, {"chats": scoring})


PAIRS = [
    ("the cat sat on the mat", ["the cat sat on a mat", "a cat sat on the mat"]),
    ("a dog ran", ["the dog ran away today", "dogs ran"]),
    ("birds fly south in the cold winter", ["birds fly south in winter", "in winter birds fly south"]),
]


def test_corpus_bleu_is_sacrebleus() -> None:
    bleu = summarise(predictions(*PAIRS), INTERVALS)["bleu"]
    streams = [[references[i] for _, references in PAIRS] for i in range(2)]
    assert bleu["value"] == pytest.approx(sacrebleu.corpus_bleu([completion for completion, _ in PAIRS], streams).score)
    assert bleu["low"] is not None and bleu["high"] is not None and bleu["value"] is not None
    assert 0 <= bleu["low"] <= bleu["value"] <= bleu["high"] <= 100
    assert bleu["low"] < bleu["high"]


def test_corpus_bleu_with_unequal_numbers_of_references() -> None:
    fewer = [PAIRS[0], (PAIRS[1][0], PAIRS[1][1][:1])]
    streams: list[Any] = [[fewer[0][1][0], fewer[1][1][0]], [fewer[0][1][1], None]]
    expected = sacrebleu.corpus_bleu([completion for completion, _ in fewer], streams).score
    assert summarise(predictions(*fewer), INTERVALS)["bleu"]["value"] == pytest.approx(expected)


def test_sentence_bleu_of_a_repeated_reference() -> None:
    assert predictions(("the cat sat on a mat", PAIRS[0][1]))[0]["bleu"] == pytest.approx(100)


def test_summary_names_and_means() -> None:
    results = predictions(*PAIRS)
    metrics = summarise(results, INTERVALS)
    assert set(metrics) == NAMES | set(BETWEEN_REFERENCES.values())
    for name in NAMES - {"bleu"}:
        values = [float(row[name]) for row in results]
        value = metrics[name]
        assert value["value"] == pytest.approx(sum(values) / 3)
        assert value["low"] <= value["value"] <= value["high"]  # type: ignore[operator]
    assert metrics["finished"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert metrics == summarise(results, INTERVALS)


@pytest.mark.parametrize("group", ["group", "row_id"], ids=["groups", "prompt variants"])
def test_rows_of_one_group_and_variants_of_one_row_are_drawn_together(group: str) -> None:
    """Three right completions and three wrong ones: as two groups they are drawn together, as six rows they are not."""
    texts = ["ada: person"] * 3 + ["bob: person"] * 3
    results = predictions(*((text, ["ada: person"]) for text in texts))
    for number, row in enumerate(results):
        row |= {"row_id": f"r{number}", "group": None, "metrics": ["entity_f1"], "template_id": f"t{number}"}
        row["exact_match"] = float(number < 3)
    many = IntervalParams(resamples=2000)
    together = [row | {group: "ab"[number // 3]} for number, row in enumerate(results)]
    for name in ("exact_match", "entity_f1"):
        assert summarise(together, many)[name] == {"value": 0.5, "low": 0.0, "high": 1.0}
        single = summarise(results, many)[name]
        assert (single["value"], single["low"], single["high"]) == pytest.approx((0.5, 1 / 6, 5 / 6))


def test_summary_of_labels_has_exact_match() -> None:
    results = predictions(("yes", ["yes"]), ("no", ["yes"]), choices=["yes", "no"])
    assert summarise(results, INTERVALS)["exact_match"]["value"] == 0.5


def test_a_row_has_the_scores_that_its_template_names() -> None:
    """The first asks for chrF and entities, the second for labels: neither has the other's."""
    first, second = predictions(("Ada: person", ["Ada: person"]), ("a dog.", ["a dog"]))
    assert first["chrf"] is second["token_f1"] is None
    first["metrics"], second["metrics"] = ["chrf", "entity_f1"], ["token_f1", "accuracy", "matthews"]
    results = score_rows(["ada: person", "A dog."], [one | {"answer_choices": []} for one in (first, second)])
    names = ("chrf", "entity_f1", "token_f1", "accuracy", "exact_match")
    assert [results[0][name] is not None for name in names] == [True, True, False, False, False]
    assert (results[1]["token_f1"], results[1]["accuracy"], results[1]["chrf"]) == (1.0, 1.0, None)
    metrics = corpus([first, second], INTERVALS)
    assert set(metrics) == {"chrf", "entity_f1", "matthews"}
    assert metrics["entity_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    summary = summarise([{**first, **results[0]}, {**second, **results[1]}], INTERVALS)
    assert summary["accuracy"]["value"] == summary["token_f1"]["value"] == 1.0
    assert "pearson" not in summary


def test_signatures_of_sacrebleu_are_kept() -> None:
    results = predictions(*PAIRS)
    summarise(results, INTERVALS)
    assert settings(results)["bleu_signature"].startswith("nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_what_a_metric_cannot_score_names_metric_and_source() -> None:
    (prediction,) = predictions(("3", ["three"]))
    with pytest.raises(TunesmithError, match=r"metric pearson on the rows of chats: reference 0: .* it is 'three'"):
        corpus([prediction | {"metrics": ["pearson"]}], INTERVALS)


@pytest.mark.parametrize("completions", [("", "", ""), ("", "a dog ran", ""), (" \n", "...", "")])
def test_empty_completions_are_scored_and_counted(completions: tuple[str, ...]) -> None:
    results = predictions(*((text, references) for text, (_, references) in zip(completions, PAIRS, strict=True)))
    metrics = summarise(results, INTERVALS)
    assert metrics["empty"]["value"] == pytest.approx(sum(not text.strip() for text in completions) / 3)
    assert all(0 <= row["rouge1_f"] <= 1 and row["bleu"] >= 0 for row in results)
    if not any(text.strip(" \n.") for text in completions):
        assert metrics["rouge1_f"]["value"] == metrics["bleu"]["value"] == metrics["copied_4grams"]["value"] == 0.0


def test_columns_of_predictions() -> None:
    """The columns of predictions; the report also reads others, such as the template text, and does not write them."""
    unwritten = ("template", "language", "messages", "tools")
    assert [name for name in predictions(*PAIRS)[0] if name not in unwritten] == PREDICTIONS.names
