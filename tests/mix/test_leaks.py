"""Leaks that people plant by accident: each training row is left out, by a reason that the report names."""

from __future__ import annotations

import pytest

from tasks.mix import contamination
from tasks.mix.params import ContaminationParams, MixtureParams, Share
from tasks.mix.run import mix
from tests.mix.splits import Write

DIALOGUE = (
    "Anna: Have you seen the red bicycle that I left behind the library on Tuesday?\n"
    "Ben: No, but the caretaker moved three of them into the cellar before the storm came.\n"
    "Anna: Then I will ask him for the key and look there after lunch, thank you."
)
NUMBERED = (
    "Your order 4711 of 3 lamps left our house on 12 May and reaches you within 5 days; if the box is damaged, please "
    "refuse it and call the number below."
)
OTHER = (
    "The museum opens at nine and closes at six, except on Mondays, when only the garden and the café beside the river "
    "welcome visitors who hold a ticket."
)
UNRELATED = "Please tell the plumber that the tap in our kitchen drips again and that nobody is at home before four."

HALF = DIALOGUE[: DIALOGUE.index("of them")]
CYRILLIC = str.maketrans("aeopcxy", "аеорсху")


def left_out(workspace: Write, planted: str, test: str) -> dict[str, int]:
    """Why the planted training row is left out: reason → rows. A row beside it stays."""
    item = {"row_id": "t", "text": test}
    paths = workspace(
        {"one": {"train": [planted, UNRELATED], "validation": ["v"], "test": ["w"]}, "two": {"test": [item]}}
    )
    params = MixtureParams(sources={"one": Share()})
    mixed = mix("m", params, ContaminationParams(max_left_out=1.0), paths)
    reasons: dict[str, int] = mixed.report["sources"]["one"]["left_out"]["train"]
    assert mixed.parts["train"].num_rows == 2 - sum(reasons.values())
    (row,) = [one for one in mixed.contamination.to_pylist() if one["row_id"] == "t"]
    assert not row["dirty"] and row["left_out"] == sum(reasons.values())
    return reasons


@pytest.mark.parametrize(
    ("planted", "test", "measure"),
    [
        pytest.param(OTHER.replace("opens", "&#111;pens &amp;"), OTHER, "exact", id="HTML entities"),
        pytest.param(OTHER.translate(CYRILLIC), OTHER, "exact", id="homoglyphs"),
        pytest.param(OTHER.replace("e", "e\u200b"), OTHER, "exact", id="zero-width spaces"),
        pytest.param(DIALOGUE.replace("Anna", "Person A").replace("Ben", "Person B"), DIALOGUE, "exact", id="speakers"),
        pytest.param(
            NUMBERED.replace("4711", "82").replace("3", "140").replace("12", "7").replace("5", "2.5"),
            NUMBERED,
            "near_duplicate",
            id="other numbers",
        ),
        pytest.param(f"Read this and answer in a friendly tone. {OTHER}", OTHER, "near_duplicate", id="short prefix"),
        pytest.param(f"{NUMBERED} {UNRELATED} {OTHER}", OTHER, "contained", id="long prefix"),
        pytest.param(f"{DIALOGUE}\n{OTHER}", OTHER, "contained", id="two rows, the test row last"),
        pytest.param(f"{OTHER}\n{DIALOGUE}", OTHER, "contained", id="two rows, the test row first"),
        pytest.param(HALF, DIALOGUE, "contained", id="first half"),
    ],
)
def test_a_planted_leak_is_left_out_under_its_reason(workspace: Write, planted: str, test: str, measure: str) -> None:
    assert left_out(workspace, planted, test) == {f"two/test: {measure}_input": 1}


@pytest.mark.parametrize(
    ("planted", "test"),
    [
        pytest.param(
            "Tom has 5 apples and eats 2 of them.", "Tom has 7 apples and eats 3 of them.", id="short, numbers"
        ),
        pytest.param("Positive: a film to remember", "Negative: a film to remember", id="one label is no speaker"),
        pytest.param(" ".join(DIALOGUE.split()[:12]), DIALOGUE, id="twelve words of a longer text"),
        pytest.param(f"{OTHER} Thank you very much", "Thank you very much", id="a short text in a long one"),
    ],
)
def test_a_different_example_is_no_leak(workspace: Write, planted: str, test: str) -> None:
    assert left_out(workspace, planted, test) == {}


def test_a_set_phrase_of_many_texts_is_no_containment(workspace: Write) -> None:
    phrase = "thank you for your call to our house my name is Kim how may I help you today"
    names = [
        f"{name} asks about the {thing}" for name in ("Ada", "Bob", "Cy") for thing in ("sink", "lamp", "door", "roof")
    ]
    train = [OTHER, *(f"{phrase} madam because {UNRELATED} {name} {OTHER}" for name in names)]
    test = [{"row_id": name, "text": f"{phrase} and {name} of the house by the lake"} for name in names]
    paths = workspace({"one": {"train": train, "validation": ["v"], "test": ["w"]}, "two": {"test": test}})
    params = MixtureParams(sources={"one": Share()})
    for common, kept in ((10, 13), (12, 1)):
        checked = ContaminationParams(max_left_out=1.0, common=common)
        mixed = mix("m", params, checked, paths)
        assert mixed.parts["train"].num_rows == kept


@pytest.mark.parametrize("batch", [2, 20_000])
def test_a_set_phrase_is_counted_over_all_sources_and_batches(
    workspace: Write, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """The phrase is common in the large source. The small source's row with it is judged like the others."""
    monkeypatch.setattr(contamination, "_BATCH", batch)
    phrase = "thank you for your call to our house my name is Kim how may I help you today"
    things = [f"{name} asks about the {thing}" for name in ("Ada", "Bob", "Cy") for thing in ("sink", "lamp", "door")]
    train = [f"{phrase} madam because {UNRELATED} {thing} {OTHER}" for thing in things]
    test = [{"row_id": thing, "text": f"{phrase} and {thing} of the house by the lake"} for thing in things]
    small = [f"{phrase} sir because {OTHER} Dee asks about the roof {UNRELATED}"]
    parts = {"validation": ["v"], "test": ["w"]}
    paths = workspace({"large": {"train": train, **parts}, "small": {"train": small, **parts}, "two": {"test": test}})
    params = MixtureParams(sources={"large": Share(), "small": Share()})
    mixed = mix("m", params, ContaminationParams(max_left_out=1.0, common=8), paths)
    assert mixed.parts["train"].num_rows == len(train) + len(small)
