"""Reports, trivial baselines and the gate on answers in other scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.core import files
from tasks.evaluate.baselines import lead, nearest
from tasks.evaluate.groups import groups
from tasks.evaluate.metrics import corpus, score_rows, summarise
from tasks.evaluate.report import scored_rows, write_report
from tasks.gate.evaluated import read_scores
from tasks.gate.gate import Opponent, decide
from tasks.gate.params import RegistrationParams
from tasks.metrics.params import IntervalParams
from tasks.metrics.scoring import Scoring, TemplateScoring
from tasks.text.rows import Row
from tests.train.training_workspace import rows

INTERVALS = IntervalParams(resamples=100)
RUSSIAN = [
    ("Клиент: лампа сломалась.", "Лампа не работает."),
    ("Клиент: посылка опаздывает.", "Посылка ещё в пути."),
    ("Клиент: я забыл пароль.", "Пароль нужно сбросить."),
    ("Клиент: счёт пришёл дважды.", "Счёт выставлен два раза."),
]


def scored(completions: list[str], pairs: list[tuple[str, str]], language: str | None, *metrics: str) -> list[Row]:
    scorings = {"chats": Scoring(language=language, templates={"plain": TemplateScoring(metrics=list(metrics))})}
    given = [{"completion": text, "new_tokens": 4, "finished": True} for text in completions]
    return scored_rows(rows(pairs), given, scorings)


def report(folder: Path, predictions: list[Row]) -> Any:
    folder.mkdir()
    metrics, by_group = summarise(predictions, INTERVALS), groups(predictions, INTERVALS)
    write_report(folder, folder.name, None, predictions, metrics, by_group, {})
    return files.read_json(folder / "metrics.json")


def test_report_and_gate_distinguish_right_from_wrong_russian_outputs(tmp_path: Path) -> None:
    right = [summary for _, summary in RUSSIAN]
    reports = {
        name: report(tmp_path / name, scored(completions, RUSSIAN, "ru", "rouge", "chrf"))
        for name, completions in (("lora", right), ("base", [*right[1:], right[0]]))
    }
    assert reports["lora"]["metrics"]["rouge1_f"]["value"] == 1.0
    assert reports["base"]["metrics"]["rouge1_f"]["value"] < 0.2
    assert reports["lora"]["metrics"]["chrf"]["value"] == 100.0
    assert "negation_differs" not in reports["lora"]["metrics"]
    assert reports["lora"]["settings"]["languages"] == "chats: ru"
    assert reports["lora"]["settings"]["rouge_signature"].startswith("tok:words|")
    ours, theirs = (read_scores(tmp_path / name / "predictions.parquet", "rouge1_f") for name in ("lora", "base"))
    params = RegistrationParams(min_groups=4)
    assert decide(ours, {"baseline": Opponent("base", theirs)}, params).verdict == "accepted"
    assert decide(theirs, {"baseline": Opponent("lora", ours)}, params).verdict == "refused"


def test_a_changed_language_changes_bleu_and_its_signature(tmp_path: Path) -> None:
    pairs = [("问：天气？", "今天天气很好，我们去公园散步。"), ("问：他？", "他昨晚读完了那本旧书。")]
    right = [summary for _, summary in pairs]
    default, chinese = (report(tmp_path / str(name), scored(right, pairs, name)) for name in (None, "zh"))
    assert [one["metrics"]["bleu"]["value"] for one in (default, chinese)] == [0.0, pytest.approx(100)]
    assert [one["metrics"]["rouge1_f"]["value"] for one in (default, chinese)] == [1.0, 1.0]
    assert "tok:13a" in default["settings"]["bleu_signature"]
    assert "tok:zh" in chinese["settings"]["bleu_signature"]


def test_a_reference_without_words_is_counted_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = [*RUSSIAN[:2], ("Клиент: что?", "?!")]
    predictions = scored([summary for _, summary in pairs], pairs, "ru", "rouge", "chrf")
    assert [one["rouge1_f"] for one in predictions] == [1.0, 1.0, None]
    assert [one["chrf"] for one in predictions] == [pytest.approx(100)] * 3
    metrics = report(tmp_path / "lora", predictions)
    assert metrics["not_scored"] == {"rouge": 1}
    assert metrics["metrics"]["rouge1_f"]["value"] == 1.0
    assert list(read_scores(tmp_path / "lora/predictions.parquet", "rouge1_f").values.values()) == [1.0, 1.0]
    assert "1 of 3 test rows have no rouge1_f" in caplog.text


def test_scores_of_empty_references() -> None:
    row = {"references": [" "], "text": "", "answer_choices": [], "metrics": ["chrf"]}
    scores = score_rows(["a b"], [row])[0]
    assert (scores["rouge1_f"], scores["bleu"], scores["chrf"], scores["length_ratio"]) == (None,) * 4


def test_a_correlation_of_answers_that_are_no_numbers_is_not_defined() -> None:
    pairs = [("a", "1.5"), ("b", "2.5"), ("c", "4")]
    unparsed = corpus(scored(["ok", "fine", "no"], pairs, None, "pearson", "spearman"), INTERVALS)
    undefined = {"value": None, "low": None, "high": None, "unparsed": 3}
    assert unparsed == {"pearson": undefined, "spearman": undefined}
    some = corpus(scored(["1", "2", "no"], pairs, None, "pearson"), INTERVALS)["pearson"]
    assert some["unparsed"] == 1 and some["value"] is not None


def test_lead_takes_sentences_of_any_script() -> None:
    texts = ["今天很好。我们走吧！真的？不。", "यह है। वह है। हम हैं। तुम हो।"]
    assert lead(rows([(text, "x") for text in texts]), []) == ["今天很好。我们走吧！真的？", "यह है। वह है। हम हैं।"]


def test_nearest_compares_words_of_any_script() -> None:
    train = rows([("今天下雨了", "雨"), ("公园很大", "园"), ("Лампа сломана", "лампа"), ("Где посылка", "посылка")])
    test = rows([("公园在哪里", "x"), ("сломана моя лампа", "y"), ("今天", "z")])
    assert nearest(test, train) == ["园", "лампа", "雨"]
