"""Metrics of texts in any script: equal texts score 1, other texts nearly 0, and ASCII as the libraries score it."""

from __future__ import annotations

import random
import string
from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from tasks.metrics.languages import _BLEU_TOKENIZERS, bleu_tokenizer, is_english
from tasks.metrics.load import load
from tasks.metrics.rouge.rouge import KINDS, AtSpaces, by_sentence, stemmed
from tests.metrics.scripts import PAIRS

TEXTS = pytest.mark.parametrize(("text", "other"), PAIRS.values(), ids=PAIRS)


def compute(metric: str, prediction: str, *references: str, **more: Any) -> dict[str, Any]:
    return dict(load(metric).compute(predictions=[prediction], references=[list(references)], **more))


def ascii_pairs(count: int = 500) -> list[tuple[str, str]]:
    """Random texts of few words, so that they overlap, between random characters."""
    drawn = random.Random(7)
    characters = "".join(map(chr, range(128)))
    vocabulary = ["running", "Lamps", "a", "don't", "x_1", "3.5", "of", "relational", *string.ascii_lowercase[:4]]

    def text() -> str:
        words = [drawn.choice(vocabulary) for _ in range(drawn.randrange(25))]
        gaps = [drawn.choice([" ", " ", ". ", "! ", "\n", drawn.choice(characters)]) for _ in words]
        return "".join(word + gap for word, gap in zip(words, gaps, strict=True))

    return [(text(), text()) for _ in range(count)]


@TEXTS
def test_equal_texts_score_one_and_others_nearly_zero(text: str, other: str) -> None:
    same, different = compute("rouge", text, text), compute("rouge", text, other)
    assert {same[f"{kind}_f"] for kind in KINDS if kind != "rouge2"} == {1.0}
    assert different["rouge1_f"] <= 0.2
    assert compute("chrf", text, text)["chrf"] == 100.0
    assert compute("chrf", text, other)["chrf"] <= 30.0
    for metric in ("exact_match", "accuracy", "token_f1"):
        assert compute(metric, text, text)[metric] == 1.0
        assert compute(metric, text, other)[metric] == 0.0


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("今天天气很好。", "今天天气非常好。", (5 / 6, 5 / 7)),  # all but 很 of six characters, five of seven
        ("Für uns", "Fur uns", (1 / 2, 1 / 2)),  # "f r uns" to rouge_score
        ("Grüße", "Größe", (0.0, 0.0)),
        ("für lamps", "Für lamp", (1.0, 1.0)),  # English words are stemmed in any text
        ("Он купил книгу", "Она купила книгу", (1 / 3, 1 / 3)),
        ("👍 👍", "👍", (1 / 2, 1.0)),
        ("Great! 👍", "great", (1.0, 1.0)),  # beside words, an emoji is like punctuation
    ],
)
def test_rouge_1_by_hand(prediction: str, reference: str, expected: tuple[float, float]) -> None:
    scores = compute("rouge", prediction, reference)
    assert (scores["rouge1_precision"], scores["rouge1_recall"]) == pytest.approx(expected)


def test_rouge_of_ascii_is_that_of_rouge_score() -> None:
    """Both by the scorer that ASCII texts get and by the one for texts of any script."""
    pairs = [(prediction, true) for prediction, true in ascii_pairs() if any(c.isalnum() for c in true)]
    assert len(pairs) > 400
    given = {"predictions": [prediction for prediction, _ in pairs], "references": [[true] for _, true in pairs]}
    scores = load("rouge").compute(**given, per_row=True)
    reference = RougeScorer(list(KINDS), use_stemmer=True)
    general = RougeScorer(list(KINDS), tokenizer=AtSpaces())
    for number, (prediction, true) in enumerate(pairs):
        expected = reference.score(by_sentence(true), by_sentence(prediction))
        ours = stemmed(by_sentence(true)), stemmed(by_sentence(prediction))
        assert general.score(*ours) == expected, (prediction, true)
        for kind in KINDS:
            values = tuple(scores[f"{kind}_{part}"][number] for part in ("precision", "recall", "f"))
            assert values == tuple(expected[kind]), (prediction, true)
    assert 0.2 < np.mean(scores["rouge1_f"]) < 0.8


