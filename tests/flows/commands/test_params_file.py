"""One number in a file of parameters changes, and nothing else in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.commands.params_file import on_one_line, with_entries, with_item, with_section, with_value, yaml_lines
from tasks.core.errors import TunesmithError

FILE, SPLIT = Path("params/sources.yaml"), ("sources", "s", "split")


def changed(text: str) -> str:
    return with_value(text, FILE, SPLIT, "test_set", 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # a block, with comments and other sources
            "# top\nsources:\n  r: {split: {by: hash}}\n  s:\n    # why\n    split:   # one\n      # two\n"
            "      by: hash        # three\n      limit: {test: 9}\n",
            "# top\nsources:\n  r: {split: {by: hash}}\n  s:\n    # why\n    split:   # one\n      # two\n"
            "      test_set: 3\n      by: hash        # three\n      limit: {test: 9}\n",
        ),
        ("sources:\n  s:\n    split: {by: hash}  # c\n", "sources:\n  s:\n    split: {test_set: 3, by: hash}  # c\n"),
        ("sources:\n  s: {split: {}}\n", "sources:\n  s: {split: {test_set: 3}}\n"),
        (
            "sources:\n  s:\n    split:\n      test_set: 12   # raised\n      seed: 12\n",
            "sources:\n  s:\n    split:\n      test_set: 3   # raised\n      seed: 12\n",
        ),
        (
            "sources:\n  s:\n    split: {by: hash,\n      test_set: 2}\n",
            "sources:\n  s:\n    split: {by: hash,\n      test_set: 3}\n",
        ),
        *(  # what a merge brings stays where it is written
            (
                f"d: &d {merged}\nsources:\n  s:\n    split: {{<<: *d, seed: 1}}\n",
                f"d: &d {merged}\nsources:\n  s:\n    split: {{<<: *d, test_set: 3, seed: 1}}\n",
            )
            for merged in ("{by: hash}", "{test_set: 2}")
        ),
    ],
)
def test_a_number_is_set_and_every_other_character_stays(before: str, after: str) -> None:
    assert changed(before) == after


@pytest.mark.parametrize(
    "text",
    [
        "sources:\n  r: {split: &x {by: hash}}\n  s: {split: *x}\n",  # would change r, too
        "sources:\n  s:\n    split:\n",
        "d: &d {by: hash}\nsources:\n  s:\n    split: {<<: *d}\n",
        "d: &d {test_set: 2}\nsources:\n  s:\n    split:\n      <<: *d\n",
    ],
)
def test_what_cannot_be_changed_alone_is_left_to_the_user(text: str) -> None:
    with pytest.raises(TunesmithError, match=r"sources\.yaml: sources\.s\.split\.test_set: .* set it to 3 by hand"):
        changed(text)


ADDED = "new: {like: a, seed: 5}"


def added(text: str) -> str:
    return with_entries(text, Path("params/experiments.yaml"), "experiments", {"new": {"like": "a", "seed": 5}})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # a comment inside a flow mapping of several lines, and one behind it
            "experiments:\n    a: {method: lora,   # why\n        # two\n        seed: 4}  # three\n",
            "\n    # four\nother: 1\n",
        ),
        ("experiments:\n  a:\n    lora:\n      rank: 2   # small\n", "  # b: {seed: 1}\n\n"),
        ("experiments:\n  a:\n    note: |\n      one\n      two\n", "x: 1\n"),
        ("t: &t {epochs: 1}\nexperiments:\n  a:\n    training: *t  # shared\n", "x: 1\n"),
        ("experiments:\n  a:\n    list:\n    - 1\n    - 2\n", ""),
    ],
)
def test_entries_come_behind_the_last_one_and_every_other_character_stays(before: str, after: str) -> None:
    indent = "    " if "    a:" in before else "  "
    assert added(before + after) == f"{before}{indent}{ADDED}\n{after}"
    windows = (before + after).replace("\n", "\r\n")
    assert added(windows) == f"{before}{indent}{ADDED}\n{after}".replace("\n", "\r\n")


def test_a_last_line_without_an_end_gets_one() -> None:
    assert added("experiments:\n  a: {seed: 1}") == f"experiments:\n  a: {{seed: 1}}\n  {ADDED}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\nexperiments: {}   # none yet\nb: 2\n", f"a: 1\nexperiments:   # none yet\n  {ADDED}\nb: 2\n"),
        ("experiments:\n# later\nb: 2\n", f"experiments:\n  {ADDED}\n# later\nb: 2\n"),
        ("a: 1\nexperiments:", f"a: 1\nexperiments:\n  {ADDED}\n"),
    ],
)
def test_an_empty_section_becomes_a_block(before: str, after: str) -> None:
    assert added(before) == after


def test_entries_may_be_blocks() -> None:
    entry = {"new": {"ingest": {"required": ["a"]}, "split": {"by": "hash"}}}
    text = with_entries("sources:\n    a: {x: 1}  # why\n# end\n", FILE, "sources", entry, one_line=False)
    block = "    new:\n      ingest:\n        required: [a]\n      split: {by: hash}\n"
    assert text == f"sources:\n    a: {{x: 1}}  # why\n{block}# end\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("e:\n  sources: [a, b]   # two\n  n: 1\n", "e:\n  sources: [a, b, new]   # two\n  n: 1\n"),
        ("e: {sources: [], n: 1}\n", "e: {sources: [new], n: 1}\n"),
        ("e:\n  sources: [\n    a,  # one\n    b\n  ]\n", None),
        ("e:\n  sources:\n  - a  # one\n  # two\n  n: 1\n", "e:\n  sources:\n  - a  # one\n  - new\n  # two\n  n: 1\n"),
        ("e:\n  sources:\n    - a\n    - b", "e:\n  sources:\n    - a\n    - b\n    - new\n"),
    ],
)
def test_an_item_comes_behind_the_last_one(before: str, after: str | None) -> None:
    changed = with_item(before, FILE, ("e", "sources"), "new")
    assert after is None or changed == after
    windows = with_item(before.replace("\n", "\r\n"), FILE, ("e", "sources"), "new")
    assert windows == changed.replace("\n", "\r\n")


@pytest.mark.parametrize("text", ["e: {}\n", "e:\n  sources: a\n", "l: &l [a]\ne:\n  sources: *l\n", "e:\n"])
def test_a_list_that_cannot_be_changed_alone_is_left_to_the_user(text: str) -> None:
    with pytest.raises(TunesmithError, match=r"sources\.yaml: e\.sources: must be a list .* add `new` to it by hand"):
        with_item(text, FILE, ("e", "sources"), "new")


@pytest.mark.parametrize("text", ["experiments: {a: {seed: 1}}\n", "experiments: ~\n", "experiments: {\n}\n"])
def test_entries_of_a_section_that_is_no_block_are_left_to_the_user(text: str) -> None:
    with pytest.raises(TunesmithError, match=r"experiments\.yaml: experiments: .* by hand: `new: \{like: a, seed: 5}`"):
        added(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a:\n  x: 1\n  # last\n", "a:\n  x: 1\n  # last\n\ns:\n"),
        ("a: {}", "a: {}\n\ns:\n"),
        ("a:\r\n  x: 1\r\n", "a:\r\n  x: 1\r\n\r\ns:\r\n"),
        ("s: {x: 1}\na: 2\n", "s: {x: 1}\na: 2\n"),
    ],
)
def test_a_missing_section_comes_last(before: str, after: str) -> None:
    assert with_section(before, FILE, "s") == after


def test_a_section_is_not_added_behind_braces() -> None:
    with pytest.raises(TunesmithError, match=r"must be a block of YAML to be changed here; add the key `s: \{\}` by h"):
        with_section("{a: 1}\n", FILE, "s")


def test_comments_below_an_entry_stay_with_it_and_those_of_the_section_below() -> None:
    before = "s:\n  a:\n    x: 1\n    # of a\n     # of a, too\n"
    rest = "  # of the section\n# of the file\n"
    assert with_entries(before + rest, FILE, "s", {"b": {"x": 2}}) == f"{before}  b: {{x: 2}}\n{rest}"


def test_texts_that_readers_refuse_in_braces_are_quoted_and_null_is_written() -> None:
    assert on_one_line("b", {"name": "embedded:small", "when": None}) == ['b: {name: "embedded:small", when: null}']
    assert yaml_lines({"b": {"axis": None, "base": "embedded:small", "of": [1, 2]}}) == [
        "b:",
        "  axis: null",
        '  base: "embedded:small"',
        "  of: [1, 2]",
    ]


def test_a_list_is_put_into_a_mapping_and_an_id_that_looks_like_a_number_is_quoted() -> None:
    section = ("sources", "s", "ingest")
    text = with_value("sources:\n  s:\n    ingest: {required: [a]}\n", FILE, section, "withheld", ["12e5"])
    assert text == 'sources:\n  s:\n    ingest: {withheld: ["12e5"], required: [a]}\n'
    more = with_item(text, FILE, (*section, "withheld"), "345")
    assert more == 'sources:\n  s:\n    ingest: {withheld: ["12e5", "345"], required: [a]}\n'
    assert 'withheld: ["345", abc]' in with_item(more.replace('"12e5", ', ""), FILE, (*section, "withheld"), "abc")
