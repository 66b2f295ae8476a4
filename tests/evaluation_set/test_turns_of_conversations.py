"""``turns: every``: a row for each assistant message, with the reference history before it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from tasks.evaluation_set.turns import every_turn
from tasks.template.conversation import columns_of
from tasks.text.rows import RENDERED, group_key

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "train": True, **more}


def turns(*messages: Any, **changes: Any) -> list[dict[str, Any]]:
    row = {"row_id": "r", "source": "s", "template_id": "chat", "group": "g", "tools": "[]", **columns_of(messages)}
    return every_turn(pa.Table.from_pylist([row | changes], schema=RENDERED)).to_pylist()


def test_every_assistant_message_is_generated_once() -> None:
    rows = turns(SYSTEM, user("One?"), assistant("1."), user("Two?"), assistant("2."))
    assert [row["row_id"] for row in rows] == ["r#turn3", "r#turn5"]
    assert [row["completion"] for row in rows] == ["1.", "2."]
    assert [row["references"] for row in rows] == [["1."], ["2."]]
    assert rows[0]["prompt"] == "System: Be brief.\n\nUser: One?\n\nAssistant:"
    assert rows[1]["text"] == "User: One?\n\nAssistant: 1.\n\nUser: Two?"
    assert json.loads(rows[0]["messages"]) == [SYSTEM, user("One?"), assistant("1.")]
    assert json.loads(rows[1]["messages"])[-1] == assistant("2.")
    assert {row["tools"] for row in rows} == {"[]"}


def test_the_turns_of_a_conversation_are_one_group_and_one_example() -> None:
    rows = turns(user("One?"), assistant("1."), user("Two?"), assistant("2."))
    assert {group_key(row) for row in rows} == {("s", "g")}
    assert {row["identity"] for row in rows} == {"One?\n1.\nTwo?"}


def test_excluded_empty_and_opening_messages_are_no_reference() -> None:
    rows = turns(
        assistant("Welcome."), user("One?"), assistant("1.", train=False, weight=0), user("Two?"), assistant("2.")
    )
    assert [row["row_id"] for row in rows] == ["r#turn5"]


def test_rows_of_prompts_stay_as_they_are() -> None:
    row = dict.fromkeys(RENDERED.names) | {"row_id": "r", "prompt": "One?", "completion": "1."}
    assert every_turn(pa.Table.from_pylist([row], schema=RENDERED)).to_pylist() == [row]
