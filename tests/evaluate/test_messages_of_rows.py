"""``predict`` and the registered model render the messages of a row as the evaluation does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.evaluate.evaluated_model import PromptRenderer
from tasks.evaluate.inference_settings import Inference
from tasks.evaluate.shots import fitted
from tasks.model.rendering import Renderer
from tasks.template.library import load_set
from tasks.template.params import TemplateParams
from tasks.template.stored import of_texts, stored
from tests.template.rendering import rendered, template_set
from tests.tiny import tokenizer

SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is the lamp on?"}
ASSISTANT, MORE = {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And now?"}
HISTORY = [SYSTEM, USER, ASSISTANT, MORE]
SHAREGPT = [{"from": "gpt" if one is ASSISTANT else "human", "value": one["content"]} for one in HISTORY[1:]]
CHAT = TemplateParams(set="chat", columns={"messages": "turns"})


def prompts(*params: TemplateParams) -> PromptRenderer:
    """A model of one source per set, named as its set."""
    sources = {
        one.set: stored(template_set() if one.set == "own" else load_set(one.set), one, one.set) for one in params
    }
    order = [f"{name}/{template.id}" for name, source in sources.items() for template in source.set.templates]
    inference = Inference(experiment="x", key="k", fingerprint={}, sources=sources, order=order)
    return PromptRenderer.of("x", inference, {})


def shown(row: dict[str, Any], known: PromptRenderer, **named: Any) -> list[dict[str, Any]]:
    """The messages that the model gets, without the one to generate."""
    text = known.render_row(row, "f:1", **named).messages
    assert text is not None
    *messages, last = json.loads(text)
    assert last == {"role": "assistant", "content": "", "train": True}
    return list(messages)


@pytest.mark.parametrize(
    "row",
    [
        {"turns": HISTORY},
        {"turns": [*HISTORY, {"role": "assistant", "content": "No."}]},
        {"messages": HISTORY},
        {"messages": json.dumps(HISTORY), "prompt": "User: Is", "template": "chat/chat"},
        {"turns": HISTORY[1:], "system": "Be brief."},
        {"turns": SHAREGPT, "system": "Be brief."},
    ],
    ids=["source's column", "with its reference", "set's column", "evaluation row", "system", "sharegpt"],
)
def test_a_model_of_conversations_takes_its_rows(row: dict[str, Any]) -> None:
    assert shown(row, prompts(CHAT)) == HISTORY


@pytest.mark.parametrize("known", [prompts(), prompts(TemplateParams(set="own"))], ids=["no template", "prompts"])
def test_a_model_of_prompts_takes_messages_and_tools(known: PromptRenderer) -> None:
    tools = [{"type": "function", "function": {"name": "switch"}}]
    assert shown({"messages": HISTORY, "tools": json.dumps(tools)}, known) == HISTORY
    assert json.loads(known.render_row({"messages": HISTORY, "tools": tools}, "f:1").tools or "") == tools


def test_a_row_of_prompts_stays_one() -> None:
    known = prompts(CHAT, TemplateParams(set="own"))
    for row in (
        {"q": "Is it late?"},
        {"q": "Is it late?", "messages": None},
        {"q": "Is it late?", "messages": float("nan")},
    ):
        one = known.render_row(row, "f:1")
        assert (one.template, one.text, one.messages) == ("own/one", "Is it late?", None)
    assert known.render_row({"prompt": "Say hi.", "messages": None}, "f:1").text == "Say hi."
    named = known.render_row({"q": "Is it late?", "messages": HISTORY}, "f:1", "own/one")
    assert (named.text, named.messages) == ("Is it late?", None)


def test_a_text_is_a_user_message() -> None:
    one = prompts(CHAT).render_text("Hi ")
    assert (one.template, one.text) == ("chat/chat", "Hi ")
    assert json.loads(one.messages or "")[0] == {"role": "user", "content": "Hi "}


def test_a_prompt_of_a_pair_needs_no_chosen_answer() -> None:
    known = prompts(TemplateParams(set="preference"))
    assert shown({"prompt": "Is the lamp on?"}, known) == [USER]
    assert shown({"prompt": [SYSTEM, USER]}, known) == [SYSTEM, USER]


def test_messages_come_before_the_prompt_of_a_pair() -> None:
    """A row of the evaluation set has both: its prompt is the conversation as text."""
    row = {"messages": json.dumps(HISTORY), "prompt": "System: Be brief.\n\nUser: Is", "template": "preference/chosen"}
    assert shown(row, prompts(TemplateParams(set="preference"))) == HISTORY


def test_a_row_without_messages_is_refused_and_a_wrong_role_is_named() -> None:
    known = prompts(CHAT)
    with pytest.raises(TunesmithError, match="f:1: template chat/chat needs the columns turns, tools, system"):
        known.render_row({"text": "x"}, "f:1")
    with pytest.raises(TunesmithError, match="f:1, turn 1: the role must be one of"):
        known.render_row({"messages": [{"role": "usr", "content": "x"}]}, "f:1")
    with pytest.raises(TunesmithError, match="f:1: a row must have a text; it is empty in turns, tools, system"):
        known.render_row({"messages": [{**USER, "content": " "}]}, "f:1")


def test_a_template_of_training_alone_renders_conversations_too() -> None:
    (template,) = load_set("chat").templates
    known = PromptRenderer.of(
        "x", Inference(experiment="x", key="k", fingerprint={}), {f"other/{template.id}": template.text}
    )
    assert shown({"messages": HISTORY[1:], "system": "Be brief."}, known) == HISTORY
    assert of_texts("other", {"chat": template.text}).set.conversational


def test_a_row_has_the_tokens_of_its_evaluation() -> None:
    renderer = Renderer(tokenizer([one["content"] for one in HISTORY], chat=True), "causal")
    (evaluated,), _ = rendered([{"turns": [*HISTORY, {"role": "assistant", "content": "No."}]}], load_set("chat"),
                               columns=CHAT.columns)  # fmt: skip
    example = [("Is it late?", "Yes.")]
    expected = fitted(renderer, evaluated, example, None)
    for row in ({"turns": HISTORY}, evaluated):
        one = prompts(CHAT).render_row(row, "f:1")
        assert fitted(renderer, one.row(), example, None) == expected
    assert "Is it late?" in renderer.tokenizer.decode(expected[0])
    assert fitted(renderer, evaluated, example, len(expected[0]) - 1) == (renderer.prompt_row(evaluated), 0)
