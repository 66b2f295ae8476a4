"""Planted overlaps between training rows and test rows of another source are each found by name; labels are none."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_rows, remove
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluation_set import run as evaluation_set
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.contamination import DIRTY, summary
from tasks.mix.params import ContaminationParams, MixtureParams, Share
from tasks.mix.run import mix, run
from tests.mix.splits import Write

LAMP = (
    "Customer: the reading lamp that I bought last week flickers when it is warm, and now the switch is loose. "
    "Agent: please send us a picture of the switch and we will post a new lamp on Monday."
)
CHAIR = (
    "Customer: one leg of the oak chair broke while my uncle sat on it at dinner. Agent: that must have been a shock; "
    "keep the pieces, our driver collects them on Friday and brings another chair."
)
PARCEL = (
    "Customer: your courier left my parcel in the rain behind the bins. Agent: I am sorry, a parcel belongs to the "
    "door; we refund the delivery and send the books again tomorrow morning."
)
OTHER = (
    "Customer: can I pay by invoice when I order for a school? Agent: certainly, choose the account of the school at "
    "the end and the office receives it within three days."
)
BULB = "Customer: the bulb of my garden lantern is dark since the storm and the shop has no other of that size."
SUMMARY = "The customer asks whether a school may pay by invoice and the agent agrees."


ANY: dict[str, Any] = {"max_left_out": 1.0}


def row(row_id: str, text: str, *references: str, **changes: Any) -> dict[str, Any]:
    texts = list(references) or ["ok"]
    return {"row_id": row_id, "text": text, "references": texts, "completion": texts[0], **changes}


def check(paths: Paths, **params: Any) -> tuple[dict[str, dict[str, Any]], dict[str, Any], set[str]]:
    """Rows of the contamination by id, the report of the source ``one``, and the ids that are trained on."""
    mixed = mix("m", MixtureParams(sources={"one": Share()}), ContaminationParams(**ANY | params), paths)
    rows = {dirty_row["row_id"]: dirty_row for dirty_row in mixed.contamination.to_pylist()}
    return rows, mixed.report["sources"]["one"], set(mixed.parts["train"].column("row_id").to_pylist())


def planted(workspace: Write, train: list[Any], test: list[Any]) -> Paths:
    own = [row("own", "the test of the source itself")]
    paths = workspace({"one": {"train": train, "validation": ["v"], "test": own}, "two": {"test": test}})
    evaluation_set.run(EvaluationSetParams(sources=["two"]), paths, Stage("evaluation_set", paths.root))
    return paths


def test_exact_case_changed_and_one_word_changed_are_caught_by_name(workspace: Write) -> None:
    train = [
        row("same", LAMP, SUMMARY),
        row("case", CHAIR.upper()),
        row("word", PARCEL.replace("behind the bins", "behind the shed")),
        row("clean", OTHER),
    ]
    test = [
        row("lamp", LAMP, SUMMARY),
        row("chair", CHAIR),
        row("parcel", PARCEL),
        row("free", "Customer: where are you?"),
    ]
    rows, report, trained = check(planted(workspace, train, test))
    assert trained == {"clean"}
    assert report["left_out"]["train"] == {"two/test: exact_input": 2, "two/test: near_duplicate_input": 1}
    flags = {name: (r["exact_input"], r["near_duplicate_input"], r["left_out"]) for name, r in rows.items()}
    assert flags == {
        "own": (False, False, 0),
        "lamp": (True, False, 1),
        "chair": (True, False, 1),
        "parcel": (False, True, 1),
        "free": (False, False, 0),
    }
    worst = {name: (r["worst_source"], r["worst_row_id"]) for name, r in rows.items()}
    assert worst["lamp"] == ("one", "same") and worst["chair"] == ("one", "case") and worst["parcel"] == ("one", "word")
    assert worst["free"] == (None, None)
    assert rows["lamp"]["exact_reference"], "by its reference as well, and counted once"
    assert not any(r["dirty"] for r in rows.values()), "nothing of them is trained on"


def test_references_and_inputs_are_reported_apart(workspace: Write) -> None:
    other = SUMMARY.replace("agrees", "says yes")
    train = [row("reference", LAMP, "Short one.", SUMMARY), row("near", CHAIR, other), row("free", PARCEL)]
    rows, report, trained = check(planted(workspace, train, [row("t", OTHER, SUMMARY)]), min_words=8)
    assert report["left_out"]["train"] == {"two/test: exact_reference": 1, "two/test: near_duplicate_reference": 1}
    assert trained == {"free"}
    assert (rows["t"]["exact_reference"], rows["t"]["near_duplicate_reference"]) == (True, True)
    assert (rows["t"]["exact_input"], rows["t"]["near_duplicate_input"], rows["t"]["left_out"]) == (False, False, 2)


def test_a_pair_is_found_in_the_other_direction(workspace: Write) -> None:
    """An input there is a reference here, and a reference there an input here."""
    train = [row("crossed", SUMMARY, OTHER), row("input", SUMMARY.upper()), row("answer", CHAIR, PARCEL), row("x", "?")]
    rows, report, trained = check(planted(workspace, train, [row("t", OTHER, SUMMARY), row("u", PARCEL)]))
    assert trained == {"x"}
    assert report["left_out"]["train"] == {"two/test: exact_input": 1, "two/test: exact_reference": 2}
    assert (rows["t"]["exact_input"], rows["t"]["exact_reference"], rows["t"]["left_out"]) == (True, True, 2)
    assert (rows["u"]["exact_input"], rows["u"]["exact_reference"], rows["u"]["left_out"]) == (True, False, 1)


@pytest.mark.parametrize("count", range(11, 19))
def test_one_changed_word_in_the_middle_of_a_short_text_is_caught(workspace: Write, count: int) -> None:
    text = WORDS[:count]
    train = [row("r", " ".join([*text[: count // 2], "other", *text[count // 2 + 1 :]])), row("x", LAMP)]
    _, _, trained = check(planted(workspace, train, [row("t", " ".join(text))]))
    assert trained == {"x"}


def test_a_sentence_without_spaces_is_compared_character_by_character(workspace: Write) -> None:
    text = "这个城市的图书馆每天早上九点开门晚上八点关门"
    more = "昨天我和朋友们坐火车去海边玩了整整一个下午回来时大家都很累但是非常高兴所以决定明年夏天再去那里住几天"
    train = [
        row("near", text.replace("九", "十")),
        row("within", f"你好{text}{more}"),
        row("x", LAMP),
    ]
    rows, report, trained = check(planted(workspace, train, [row("t", text)]), max_dirty=1.0)
    assert trained == {"x"}
    assert report["left_out"]["train"] == {"two/test: near_duplicate_input": 1, "two/test: contained_input": 1}
    assert rows["t"]["ngram13_input"] == 0.0 and not rows["t"]["dirty"]


def test_a_label_is_no_false_alarm(workspace: Write) -> None:
    train = [row(f"r{i}", f"{OTHER} {i}", "positive") for i in range(3)]
    rows, report, trained = check(planted(workspace, train, [row("t", LAMP, "positive"), row("u", CHAIR, "Positive")]))
    assert trained == {"r0", "r1", "r2"} and report["left_out"]["train"] == {}
    assert not any(rows[name][c] for name in "tu" for c in ("exact_reference", "near_duplicate_reference", "dirty"))
    assert rows["t"]["ngram8_reference"] is None


def test_the_wording_of_a_template_does_not_count(workspace: Write) -> None:
    wording = "Write a short summary of the conversation below in one or two sentences of plain English: "
    train = [row("r", LAMP, prompt=wording + LAMP)]
    rows, _, trained = check(planted(workspace, train, [row("t", CHAIR, prompt=wording + CHAIR)]))
    assert trained == {"r"} and rows["t"]["ngram8_input"] == rows["t"]["ngram13_input"] == 0.0


LETTERS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau"
WORDS = LETTERS.split(" ")


SPREAD = [f"{OTHER} {' '.join(WORDS[:12])}", f"{' '.join(WORDS[4:16])} {CHAIR}", f"{PARCEL} {' '.join(WORDS[8:])}"]
"""Rows that hold all 8-grams of ``WORDS``, and 11 or 12 words each, which is no long part."""


def test_overlap_of_ngrams_is_that_of_the_hand(workspace: Write) -> None:
    """19 words have 12 8-grams. Runs of 12 and 11 of them hold 5 and 4, and no 13-gram."""
    train = [row("r", SPREAD[0]), row("s", SPREAD[2]), row("u", f"{LAMP} one two three four five six seven")]
    paths = planted(
        workspace, train, [row("t", " ".join(WORDS)), row("short", "one two three four five six seven eight")]
    )
    rows, report, trained = check(paths, dirty_share=0.7, max_dirty=1.0)
    assert trained == {"r", "s", "u"} and report["left_out"]["train"] == {}
    assert rows["t"]["ngram13_input"] == 0.0 and rows["t"]["ngram8_input"] == pytest.approx(9 / 12)
    assert rows["t"]["dirty"] and rows["t"]["worst_row_id"] == "r", "under 26 words, 8-grams count where they say more"
    assert rows["short"]["ngram13_input"] is None and rows["short"]["ngram8_input"] == 0.0
    assert not rows["short"]["dirty"] and not rows["own"]["dirty"]
    rows, _, _ = check(paths, dirty_share=0.75)
    assert not rows["t"]["dirty"], "9 / 12 is not more than that"


def test_prompt_variants_of_one_example_count_once(workspace: Write) -> None:
    """Eleven prompt variants of one text are no set phrase, however many test texts share its words."""
    phrase = " ".join(WORDS[:12])
    train = [row("r", f"{OTHER} {phrase}", template_id=f"w{i}") for i in range(11)]
    test = [row(f"t{i}", f"{phrase} number {i}") for i in range(11)]
    rows, _, _ = check(planted(workspace, train, test), max_dirty=1.0)
    assert rows["t0"]["ngram8_input"] == pytest.approx(5 / 7)


def test_the_stage_stops_if_too_many_rows_are_dirty_and_names_the_test_set(workspace: Write) -> None:
    train = [*(row(f"r{i}", text) for i, text in enumerate(SPREAD)), row("clean", LAMP)]
    paths = planted(workspace, train, [row("t", " ".join(WORDS)), row("u", BULB)])
    params = MixtureParams(sources={"one": Share()})
    with pytest.raises(TunesmithError) as caught:
        run("m", params, ContaminationParams(max_dirty=0.4), paths, Stage("mix@m", paths.root))
    assert str(caught.value) == (
        "data/splits/two/test.parquet: at most 40.0% of the rows may overlap with the training rows of mixture m; 1 of "
        "2 (50.0%) do, such as row t with training row one/r2; take the source or its rows out of the mixture, or "
        "raise contamination.max_dirty or contamination.dirty_share in params/mixtures.yaml"
    )
    assert not paths.mixture("m").exists()
    run("m", params, ContaminationParams(max_dirty=0.5), paths, Stage("mix@m", paths.root))
    dirty = read_rows(paths.mixture("m") / "dirty.parquet")
    assert list(dirty[0]) == DIRTY.names
    assert [(written["row_id"], written["dirty"]) for written in dirty] == [("t", True), ("u", False)]


def test_only_a_source_that_experiments_meet_or_train_on_stops_the_stage(
    workspace: Write, caplog: pytest.LogCaptureFixture
) -> None:
    train = [*(row(f"r{i}", text) for i, text in enumerate(SPREAD)), row("clean", LAMP)]
    paths = planted(workspace, train, [row("t", " ".join(WORDS))])
    params, checked = MixtureParams(sources={"one": Share()}), ContaminationParams()
    with pytest.raises(TunesmithError, match=r"^data/splits/two/test\.parquet: at most 5\.0% .* 1 of 1 \(100\.0%\) do"):
        run("m", params, checked, paths, Stage("mix@m", paths.root))
    remove(paths.evaluation_set)
    evaluation_set.run(EvaluationSetParams(sources=["one"]), paths, Stage("evaluation_set", paths.root))
    run("m", params, checked, paths, Stage("mix@m", paths.root))
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert (
        warning.startswith("data/splits/two/test.parquet: at most 5.0%")
        and "no experiment is scored on them" in warning
    )
    assert [written["dirty"] for written in read_rows(paths.mixture("m") / "contamination.parquet")] == [False, True]


def test_counts_and_shares_of_each_set(workspace: Write) -> None:
    paths = planted(workspace, [row("same", LAMP), row("x", OTHER)], [row("lamp", LAMP), row("chair", CHAIR)])
    checked = ContaminationParams(**ANY)
    sets = summary(mix("m", MixtureParams(sources={"one": Share()}), checked, paths).contamination, checked)
    assert list(sets["sets"]) == ["one", "two"] and sets["sets"]["two"]["rows"] == 2
    counts = sets["sets"]["two"]["counts"]
    assert {name for name, count in counts.items() if count} == {"exact_input", "left_out"}
    assert sets["sets"]["two"]["shares"]["exact_input"] == 0.5
    assert sets["params"]["near_duplicates"]["ngram"] == 5