def test_rouge_of_a_reference_without_words_is_null() -> None:
    given = {"predictions": ["a b", "a b", "", "?!"], "references": [["?!"], ["?!", "a"], ["a"], ["?!"]]}
    assert load("rouge").compute(**given, per_row=True)["rouge1_f"] == [None, pytest.approx(2 / 3), 0.0, None]
    assert load("rouge").compute(**given)["rouge1_f"] == pytest.approx(1 / 3)
    assert load("rouge").settings["rouge_signature"].startswith("tok:words|stem:porter-ascii|unicode:")


def test_bleu_by_characters_of_a_language_without_spaces() -> None:
    text, near = "今天天气很好，我们去公园散步。", "今天天气很好，我们去公园跑步。"
    assert compute("bleu", text, text, languages=["zh"])["bleu"] == pytest.approx(100)
    expected = sacrebleu.corpus_bleu([near], [[text]], tokenize="zh").score
    assert compute("bleu", near, text, languages=["zh"])["bleu"] == pytest.approx(expected)
    assert 50 < expected < 100
    assert "tok:zh" in load("bleu").settings["bleu_signature"]


def test_every_tokenizer_of_a_language_needs_no_further_package() -> None:
    assert {bleu_tokenizer(language) for language in _BLEU_TOKENIZERS} == {"zh", "char"}
    for tokenizer in set(_BLEU_TOKENIZERS.values()):
        assert sacrebleu.corpus_bleu(["今天天气很好"], [["今天天气很好"]], tokenize=tokenizer).score == pytest.approx(
            100
        )
    assert (bleu_tokenizer("zh-TW"), bleu_tokenizer("ja"), bleu_tokenizer("ko")) == ("zh", "char", "char")
    assert {bleu_tokenizer(language) for language in (None, "en", "de", "ru")} == {"13a"}
    assert is_english(None) and is_english("en-GB") and not is_english("de")


def test_bleu_of_several_languages_adds_up_their_counts() -> None:
    """The rows of each language are split by its own tokenizer, and their order does not matter."""
    english, chinese = ("the cat sat on the mat", "the cat sat on a mat"), ("今天天气很好", "今天天气真好")
    orders = []
    for rows in ([(english, None), (chinese, "zh")], [(chinese, "zh"), (english, "en")]):
        given = {"predictions": [pair[0] for pair, _ in rows], "references": [[pair[1]] for pair, _ in rows]}
        orders.append(load("bleu").compute(**given, languages=[language for _, language in rows])["bleu"])
    spaced = [[" ".join(text) for text in chinese]]
    true = [[english[1], *(pair[1] for pair in spaced)]]
    expected = sacrebleu.corpus_bleu([english[0], *(pair[0] for pair in spaced)], true).score
    assert orders == [pytest.approx(expected), pytest.approx(expected)]
    assert [f"tok:{name}" in load("bleu").settings["bleu_signature"] for name in ("zh", "13a")] == [True, True]


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_sacrebleu_of_ascii_is_its_default(metric: str) -> None:
    pairs = ascii_pairs()
    predictions, true = [prediction for prediction, _ in pairs], [true for _, true in pairs]
    reference = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF()}[metric]
    scores = load(metric).compute(predictions=predictions, references=[[text] for text in true])
    assert scores[metric] == reference.corpus_score(predictions, [true]).score
    assert load(metric).settings == {f"{metric}_signature": str(reference.get_signature())}


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_bleu_and_chrf_of_empty_references_are_null(metric: str) -> None:
    names = {metric, f"{metric}_low", f"{metric}_high"}
    assert compute(metric, "a cat", " \n", resamples=100) == dict.fromkeys(names)
    assert compute(metric, "", "a cat")[metric] == 0.0


