"""The two baselines that learn nothing, by hand."""

from __future__ import annotations

from pathlib import Path

from tasks.core import files
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluate.baselines import lead, nearest, run
from tasks.evaluate.metrics import PREDICTIONS
from tasks.evaluate.params import EvaluateParams
from tasks.metrics.params import IntervalParams
from tasks.text.rows import RENDERED
from tests.evaluate.evaluation import add_scoring
from tests.train.training_workspace import rows

TRAIN = rows(
    [
        ("my lamp is broken", "A lamp."),
        ("the parcel is late today", "A parcel."),
        ("the parcel is late today", "Second."),
    ]
)
TEST = rows([("The late PARCEL!", "x"), ("A broken lamp? Yes. It is. Or not.", "y"), ("zebra", "z")])


def test_lead_takes_three_sentences_or_lines() -> None:
    texts = ["One. Two! Three? Four.", "A: hello\nB: hi\nA: 1.5 euros\nB: no", "only one", " spaced.  Twice. "]
    assert lead(rows([(text, "x") for text in texts]), []) == [
        "One. Two! Three?",
        "A: hello B: hi A: 1.5 euros",
        "only one",
        "spaced. Twice.",
    ]


def test_nearest_answers_with_the_most_similar_row_and_the_first_of_a_tie() -> None:
    # A text without a known word is equally far from all.
    assert nearest(TEST, TRAIN) == ["A parcel.", "A lamp.", "A lamp."]


def test_nearest_stays_within_the_source() -> None:
    mails = rows([("the late parcel", "A mail.")], source="mails")
    assert nearest(TEST[:1], TRAIN + mails) == ["A parcel."]
    assert nearest([TEST[0] | {"source": "mails"}, TEST[0]], TRAIN + mails) == ["A mail.", "A parcel."]


def test_nearest_stays_within_the_task() -> None:
    """A label is no summary, however alike the texts are."""
    labels = [row | {"task": "label"} for row in rows([("the late parcel", "negative")])]
    assert nearest(TEST[:1], TRAIN + labels) == ["A parcel."]
    assert nearest([TEST[1] | {"task": "label"}, TEST[0]], TRAIN + labels) == ["negative", "A parcel."]


def test_nearest_answers_without_words_and_without_training_rows() -> None:
    """Single letters and signs are no words to it; a benchmark has no training rows."""
    digits = rows([("1 + 1", "2"), ("2 + 1", "3"), ("1 + 2", "3")], source="sums")
    bench = rows([("Which parcel?", "x")], source="bench")
    assert nearest([*digits[:1], *bench, TEST[0]], TRAIN + digits) == ["3", "", "A parcel."]


def test_run_writes_both_reports(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.evaluation_set.mkdir(parents=True)
    paths.split("chats").mkdir(parents=True)
    files.write_rows(paths.evaluation_set / "test.parquet", TEST, RENDERED)
    files.write_rows(paths.split("chats") / "train.parquet", TRAIN, RENDERED)
    add_scoring(paths, "rouge")
    params = EvaluateParams(intervals=IntervalParams(resamples=100))
    run(params, paths, Stage.start("baselines", tmp_path))
    reports = {name: files.read_json(paths.baseline(name) / "metrics.json") for name in ("lead", "nearest")}
    for name, report in reports.items():
        assert (report["experiment"], report["key"], report["rows"]) == (name, None, 3)
        assert not [metric for metric in report["metrics"] if metric.startswith("validation")]
        predicted = files.read_rows(paths.baseline(name) / "predictions.parquet")
        assert list(predicted[0]) == PREDICTIONS.names
        assert [row["row_id"] for row in predicted] == [row["row_id"] for row in TEST]
        assert [(row["group"], row["dirty"]) for row in predicted] == [(row["group"], None) for row in TEST]
    assert reports["lead"]["test_sha256"] == reports["nearest"]["test_sha256"]
    # The lead is copied from the text word for word.
    assert (
        reports["lead"]["metrics"]["copied_4grams"]["value"] > reports["nearest"]["metrics"]["copied_4grams"]["value"]
    )
