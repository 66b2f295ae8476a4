"""Conversations as data sets write them become messages, unchanged; what cannot is refused with its turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.text.conversations import (
    answered_by,
    as_text,
    learned,
    oddities,
    parse,
    parse_tools,
    prompt_text,
    to_answer,
    with_system,
)

QUESTION, REPLY = {"role": "user", "content": "Hi "}, {"role": "assistant", "content": "Hello."}
CALL = {"type": "function", "function": {"name": "time", "arguments": {"zone": "CET"}}}


def error(value: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        parse(value, "f:3")
    return str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        [QUESTION, REPLY],
        [{"from": "human", "value": "Hi "}, {"from": "gpt", "value": "Hello."}],
        [{"role": "User", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " "}]}, REPLY],
        [{**QUESTION, "timestamp": 3, "tool_calls": None, "weight": None}, {**REPLY, "tool_calls": []}],
        json.dumps([QUESTION, REPLY]),
        (QUESTION, REPLY),
    ],
    ids=["openai", "sharegpt", "parts", "padded", "json", "tuple"],
)
def test_every_form_gives_the_same_messages(given: Any) -> None:
    assert parse(given, "f:3") == [QUESTION, REPLY]
    assert parse(parse(given, "f:3"), "f:3") == [QUESTION, REPLY]


def test_what_belongs_to_a_message_is_kept() -> None:
    given = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Time?", "name": "ann"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "A clock.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "time", "arguments": '{"zone": 1.0}'}}
            ],
        },
        {"role": "tool", "content": "", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Noon.", "thinking": "Done.", "weight": 0},
    ]
    messages = parse(given, "f:3")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages[1]["name"] == "ann"
    assert messages[2]["content"] == "I look."
    assert messages[2]["reasoning_content"] == "A clock."
    arguments = {"name": "time", "arguments": {"zone": 1.0}}
    assert messages[2]["tool_calls"] == [{"id": "c1", "type": "function", "function": arguments}]
    assert messages[3] == {"role": "tool", "content": "", "tool_call_id": "c1"}
    assert messages[4] == {"role": "assistant", "content": "Noon.", "reasoning_content": "Done.", "train": False}


@pytest.mark.parametrize(
    "turn",
    [
        {"from": "function_call", "value": '{"name": "time", "arguments": {"zone": "CET"}}'},
        {"from": "function_call", "value": '[{"name": "time", "arguments": "{\\"zone\\": \\"CET\\"}"}]'},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": json.dumps([CALL["function"]])},
        {"role": "assistant", "content": None, "function_call": {"name": "time", "arguments": '{"zone": "CET"}'}},
    ],
)
def test_a_call_is_one_in_every_form(turn: dict[str, Any]) -> None:
    assert parse([turn], "f:3") == [{"role": "assistant", "content": None, "tool_calls": [CALL]}]


def test_text_before_a_call_is_kept_and_arguments_that_are_no_object_stay() -> None:
    (message,) = parse([{"from": "function_call", "value": 'I look.\n{"name": "f", "arguments": "noon"}'}], "f:3")
    assert message["content"] == "I look.\n"
    assert message["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": "noon"}}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            [QUESTION, {"role": "asistant", "content": "x"}],
            "f:3, turn 2: the role must be one of system, .*'asistant'; did you mean 'assistant'",
        ),
        ([{"from": "humn", "value": "x"}], "f:3, turn 1: .*'humn'; did you mean 'human'"),
        ([{"content": "x"}], "turn 1: a message must state who writes, in `role` or `from`; it has content"),
        (["Hi"], "turn 1: a message must have `role` and `content`.*it is 'Hi'"),
        ("Human: Hi", "f:3: a conversation must be a list of messages, or JSON text of one; it is 'Human: Hi'"),
        ({"role": "user"}, "must be a list of messages; it is a dict"),
        ([{"role": "user", "content": 4}], "turn 1: the content must be text; it is 4"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}], "turn 1: .*of type 'image_url'"),
        (
            [{**QUESTION, "tool_calls": [CALL]}],
            "turn 1: only an assistant message may have tool calls; the role is",
        ),
        ([{**REPLY, "tool_calls": [{"id": 1}]}], "turn 1: a tool call must be"),
        (
            [{"from": "function_call", "value": "call it"}],
            "turn 1: a turn with the role `function_call` or `tool_",
        ),
        ([{**REPLY, "weight": 0.5}], "turn 1: `weight` must be 0 or 1; it is 0.5"),
        ([{**REPLY, "weight": 0, "train": True}], "turn 1: `train` and `weight` must not contradict"),
        ([{**QUESTION, "train": True}], "turn 1: only assistant messages are learned"),
    ],
)
def test_a_wrong_conversation_names_row_turn_and_value(value: Any, message: str) -> None:
    import re

    assert re.search(message, error(value))


def test_tools_are_a_list_as_it_is() -> None:
    tools = [{"type": "function", "function": {"name": "time", "parameters": {"b": 1, "a": 2.0}}}]
    assert parse_tools(tools, "f:3") == parse_tools(json.dumps(tools), "f:3") == tools
    assert parse_tools("", "f:3") is parse_tools(None, "f:3") is parse_tools([], "f:3") is None
    with pytest.raises(
        TunesmithError, match="f:3: `tools` must be a list of schemas, or JSON text of one; it is 'time'"
    ):
        parse_tools("time", "f:3")


def turns(*marks: bool | None) -> Any:
    given = [part for mark in marks for part in (QUESTION, REPLY if mark is None else {**REPLY, "train": mark})]
    return parse([*given, QUESTION], "f:3")


@pytest.mark.parametrize(
    ("learn", "marks", "trained"),
    [
        (None, (None, None), [True, True]),
        ("all", (False, None), [True, True]),
        ("last", (True, None), [False, True]),
        ("marked", (True, False, None), [True]),
        ("marked", (False, None, True), [False, False, True]),
        ("marked", (False, None), [False, True]),
        ("marked", (False, False), []),
    ],
)
def test_what_is_learned(learn: Any, marks: tuple[bool | None, ...], trained: list[bool]) -> None:
    messages = learned(turns(*marks), learn, "f:3")
    assert [message["train"] for message in messages if message["role"] == "assistant"] == trained
    assert not messages or messages[-1]["role"] == "assistant", "what follows is cut off"
    excluded = [message.get("weight") == 0 for message in messages if message["role"] == "assistant"]
    assert excluded == [learn == "marked" and not train for train in trained]


def test_marks_need_a_choice_and_the_choice_needs_marks() -> None:
    with pytest.raises(TunesmithError, match=r"f:3, turn 4: the row marks what is learned .*set `template.learn`"):
        learned(turns(None, False), None, "f:3")
    with pytest.raises(TunesmithError, match="with `learn: marked`, a row must mark at least one assistant message"):
        learned(turns(None, None), "marked", "f:3")


def test_unusual_orders_are_named() -> None:
    system, tool = {"role": "system", "content": "s"}, {"role": "tool", "content": "t"}
    assert oddities(parse([system, QUESTION, {**REPLY, "tool_calls": [CALL]}, tool, tool, REPLY], "")) == []
    assert oddities(parse([REPLY, QUESTION, QUESTION, system, tool], "")) == [
        "an assistant message before any user message",
        "two user messages in a row",
        "a system message after the first message",
        "a tool message that follows no assistant message",
    ]


def test_a_conversation_as_text() -> None:
    messages = parse([{"role": "system", "content": "Be brief."}, QUESTION, {**REPLY, "tool_calls": [CALL]}], "")
    call = '{"name": "time", "arguments": {"zone": "CET"}}'
    assert as_text(messages) == f"System: Be brief.\n\nUser: Hi \n\nAssistant: Hello.\n{call}"
    assert prompt_text(messages[:2]) == "System: Be brief.\n\nUser: Hi \n\nAssistant:"
    assert prompt_text(messages[1:2]) == as_text(messages[1:2]) == "Hi ", "as in a row of prompt and completion"


def test_a_message_to_generate_takes_the_place_of_the_last_assistant_message() -> None:
    expected = [*parse([QUESTION], ""), {"role": "assistant", "content": "", "train": True}]
    assert to_answer(parse([QUESTION, REPLY], "")) == to_answer(parse([QUESTION], "")) == expected


def test_a_system_text_comes_first_once() -> None:
    system = {"role": "system", "content": "Be brief."}
    assert with_system([QUESTION], "Be brief.") == [system, QUESTION]
    assert with_system([system, QUESTION], "Be brief.") == [system, QUESTION]
    assert with_system([QUESTION], None) == with_system([QUESTION], " ") == [QUESTION]
    with pytest.raises(ValueError, match="another `system`"):
        with_system([system, QUESTION], "Be long.")


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Hi ", "Hello."),
        ([QUESTION], "Hello."),
        ("Hi ", [REPLY]),
        ([QUESTION], [REPLY]),
        ("Hi ", [QUESTION, REPLY]),
        (None, [QUESTION, REPLY]),
    ],
)
def test_a_chosen_answer_in_every_form(prompt: Any, answer: Any) -> None:
    assert parse(answered_by(prompt, answer), "") == [QUESTION, REPLY]


@pytest.mark.parametrize("prompt", [None, "", " ", [], [{"role": "user", "content": ""}]])
def test_an_empty_prompt_gives_the_answer_alone(prompt: Any) -> None:
    assert answered_by(prompt, "Hello.") == [REPLY]


def test_prompts_and_answers_may_be_json_text_or_numbers() -> None:
    written = [json.dumps([QUESTION], indent=1), json.dumps([REPLY])]
    assert answered_by(*written) == answered_by(None, json.dumps([QUESTION, REPLY])) == [QUESTION, REPLY]
    assert answered_by(12, 0.5) == [{"role": "user", "content": "12"}, {"role": "assistant", "content": "0.5"}]
    assert answered_by("[1, 2]", '[{"a": 1}]')[0]["content"] == "[1, 2]", "a text that is no conversation"


def test_nulls_of_a_call_are_no_keys_and_those_of_its_arguments_stay() -> None:
    call = {"type": "function", "id": None, "function": {"name": "f", "strict": None, "arguments": {"a": None}}}
    (message,) = parse([{"role": "assistant", "content": None, "tool_calls": [call]}], "f:3")
    assert message["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": {"a": None}}}]
