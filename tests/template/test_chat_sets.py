"""Rows of conversations are rendered with their messages, and with the text that other parts read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import digest, read_rows
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.ingest.demo import generate
from tasks.template.library import Template, TemplateSet, load_set
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.run import run
from tasks.template.stored import Prompt, of_texts, prompts_of, stored
from tasks.template.validate import Report
from tasks.text.rows import CONVERSATION
from tests.template.rendering import error_of, rendered, rows_of, template_set

SYSTEM = {"role": "system", "content": "Be brief."}
USER, ASSISTANT = {"role": "user", "content": "Is the lamp on?"}, {"role": "assistant", "content": "Yes."}
MORE, LAST = {"role": "user", "content": "And now?"}, {"role": "assistant", "content": " No, it is off. "}
CHAT = [SYSTEM, USER, ASSISTANT, MORE, LAST]
TOOLS = [{"type": "function", "function": {"name": "switch", "parameters": {"z": 1, "a": 2.0}}}]


def chat(*messages: Any, learn: Any = None, name: str = "chat", **row: Any) -> Any:
    rows, report = rendered([{"messages": list(messages), **row}], load_set(name), learn=learn)
    return rows, report


def test_a_conversation_has_its_messages_and_its_text() -> None:
    (row,), report = chat(*CHAT, tools=TOOLS)
    assert json.loads(row["messages"]) == [
        SYSTEM,
        USER,
        {**ASSISTANT, "train": True},
        MORE,
        {**LAST, "train": True},
    ]
    assert row["tools"] == json.dumps(TOOLS), "keys keep their order, and numbers their type"
    assert row["prompt"] == (
        "System: Be brief.\n\nUser: Is the lamp on?\n\nAssistant: Yes.\n\nUser: And now?\n\nAssistant:"
    )
    assert row["completion"] == " No, it is off. "
    assert row["references"] == [" No, it is off. "]
    assert row["text"] == "User: Is the lamp on?\n\nAssistant: Yes.\n\nUser: And now?"
    assert row["identity"] == "Is the lamp on?\nYes.\nAnd now?"
    assert (row["text_column"], row["template_id"], row["task"]) == ("messages", "chat", "chat")
    assert report.odd == {}


def test_one_turn_is_the_row_of_its_prompt_and_completion() -> None:
    (row,), _ = chat(USER, ASSISTANT)
    (plain,), _ = rendered([{"q": "Is the lamp on?", "a": "Yes."}], template_set())
    names = ("prompt", "completion", "references", "text", "identity", "group")
    assert [row[name] for name in names] == [plain[name] for name in names]
    assert (plain["messages"], plain["tools"]) == (None, None)


def test_sharegpt_is_the_same_set_with_another_column() -> None:
    turns = [{"from": "human", "value": "Is the lamp on?"}, {"from": "gpt", "value": "Yes."}]
    row = {"conversations": turns, "system": "Be brief."}
    (other,), _ = rendered([row], load_set("chat"), columns={"messages": "conversations"})
    (same,), _ = chat(SYSTEM, USER, ASSISTANT)
    assert other == same


def test_the_group_is_the_conversation_and_not_its_system_message() -> None:
    (one,), _ = chat(*CHAT)
    (other,), _ = chat({**SYSTEM, "content": "Be long."}, USER, ASSISTANT, MORE, {**LAST, "content": "Off."})
    (third,), _ = chat(USER, {**ASSISTANT, "content": "It is."}, MORE, LAST)
    assert one["group"] == other["group"] != third["group"]
    rows, _ = rendered([{"messages": CHAT, "who": "ann"}], load_set("chat"), group="who")
    assert rows[0]["group"] == "ann"


def test_what_follows_the_last_answer_is_cut_off_and_counted() -> None:
    (row,), report = chat(USER, ASSISTANT, MORE)
    assert json.loads(row["messages"])[-1] == {**ASSISTANT, "train": True}
    assert report.oddities() == ["1 with messages after the last learned one, which are cut off, the first at f:1"]


def test_broken_alternation_is_counted_with_its_line() -> None:
    rows, report = rendered([{"messages": CHAT}, {"messages": [USER, MORE, LAST]}], load_set("chat"))
    assert len(rows) == 2
    assert report.oddities() == ["1 with two user messages in a row, the first at f:2"]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no assistant message to learn"),
        ([USER], "no assistant message to learn"),
        ([SYSTEM, ASSISTANT], "no user or tool message before the assistant message"),
        ([{**USER, "content": " "}, ASSISTANT], "an empty user message"),
        ([USER, {**ASSISTANT, "content": ""}, MORE, LAST], "an empty assistant message"),
    ],
)
def test_a_conversation_that_teaches_nothing_is_dropped(messages: Any, reason: str) -> None:
    rows, report = chat(*messages)
    assert (rows, report.dropped) == ([], {reason: 1})


def test_a_wrong_role_names_the_row_and_the_turn() -> None:
    message = error_of([{"messages": [USER, {"role": "asistant", "content": "x"}]}], load_set("chat"))
    assert message.startswith("f:1, turn 2: the role must be one of")
    assert message.endswith("it is 'asistant'; did you mean 'assistant'?; correct it")


def test_marks_decide_only_if_the_source_says_so() -> None:
    marked = [USER, {**ASSISTANT, "weight": 0}, MORE, {**LAST, "weight": 1}]
    assert "set `template.learn`" in error_of([{"messages": marked}], load_set("chat"))
    (row,), _ = chat(*marked, learn="marked")
    assert [one.get("train") for one in json.loads(row["messages"])] == [None, False, None, True]
    (row,), _ = chat(*marked, learn="last")
    assert [one.get("train") for one in json.loads(row["messages"])] == [None, False, None, True]
    assert "a row must mark" in error_of([{"messages": CHAT}], load_set("chat"), learn="marked")


def test_a_choice_of_turns_is_refused_for_prompts() -> None:
    assert "sources.s.template.learn: only conversations have turns" in error_of([{"q": "a", "a": "b"}], learn="last")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Is the lamp on?", "chosen": "Yes.", "rejected": "No."},
        {"prompt": [USER], "chosen": [ASSISTANT], "rejected": [{**ASSISTANT, "content": "No."}]},
        {"prompt": "Is the lamp on?", "chosen": [USER, ASSISTANT], "rejected": None},
        {"chosen": [USER, ASSISTANT]},
    ],
)
def test_the_chosen_answer_of_a_pair_is_learned(row: dict[str, Any]) -> None:
    rows, _ = rendered([row], load_set("preference"))
    assert json.loads(rows[0]["messages"]) == [USER, {**ASSISTANT, "train": True}]


def test_the_stage_writes_conversations_and_reports_what_is_unusual(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = Paths(tmp_path)
    paths.raw("s").parent.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows_of([{"messages": CHAT}, {"messages": [USER, MORE, LAST]}])), paths.raw("s")
    )
    with caplog.at_level("WARNING", "tunesmith"):
        run("s", TemplateParams(set="chat", learn="last"), paths, Stage("template@s", tmp_path))
    rows = read_rows(paths.rendered("s"))
    assert [one.get("train") for one in json.loads(rows[0]["messages"])] == [None, None, False, None, True]
    assert "s: 1 with two user messages in a row, the first at f:2" in caplog.text


def prompt(**more: Any) -> Prompt:
    params = TemplateParams(set="chat", **more)
    return prompts_of("s", stored(load_set("chat"), params, "s"))[0]


@pytest.mark.parametrize("history", [[USER], [USER, ASSISTANT], json.dumps([USER])])
def test_a_model_renders_a_row_up_to_the_message_to_generate(history: Any) -> None:
    row = prompt(columns={"messages": "turns"}).render({"turns": history, "system": "Be brief."}, "f:1")
    expected = [SYSTEM, USER, {"role": "assistant", "content": "", "train": True}]
    assert json.loads(row["messages"]) == expected
    assert row["prompt"] == "System: Be brief.\n\nUser: Is the lamp on?\n\nAssistant:"


def test_a_row_without_a_message_to_answer_lacks_the_columns() -> None:
    known = prompt()
    assert known.lacks({"messages": [USER]}) == known.lacks({"messages": [{"role": "usr"}]}) == []
    for row in ({}, {"messages": None}, {"messages": []}, {"system": "Be brief."}, {"text": "x"}):
        assert known.lacks(row) == ["messages", "tools", "system"]
    with pytest.raises(TunesmithError, match="f:1, turn 1: the role"):
        known.render({"messages": [{"role": "usr"}]}, "f:1")


def test_the_text_of_a_template_gives_the_template_back() -> None:
    (template,) = load_set("chat").templates
    again = Template.of_text(template.id, template.text)
    assert (again.messages, again.tools) == (template.messages, template.tools)
    (parsed,) = prompts_of("s", of_texts("s", {template.id: template.text}))
    assert json.loads(parsed.render({"messages": [USER], "system": "Be brief."}, "f:1")["messages"])[0] == SYSTEM


def test_an_own_set_builds_the_turns_itself() -> None:
    own = TemplateSet(
        name="own",
        task="qa",
        description="",
        columns={"q": "question", "a": "answer"},
        templates=[
            Template(
                id="one",
                messages="[{'role': 'system', 'content': 'Reply to all.'}, {'role': 'user', 'content': q},"
                " {'role': 'assistant', 'content': a}]",
            )
        ],
    )
    (row,), _ = rendered([{"q": "Is it late?", "a": "Yes."}], own)
    assert row["prompt"] == "System: Reply to all.\n\nUser: Is it late?\n\nAssistant:"
    (known,) = prompts_of("s", stored(own, TemplateParams(set="own"), "s"))
    assert known.lacks({"q": "Is it late?"}) == [], "the answer is what the model generates"
    assert known.render({"q": "Is it late?"}, "f:1")["prompt"] == row["prompt"]


def test_validate_notes_what_is_unusual(tmp_path: Path) -> None:
    from tests.template.own_set import findings

    rows = [{"messages": [USER, MORE, ASSISTANT]}, {"messages": [USER, ASSISTANT, MORE]}]
    notes = [(one.weight, one.kind, one.message) for one in findings(tmp_path, rows, set="chat")]
    assert notes == [
        ("note", "conversation", "1 with two user messages in a row, the first at f:1"),
        ("note", "conversation", "1 with messages after the last learned one, which are cut off, the first at f:2"),
    ]


def test_rows_of_prompts_are_those_of_earlier_versions() -> None:
    """Other rows or groups would train every model again, and could move rows of a split."""
    demo = [row for part in generate(seed=0, train_rows=220, test_rows=50) for row in part]
    given = [{**one, "row_id": digest(one)[:24], "source_file": "f", "source_line": n} for n, one in enumerate(demo, 1)]
    params = TemplateParams(set="dialogue_summary", columns={"summary": "summaries"}, use=["summarise"])
    rows = list(render(given, "demo", load_set("dialogue_summary"), params, Report()))
    assert {(row["messages"], row["tools"]) for row in rows} == {(None, None)}
    earlier = [{name: row[name] for name in sorted(row) if name not in CONVERSATION} for row in rows]
    assert digest(earlier).startswith("b60466a23f4699f5"), "computed before rows had conversations"
