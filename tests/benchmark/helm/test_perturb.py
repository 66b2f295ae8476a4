"""Perturbations on exact texts."""

from __future__ import annotations

from random import Random

import pytest

from tasks.benchmark.helm import perturb, word_lists
from tasks.benchmark.helm.params import PerturbationParams
from tasks.benchmark.helm.word_lists import in_case_of, pattern


class Always(Random):
    """Chance that always strikes, and takes the first of what there is."""

    def random(self) -> float:
        return 0.0

    def choice(self, seq):  # type: ignore[no-untyped-def]
        return seq[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She thanked her brother.", "He thanked his sister."),  # at the start of the text
        ("mother", "father"),  # the whole text
        ("The man's hat, and WOMEN!", "The woman's hat, and MEN!"),
        ("He's late; the chairman waits", "She's late; the chairwoman waits"),
        ("The humane shepherd", "The humane shepherd"),  # no word inside a word
        ("A he-man", "A he-man"),
    ],
)
def test_gender_words_are_swapped_at_any_position(text: str, expected: str) -> None:
    assert perturb.swap_gender(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He thanked his mother, and she him.", "She thanked her mother, and she her."),  # no female word changes
        ("He's the man himself", "She's the man herself"),  # no terms
    ],
)
def test_gender_of_helm_is_male_pronouns_only(text: str, expected: str) -> None:
    assert perturb.female_pronouns(text) == expected


def test_a_mild_mix_is_lower_case_contractions_typos_and_spaces() -> None:
    still = PerturbationParams(typos=0.0, spaces=1)
    assert perturb.mild_mix("She is NOT at home", Random(0), still) == "she's not at home"
    assert perturb.mild_mix("Abc", Always(), PerturbationParams(typos=1.0, spaces=1)) == "qvx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She is a doctor, and I am a student.", "She's a doctor, and I'm a student."),
        ("It is not what they are.", "It's not what they are."),  # not before the end of a clause
        ("do not go", "don't go"),
        ("This island", "This island"),
    ],
)
def test_contractions(text: str, expected: str) -> None:
    assert perturb.contract(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She's a doctor, and I'm a student.", "She is a doctor, and I am a student."),
        ("Don\u2019t go; he won't.", "Do not go; he will not."),
        ("the dog's bone", "the dog's bone"),
    ],
)
def test_expansions(text: str, expected: str) -> None:
    assert perturb.expand(text) == expected


def test_letters_slip_to_their_neighbours_and_keep_their_case() -> None:
    assert perturb.typos("Abc 12, Q!", Always(), 1.0) == "Qvx 12, W!"
    assert perturb.typos("Abc", Random(0), 0.0) == "Abc"


def test_spaces_and_fillers() -> None:
    assert perturb.spaces("a b  c", Random(1), 1) == "a b c"
    assert set(perturb.spaces("a b " * 50, Random(1), 3).replace("a", "").replace("b", "")) == {" "}
    assert perturb.fill("it rains", Always(), 0.5) == "I think it I think rains"
    assert perturb.fill("it rains", Random(0), 0.0) == "it rains"


def test_dialect_replaces_whole_words_and_keeps_their_case() -> None:
    assert perturb.dialect("The brother is with them", Always()) == "Da brotha is wit dem"
    assert perturb.dialect("Withdraw the-thing", Always()) == "Withdraw the-thing"


def test_names_keep_sex_and_are_the_same_in_all_texts() -> None:
    lists = word_lists.names()
    one, two = perturb.rename(["Mary met John. MARY left.", "Where is Mary?"], Random(3), "black")
    woman, man = one.split()[0], one.split()[2].rstrip(".")
    assert woman.lower() in lists.by_race["black"]["female"]
    assert man.lower() in lists.by_race["black"]["male"]
    assert one == f"{woman} met {man}. {woman.upper()} left."
    assert two == f"Where is {woman}?"
    assert perturb.rename(["mary", "Maryland"], Random(3), "asian") == ["mary", "Maryland"]


def test_same_chance_for_the_same_seed_and_row() -> None:
    values: dict[str, object] = {"text": "The film is not what they say about this and that.", "label": 1}
    params = PerturbationParams()
    names = [name for metric in perturb.HELMS for name in perturb.names(metric, exact=False)]
    assert len(names) == len(set(names)) == 13
    for name in names:
        once, again = (perturb.perturbed(values, ["text"], name, params, 0, "a:1") for _ in range(2))
        assert once == again and once["label"] == 1
    others = {str(perturb.perturbed(values, ["text"], "typos", params, 0, f"a:{i}")["text"]) for i in range(5)}
    assert len(others) > 1


def test_lists_are_large_and_clean() -> None:
    lists = word_lists.names()
    for group in [*lists.by_sex.values(), *(lists.of_race(race) for race in lists.by_race)]:
        assert len(group) >= 100
        assert len(set(group)) == len(group)
        assert all(name == name.lower() for name in group)
    assert not set(lists.of_race("white")) & set(lists.of_race("black"))
    demographics, mentions = word_lists.demographics(), word_lists.gender().mentions
    assert {len(words) for words in demographics.surnames.values()} == {20}
    assert len(demographics.adjectives) >= 100 and len(demographics.professions) >= 100
    assert not set(mentions["female"]) & set(mentions["male"])
    for letter, near in word_lists.keyboard().neighbours.items():
        assert all(letter in word_lists.keyboard().neighbours[other] for other in near), letter


def test_case_and_whole_words() -> None:
    assert [in_case_of(word, "ab") for word in ("x", "X", "XY", "Xy")] == ["ab", "Ab", "AB", "Ab"]
    assert [m[0] for m in pattern(("he", "he's")).finditer("He he's the he")] == ["He", "he's", "he"]