SAME = pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("“It’s”", '"It\'s"'),
        ("AT&amp;T &quot;x&quot;", 'AT&T "x"'),
        ("\ufeffzero\u200bwidth", "zerowidth"),
        ("ＡＢＣ ﬁn", "ABC fin"),
        ("e\u0301te\u0301", "été"),
        ("Tom&nbsp;Sawyer", "Tom Sawyer"),
        ("❤\ufe0f", "❤"),
    ],
)


@SAME
@pytest.mark.parametrize("metric", ["exact_match", "accuracy", "token_f1"])
def test_how_a_text_is_encoded_does_not_count(metric: str, prediction: str, reference: str) -> None:
    assert compute(metric, prediction, reference)[metric] == 1.0


@pytest.mark.parametrize(
    ("prediction", "reference", "accuracy"),
    [
        ("积极。", "积极", 1.0),
        ("सकारात्मक।", "सकारात्मक", 1.0),
        ("إيجابي؟", "إيجابي", 1.0),
        ("«Положительный!»", "положительный", 1.0),
        ("ＹＥＳ．", "yes", 1.0),
        ("Positive!", "positive", 1.0),
        ("'Positive.'", "positive", 1.0),
        ("C#", "C", 0.0),
        ("C++", "C", 0.0),
        ("?", "!", 0.0),
        ("", "?", 0.0),
        ("正面", "负面", 0.0),
    ],
)
def test_a_label_in_any_script(prediction: str, reference: str, accuracy: float) -> None:
    assert compute("accuracy", prediction, reference)["accuracy"] == accuracy
    assert compute("exact_match", prediction, reference)["exact_match"] == 0.0


@pytest.mark.parametrize(
    ("prediction", "reference", "f1"),
    [
        ("今天天气很好。", "今天天气非常好。", 10 / 13),  # five characters in common, of six and of seven
        ("Die “großen” Städte!", "die grossen Städte", 1.0),
        ("l’été, l’hiver", "l'été", 2 / 3),
        ("أحمد، علي", "علي", 2 / 3),
    ],
)
def test_token_f1_in_any_script(prediction: str, reference: str, f1: float) -> None:
    assert compute("token_f1", prediction, reference)["token_f1"] == pytest.approx(f1)


def signs(prediction: str, reference: str, source: str, language: str | None = None) -> dict[str, Any]:
    given = {"predictions": [prediction], "references": [[reference]], "sources": [source]}
    return dict(load("signs").compute(**given, languages=[language]))


def test_signs_of_a_text_without_spaces() -> None:
    source = "今天天气很好，我们去公园散步。"
    scores = signs("我们去公园散步", "去公园", source, "zh")
    assert (scores["copied_4grams"], scores["length_ratio"], scores["distinct_1"]) == (1.0, 7 / 3, 1.0)
    assert signs("好好好好", "好", "")["repetition"] == 0.5  # two 3-grams, both the same
    assert signs("今天下雨了吗", "好", source)["copied_4grams"] == 0.0


def test_negations_and_numbers_are_read_in_english_alone() -> None:
    pair = "He did not come at 3", "He came at 4"
    for sign in ("negation_differs", "numbers_differ"):
        assert [signs(*pair, "", language)[sign] for language in (None, "en", "en-GB")] == [1.0] * 3
        assert signs(*pair, "", "de")[sign] is None


@pytest.mark.parametrize("item", ["- ", "* ", "• ", "1. ", "2) ", "(3) ", "  - "])
def test_entities_in_a_list(item: str) -> None:
    listed = f"{item}Ada Lovelace: person\n{item}London: location"
    assert compute("entity_f1", listed, "Ada Lovelace: person\nLondon: location")["entity_f1"] == 1.0
    assert compute("entity_f1", listed, f"{item}Ada Lovelace: person\n{item}Paris: location")["entity_f1"] == 0.5


def test_entities_in_any_script() -> None:
    assert compute("entity_f1", "・東京：場所", "東京: 場所")["entity_f1"] == 1.0
    assert compute("entity_f1", "3M: company", "M: company")["entity_f1"] == 0.0
    assert compute("entity_f1", "1.5 litres: amount", "litres: amount")["entity_f1"] == 0.0
