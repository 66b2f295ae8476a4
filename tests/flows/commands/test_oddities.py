"""What is odd in rows is counted, with the lines of the first ones."""

from __future__ import annotations

from typing import Any

from flows.commands.oddities import Checked, Oddities
from tests.flows.commands.everyday_files import SYSTEM, TURNS

USER, ANSWER = TURNS


def lines(checked: Checked, rows: list[dict[str, Any]], limit: str = "") -> list[str]:
    oddities = Oddities(checked)
    for number, row in enumerate(rows, start=1):
        oddities.add("train" if number < 5 else "test", number, row)
    return oddities.lines(limit)


def test_texts() -> None:
    checked = Checked(("q", "a"), ("q", "a"), (), ("q", "a"), ("<|tool|>",), max_bytes=40)
    rows: list[dict[str, Any]] = [
        {"q": "one", "a": "x"},
        {"q": "", "a": "x"},
        {"q": " \n", "a": None},
        {"q": "one", "a": "x", "id": 7},
        {"q": "two"},
        {"q": "three", "a": "ж" * 20},
        {"q": "a < b [c]", "a": "see <|tool|> and </s>"},
        {"q": "one", "a": "x"},
    ]
    assert lines(checked, rows, "10 tokens") == [
        "2 rows with an empty q: train:2, train:3",
        "1 row with an empty a: train:3",
        "1 row without the column a: test:5",
        "1 row longer than max_length (10 tokens): test:6",
        "1 row with control tokens in a text (<|tool|>; they are read as plain text): test:7",
        "2 rows equal to an earlier row, unused columns aside: train:4, test:8",
    ]
    assert lines(checked, rows[:1]) == []
    many = lines(checked, [{"q": str(number), "a": ""} for number in range(9)])
    assert many == ["9 rows with an empty a: train:1, train:2, train:3, …"]


def test_conversations() -> None:
    checked = Checked((), (), ("m",), ("m",))
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    rows: list[dict[str, Any]] = [
        {"m": TURNS},
        {"m": [SYSTEM, USER, called, {"role": "tool", "content": "1"}, ANSWER]},
        {"m": [USER, {"content": "again", "role": "user"}, ANSWER]},
        {"m": [ANSWER, USER, ANSWER]},
        {"m": [USER]},
        {"m": [*TURNS, USER]},
        {"m": [USER, {"role": "assistant", "content": " "}]},
        {"m": [{"role": "boss", "content": "x"}]},
        {"m": '[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]'},
    ]
    printed = lines(checked, rows)
    unreadable = printed.pop()
    assert printed == [
        "1 row with two user messages in a row: train:3",
        "1 row with an assistant message before any user message: train:4",
        "1 row without an assistant message: test:5",
        "1 row with messages after the last assistant message, which are cut off: test:6",
        "1 row with an empty message: test:7",
    ]
    assert unreadable.startswith("1 row with a conversation that cannot be read (test:8, turn 1: the role must be one")
    assert unreadable.endswith("it is 'boss'; correct it): test:8")


def test_conversations_that_lack_marks_are_counted_where_marks_are_needed() -> None:
    checked = Checked((), (), ("m",), ("m",), marked=True)
    marked = [USER, {**ANSWER, "train": True}]
    assert lines(checked, [{"m": marked}, {"m": TURNS}, {"m": [USER, {**ANSWER, "weight": None}]}]) == [
        "2 rows without a mark of what is learned: train:2, train:3",
        "1 row equal to an earlier row, unused columns aside: train:3",
    ]
