"""Single turns of conversations are compared: a training row that shares one with a test row is left out."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.files import read_rows
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluation_set import run as evaluation_set
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.contamination import dirty_of
from tasks.mix.params import ContaminationParams, MixtureParams, Share
from tasks.mix.run import Mixed, mix
from tasks.template.conversation import columns_of
from tests.mix.splits import Item, Write

ASKED = "Can you tell me at what time the last ferry to the island leaves on a Sunday in winter?"
REPLIED = "The last ferry of a winter Sunday leaves the north pier at ten past six in the evening."
OTHER = "Which of the two bakeries on the market square sells the dark bread with sunflower seeds in it?"
GREETING = "Welcome to the service desk of the town, how may I help you with your request on this fine day?"
DONE = "Thank you."


def chat(row_id: str, *contents: str, system: str = "Be brief.") -> Item:
    roles = ("user", "assistant") * len(contents)
    turns = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]
    messages: Any = [{"role": "system", "content": system}, *turns]
    return {"row_id": row_id, "task": "chat", "template_id": "chat", **columns_of(messages)}


def mixed(workspace: Write, train: list[Item], test: list[Item], **params: Any) -> tuple[Mixed, Paths]:
    paths = workspace({"one": {"train": train, "validation": ["v"], "test": ["w"]}, "two": {"test": test}})
    checked = ContaminationParams(max_left_out=1.0, max_dirty=1.0, **params)
    return mix("m", MixtureParams(sources={"one": Share()}), checked, paths), paths


@pytest.mark.parametrize(
    ("planted", "test"),
    [
        pytest.param(chat("t", OTHER, DONE, ASKED, "No."), chat("e", ASKED, "Yes.", DONE, "Bye."), id="user turns"),
        pytest.param(chat("t", OTHER, REPLIED, DONE, "No."), chat("e", ASKED, REPLIED), id="a turn and the completion"),
        pytest.param(
            chat("t", OTHER, REPLIED), chat("e", ASKED, REPLIED, DONE, "Bye."), id="the completion and a turn"
        ),
        pytest.param(
            chat("t", OTHER, REPLIED.upper(), DONE, "No."), chat("e", "Hi", REPLIED, DONE, "Bye."), id="turns"
        ),
        pytest.param(chat("t", OTHER, DONE, ASKED, "No."), {"row_id": "e", "text": ASKED}, id="a prompt"),
    ],
)
def test_a_shared_turn_leaves_the_training_row_out(workspace: Write, planted: Item, test: Item) -> None:
    kept = chat("kept", OTHER, "Both do.", DONE, "Bye.")
    result, _ = mixed(workspace, [planted, kept], [test])
    assert result.parts["train"].column("row_id").to_pylist() == ["kept"]


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(chat("t", OTHER, "No.", DONE, "Bye."), id="a short turn"),
        pytest.param(chat("t", OTHER, "No.", system=ASKED), id="a system message"),
    ],
)
def test_short_turns_and_system_messages_are_no_leak(workspace: Write, planted: Item) -> None:
    test = chat("e", ASKED, "No.", DONE, "Bye.", system=ASKED)
    assert mixed(workspace, [planted], [test])[0].parts["train"].num_rows == 1


@pytest.mark.parametrize(("common", "kept"), [(3, 4), (4, 0)])
def test_a_turn_of_many_conversations_is_a_set_phrase(workspace: Write, common: int, kept: int) -> None:
    def greeted(name: str, replied: str) -> list[Item]:
        """Four conversations with the same greeting, and an answer that three end with."""
        ends = [replied, replied, replied, "No."]
        texts = [" ".join(f"{name}{n}{letter}" for letter in ascii_letters) for n in "abcd"]
        return [chat(text[:6], f"{name} please", GREETING, text, end) for text, end in zip(texts, ends, strict=True)]

    test = [*greeted("desk", REPLIED), chat("desk4", "Hi", "Yes.", ASKED, REPLIED)]
    result, _ = mixed(workspace, [*greeted("lamp", REPLIED), chat("free", OTHER, "No.")], test, common=common)
    assert result.parts["train"].num_rows == kept + 1


def test_turns_are_as_dirty_as_their_conversation(workspace: Write) -> None:
    test = [chat("e", ASKED, "Yes.", DONE, "Bye."), chat("clean", "Where is it?", "Here.")]
    result, paths = mixed(workspace, [chat("kept", OTHER, "Both do.")], test)
    params = EvaluationSetParams(sources=["two"], turns="every")
    evaluation_set.run(params, paths, Stage("evaluation_set", paths.root))
    rows = pq.read_table(paths.evaluation_set / "test.parquet")
    ids = ["e#turn3", "e#turn5", "clean#turn3"]
    assert rows.column("row_id").to_pylist() == ids
    dirty = result.contamination.to_pylist()
    marked = result.contamination.from_pylist([row | {"dirty": row["row_id"] == "e"} for row in dirty])
    assert [(one["row_id"], one["dirty"]) for one in dirty_of(marked, rows).to_pylist()] == [
        ("e#turn3", True),
        ("e#turn5", True),
        ("clean#turn3", False),
    ]


def test_splits_of_an_earlier_version_have_no_conversations(workspace: Write) -> None:
    result, paths = mixed(workspace, ["a b c", "d e f"], ["g h i"])
    for path in paths.splits.glob("*/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["messages", "tools"]), path)
    evaluation_set.run(EvaluationSetParams(sources=["two"]), paths, Stage("evaluation_set", paths.root))
    assert read_rows(paths.evaluation_set / "test.parquet")[0]["messages"] is None
    again = mix("m", MixtureParams(sources={"one": Share()}), ContaminationParams(), paths)
    assert again.parts["train"] == result.parts["train"]
