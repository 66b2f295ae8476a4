"""Drift of inputs: lengths, new words, and which rows are compared."""

from __future__ import annotations

import math

from tasks.drift.inputs import Input, input_shifts, inputs_of


def _inputs(*texts: str) -> list[Input]:
    return [Input(tuple(text.split()), ("chats", str(number))) for number, text in enumerate(texts)]


def test_lengths_are_compared_as_a_ratio() -> None:
    shifts = input_shifts(_inputs("a b", "a b"), _inputs("a b c d", "a b c d"), 0.95)
    assert shifts.length is not None and math.exp(shifts.length.value) == 2.0


def test_new_words_are_compared_with_those_that_a_training_input_would_bring() -> None:
    trained = _inputs("lamp broken today", "lamp late today", "parcel late today")
    shifts = input_shifts(trained, _inputs("lamp late refund", "zeppelin"), 0.95)
    assert shifts.new_words is not None
    assert shifts.new_words.before == (1 / 3 + 0 + 1 / 3) / 3, "broken and parcel occur in one input only"
    assert shifts.new_words.after == (1 / 3 + 1) / 2


def test_words_of_the_same_conversation_do_not_count_as_known() -> None:
    one = [Input(("refund",), ("chats", "a")), Input(("refund",), ("chats", "a")), Input(("lamp",), ("chats", "b"))]
    shifts = input_shifts(one, _inputs("lamp"), 0.95)
    assert shifts.new_words is not None and shifts.new_words.before == 1.0


def test_inputs_without_words_are_left_out() -> None:
    shifts = input_shifts(_inputs("", "a b"), _inputs("a", ""), 0.95)
    assert shifts.length is not None and shifts.length.groups == 1
    assert input_shifts(_inputs("a"), [], 0.95).length is None


def test_a_row_counts_once_with_its_first_prompt_and_its_last_turn() -> None:
    def row(row_id: str, template: str, text: str, group: str | None = None) -> dict[str, object]:
        return {"row_id": row_id, "source": "chats", "template_id": template, "group": group, "text": text}

    rows = [row("r", "one", "A b"), row("r", "two", "A b c"), row("c#turn1", "t", "x", "g"), row("c#turn3", "t", "x y")]
    assert inputs_of(rows) == [Input(("a", "b"), ("chats", "r")), Input(("x", "y"), ("chats", "c"))]
