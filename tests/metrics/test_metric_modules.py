"""Each metric against values worked out by hand, against its reference implementation, and on bad input."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import sacrebleu
import scipy.stats
import sklearn.metrics
from rouge_score.rouge_scorer import RougeScorer
from sklearn.preprocessing import MultiLabelBinarizer

from tasks.core.errors import TunesmithError
from tasks.ingest.demo import generate
from tasks.metrics.load import FOLDER, load
from tasks.metrics.names import METRICS, known
from tasks.metrics.rouge.rouge import by_sentence
from tasks.metrics.text import answer

LABELS = ["positive", "negative", "neutral"]


def compute(metric: str, predictions: list[str], true: list[Any], **more: Any) -> dict[str, Any]:
    references = [[texts] if isinstance(texts, str) else texts for texts in true]
    return dict(load(metric).compute(predictions=predictions, references=references, **more))


def overlapping_pairs(count: int) -> list[tuple[str, str]]:
    """A summary of the demo beside another one, or beside itself shuffled, repeated or cut: overlaps of every size."""
    texts = [text for row in generate(seed=0, train_rows=400, test_rows=100)[0] for text in row["summaries"]]
    shuffler, pairs = random.Random(0), []
    for i in range(count):
        text, other = texts[i % len(texts)], texts[(i + 1) % len(texts)]
        words = text.split()
        shuffler.shuffle(words)
        cut = " ".join(text.split()[: shuffler.randrange(1, 12)])
        pairs.append((shuffler.choice([other, " ".join(words), f"{cut}. {cut}", cut.upper()]), text))
    return pairs


def test_every_folder_is_a_metric_and_every_metric_a_folder() -> None:
    folders = {path.name for path in FOLDER.iterdir() if (path / f"{path.name}.py").exists()}
    assert folders == {*METRICS, "signs"}
    assert all(load(name).name == name for name in folders)


def test_rouge_is_that_of_rouge_score_on_a_thousand_pairs() -> None:
    pairs = overlapping_pairs(1000)
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scores = compute("rouge", [prediction for prediction, _ in pairs], [true for _, true in pairs], per_row=True)
    reference = RougeScorer(kinds, use_stemmer=True)
    for i, (prediction, true) in enumerate(pairs):
        expected = reference.score(by_sentence(true), by_sentence(prediction))
        for kind in kinds:
            ours = tuple(scores[f"{kind}_{part}"][i] for part in ("precision", "recall", "f"))
            assert ours == tuple(expected[kind]), (prediction, true)
    assert 0.2 < np.mean(scores["rouge1_f"]) < 0.8


@pytest.mark.parametrize(("metric", "reference"), [("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())])
def test_sacrebleu_on_overlapping_pairs(metric: str, reference: Any) -> None:
    pairs = overlapping_pairs(250)
    predictions, true = [prediction for prediction, _ in pairs], [[true, true.lower()] for _, true in pairs]
    expected = reference.corpus_score(predictions, [[texts[0] for texts in true], [texts[1] for texts in true]])
    assert compute(metric, predictions, true)[metric] == pytest.approx(expected.score, abs=1e-12)
    assert load(metric).settings == {f"{metric}_signature": str(reference.get_signature())}


def test_chrf_with_unequal_numbers_of_references() -> None:
    once = compute("chrf", ["a cat sat", "dogs ran"], [["the cat sat", "a cat sits"], ["dogs run"]])
    twice = compute("chrf", ["a cat sat", "dogs ran"], [["the cat sat", "a cat sits"], ["dogs run", "dogs run"]])
    assert once == twice


def labelled(count: int = 300) -> tuple[list[str], list[str]]:
    drawn = random.Random(1)
    true = drawn.choices(LABELS, [6, 3, 1], k=count)
    predictions = [label if drawn.random() < 0.6 else drawn.choice([*LABELS, "no idea"]) for label in true]
    return predictions, true


def test_labels_against_scikit_learn() -> None:
    predictions, true = labelled()
    assert compute("accuracy", predictions, true)["accuracy"] == sklearn.metrics.accuracy_score(true, predictions)
    expected = sklearn.metrics.f1_score(true, predictions, labels=LABELS, average="macro")
    assert compute("macro_f1", predictions, true)["macro_f1"] == pytest.approx(expected, abs=1e-12)
    expected = sklearn.metrics.matthews_corrcoef(true, predictions)
    assert compute("matthews", predictions, true)["matthews"] == pytest.approx(expected, abs=1e-12)


def test_labels_by_hand() -> None:
    """Of two rows "a" one is right (F1 2/3: one right, two true, one said), of one "b" none (F1 0)."""
    predictions, true = ["A.", "no idea", " 'c'"], ["a", "a", "b"]
    assert compute("accuracy", predictions, true)["accuracy"] == pytest.approx(1 / 3)
    assert compute("macro_f1", predictions, true)["macro_f1"] == pytest.approx(1 / 3)
    assert compute("matthews", ["a"] * 3, true)["matthews"] == 0.0
    assert compute("matthews", ["a", "a", "b"], true)["matthews"] == pytest.approx(1.0)
    assert compute("accuracy", ["yes"], [["no", "YES"]])["accuracy"] == 1.0


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_correlations_against_scipy(metric: str) -> None:
    rng = np.random.default_rng(0)
    true = np.round(rng.uniform(0, 5, 250), 1)
    predictions = np.round(true + rng.normal(0, 1, 250), 1)
    reference = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}[metric]
    value = compute(metric, [str(x) for x in predictions], [str(x) for x in true])[metric]
    assert value == pytest.approx(reference(predictions, true).statistic, abs=1e-12)


def test_correlations_by_hand() -> None:
    assert compute("pearson", ["1", "2", "3"], ["2", "4", "6"])["pearson"] == pytest.approx(1)
    assert compute("spearman", ["1", "10", "100"], ["3", "2", "1"])["spearman"] == pytest.approx(-1)
    assert compute("pearson", ["2", "2", "2"], ["1", "2", "3"]) == {"pearson": None, "pearson_unparsed": 0}
    assert compute("spearman", ["0.1"] * 3, ["1", "2", "3"], resamples=100)["spearman_low"] is None
    # "no idea" and "nan" are -1: (-1, 0), (-1, 1), (1, 2).
    scores = compute("pearson", ["no idea", "nan", "1"], ["0", "1", "2"])
    assert scores["pearson"] == pytest.approx(np.corrcoef([-1, -1, 1], [0, 1, 2])[0, 1])
    assert scores["pearson_unparsed"] == 2


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_resamples_in_which_one_side_is_constant_have_no_correlation(metric: str) -> None:
    """Nine of ten rows are equal, so each resample that lacks the tenth is constant; all others correlate fully."""
    outputs = ["1"] * 9 + ["2"]
    scores = compute(metric, outputs, outputs, resamples=200)
    assert [scores[f"{metric}{part}"] for part in ("", "_low", "_high")] == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_resamples_of_references_without_text_have_no_score(metric: str) -> None:
    outputs, true = ["the cat sat on the mat"] * 3, ["the cat sat on the mat", "", ""]
    low, high = (compute(metric, outputs, true, resamples=200)[f"{metric}_{end}"] for end in ("low", "high"))
    assert 0 < low <= high


@pytest.mark.parametrize("reference", ["entailment", "nan"])
def test_correlation_needs_numbers_as_references(reference: str) -> None:
    with pytest.raises(ValueError, match=rf"reference 1: correlation needs finite numbers.*'{reference}'"):
        compute("pearson", ["1", "2"], ["1", reference])


def test_token_f1_by_hand() -> None:
    """Shared "cat" and "sat" of 2 and 3 words: articles and punctuation do not count."""
    predictions, true = ["The cat sat!", "", "the", "x"], ["a cat sat down", "", "a", ["y", "X."]]
    scores = compute("token_f1", predictions, true, per_row=True)
    assert scores["token_f1"] == pytest.approx([0.8, 1.0, 1.0, 1.0])
    assert compute("token_f1", [""], ["word"])["token_f1"] == 0.0


def test_token_f1_against_scikit_learn_where_no_word_comes_twice() -> None:
    pairs = [(prediction, true) for prediction, true in overlapping_pairs(2000)]
    single = [(prediction, true) for prediction, true in pairs if all(_once(text) for text in (prediction, true))]
    assert len(single) >= 200
    predictions, references = map(list, zip(*single, strict=True))
    scores = compute("token_f1", predictions, references, per_row=True)
    for value, (prediction, true) in zip(scores["token_f1"], single, strict=True):
        matrix = MultiLabelBinarizer().fit_transform([_squad_words(prediction), _squad_words(true)])
        expected = sklearn.metrics.f1_score(matrix[1], matrix[0], zero_division=0.0)
        assert value == pytest.approx(expected), (prediction, true)


def _squad_words(text: str) -> list[str]:
    from tasks.metrics.text import squad

    return squad(text).split()


def _once(text: str) -> bool:
    words = _squad_words(text)
    return len(set(words)) == len(words)


def test_entity_f1_by_hand() -> None:
    """Two of three said are right, of two true ones in the first row and none in the second: 2 * 2 / (3 + 2)."""
    predictions = ["Ada Lovelace: person\nLondon: location", "none\nParis: location"]
    assert compute("entity_f1", predictions, ["ada lovelace: person\nlondon: location", "none"])["entity_f1"] == 0.8
    assert compute("entity_f1", ["London: person"], ["London: location"])["entity_f1"] == 0.0
    assert compute("entity_f1", ["none", ""], ["none", "none"])["entity_f1"] == 1.0
    # A name may hold a colon: the last one divides.
    assert compute("entity_f1", ["Mission: Impossible: work"], ["mission: impossible: work"])["entity_f1"] == 1.0


def test_entity_f1_against_scikit_learns_micro_average() -> None:
    drawn, names = random.Random(2), [f"name{i}: {kind}" for i in range(12) for kind in ("person", "group")]
    rows = [(drawn.sample(names, drawn.randrange(5)), drawn.sample(names, drawn.randrange(5))) for _ in range(250)]
    binary = MultiLabelBinarizer().fit([names])
    predictions, true = ([row[side] for row in rows] for side in (0, 1))
    expected = sklearn.metrics.f1_score(binary.transform(true), binary.transform(predictions), average="micro")
    scores = compute("entity_f1", ["\n".join(row) for row in predictions], ["\n".join(row) or "none" for row in true])
    assert scores["entity_f1"] == pytest.approx(expected, abs=1e-12)


def test_exact_match_wants_every_letter() -> None:
    scores = compute("exact_match", [" yes\n", "Yes", "yes."], ["yes", "yes", ["no", "yes."]], per_row=True)
    assert scores["exact_match"] == [1.0, 0.0, 1.0]


def signs(prediction: str, references: list[str], source: str = "") -> dict[str, Any]:
    scores = load("signs").compute(predictions=[prediction], references=[references], sources=[source], per_row=True)
    return {name: values[0] for name, values in scores.items()}


def test_signs_of_a_text_that_repeats_itself() -> None:
    scores = signs("go home now go home now go home now", ["Go home now."])
    assert scores["repetition"] == pytest.approx(1 - 3 / 7)  # seven 3-grams, three of them different
    assert scores["distinct_1"] == pytest.approx(3 / 9)
    assert scores["distinct_2"] == pytest.approx(3 / 8)
    assert scores["length_ratio"] == 3.0


def test_signs_of_an_empty_text() -> None:
    scores = signs("", ["Two lamps."], "a b c d")
    assert scores["empty"] == 1.0
    assert scores["repetition"] == scores["copied_4grams"] == scores["length_ratio"] == 0.0
    assert scores["distinct_1"] is None and scores["distinct_2"] is None
    assert signs("word", [""])["length_ratio"] is None


@pytest.mark.parametrize(
    ("prediction", "references", "differs"),
    [
        ("John does drink coffee.", ["John does not drink coffee."], 1.0),
        ("John doesn’t drink coffee.", ["John does not drink coffee."], 0.0),
        ("Nobody came.", ["People came.", "No one came."], 0.0),
        ("A knot is nothing", ["A knot"], 1.0),
        ("A knot", ["Knots"], 0.0),
    ],
)
def test_negation_that_differs(prediction: str, references: list[str], differs: float) -> None:
    assert signs(prediction, references)["negation_differs"] == differs


@pytest.mark.parametrize(
    ("prediction", "references", "differs"),
    [
        ("They pay 1,200 dollars at 10:30.", ["At 10:30 they paid 1200 dollars."], 0.0),
        ("They meet at ten.", ["They meet at 10."], 0.0),
        ("They meet at 9.", ["They meet at 10.", "They meet."], 1.0),
        ("They meet.", ["They meet at 10.", "They meet."], 0.0),
        ("Two of 2", ["2"], 0.0),
        ("One of them", ["someone"], 0.0),
        ("#Person1# asks #Person2#.", ["Tom asks #Person1#."], 0.0),
        ("covid19 and 3rd", ["3"], 0.0),
    ],
)
def test_numbers_that_differ(prediction: str, references: list[str], differs: float) -> None:
    assert signs(prediction, references)["numbers_differ"] == differs


def test_what_is_compared_of_a_text() -> None:
    assert answer("  'Positive.' ") == "positive"


def test_an_interval_beside_a_score_that_is_no_mean() -> None:
    predictions, true = labelled()
    scores = compute("macro_f1", predictions, true, resamples=200, confidence=0.9, seed=3)
    assert scores["macro_f1_low"] < scores["macro_f1"] < scores["macro_f1_high"]
    assert scores == compute("macro_f1", predictions, true, resamples=200, confidence=0.9, seed=3)
    wider = compute("macro_f1", predictions[:30], true[:30], resamples=200, confidence=0.9, seed=3)
    assert wider["macro_f1_high"] - wider["macro_f1_low"] > scores["macro_f1_high"] - scores["macro_f1_low"]
    single = compute("bleu", ["the cat sat on the mat"], ["the cat sat on a mat"], resamples=100)
    assert single["bleu_low"] == single["bleu"] == single["bleu_high"]


def test_no_such_metric() -> None:
    with pytest.raises(TunesmithError, match=r"no metric 'rouge7'; there are: rouge, bleu, .* hub:NAME"):
        load("rouge7")
    assert known("hub:exact_match") and known("hub:owner/name@v1.0")
    assert not known("hub:") and not known("rouge7") and not known("hub:../x")


def test_the_hub_must_be_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(TunesmithError, match=r"metric 'hub:no-such-metric-here': the hub must have it"):
        load("hub:no-such-metric-here")
