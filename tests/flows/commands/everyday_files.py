"""Small files in the formats in which data comes, and what ``data add`` makes of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

TURNS = [{"role": "user", "content": "Is it late?"}, {"role": "assistant", "content": "Yes."}]
SHARED = [{"from": "human", "value": "Is it late?"}, {"from": "gpt", "value": "Yes."}]
SYSTEM = {"role": "system", "content": "Be brief."}

Case = tuple[str, str, list[dict[str, Any]], str, dict[str, str]]

CASES: dict[str, Case] = {
    # name: (file, format, rows, template set, column of the set → column of the data)
    "openai": ("a.jsonl", "messages", [{"messages": [SYSTEM, *TURNS]}], "chat", {"messages": "messages"}),
    "openai_text": (
        "a.csv",
        "messages",
        [{"id": "1", "chat": json.dumps(TURNS), "tools": "[]"}],
        "chat",
        {"messages": "chat", "tools": "tools"},
    ),
    "sharegpt": (
        "a.json",
        "sharegpt",
        [{"id": "x", "conversations": SHARED, "system": "Be brief."}],
        "chat",
        {"messages": "conversations", "system": "system"},
    ),
    "sharegpt_named": ("a.jsonl", "sharegpt", [{"items": SHARED}], "chat", {"messages": "items"}),
    "alpaca": (
        "a.json",
        "alpaca",
        [
            {"instruction": "Add.", "input": "1 2", "output": "3"},
            {"instruction": "Say hi.", "input": "", "output": "Hi"},
        ],
        "instruction",
        {"instruction": "instruction", "output": "output", "input": "input"},
    ),
    "dolly": (
        "a.jsonl",
        "alpaca",
        [{"instruction": "Add.", "response": "3", "category": "sum"}],
        "instruction",
        {"instruction": "instruction", "output": "response"},
    ),
    "prompt_completion": (
        "a.jsonl",
        "prompt_completion",
        [{"prompt": "def f(", "completion": "x):\n    return x"}],
        "prompt_completion",
        {"prompt": "prompt", "completion": "completion"},
    ),
    "prompt_of_messages": (
        "a.jsonl",
        "prompt_completion",
        [{"prompt": TURNS[:1], "completion": TURNS[1:]}],
        "preference",
        {"prompt": "prompt", "chosen": "completion"},
    ),
    "input_output": (
        "a.tsv",
        "input_output",
        [{"input": "a b", "output": "b a"}],
        "prompt_completion",
        {"prompt": "input", "completion": "output"},
    ),
    "inputs_targets": (
        "a.jsonl",
        "input_output",
        [{"inputs": "a b", "targets": ["b a", "ba"]}],
        "prompt_completion",
        {"prompt": "inputs", "completion": "targets"},
    ),
    "question_answer": (
        "a.csv",
        "question_answer",
        [{"Question": "Late?", "Answer": "Yes"}, {"Question": "Early?", "Answer": "No"}],
        "prompt_completion",
        {"prompt": "Question", "completion": "Answer"},
    ),
    "question_in_context": (
        "a.jsonl",
        "question_answer",
        [{"context": "It is ten.", "question": "Late?", "answer": "Yes"}],
        "instruction",
        {"instruction": "question", "input": "context", "output": "answer"},
    ),
    "preference": (
        "a.jsonl",
        "preference",
        [{"prompt": "Late?", "chosen": "Yes.", "rejected": "No."}],
        "preference",
        {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    ),
    "preference_of_messages": (
        "a.jsonl",
        "preference",
        [{"chosen": TURNS, "rejected": TURNS, "score": 1.5}],
        "preference",
        {"chosen": "chosen", "rejected": "rejected"},
    ),
    "summaries": (
        "a.csv",
        "dialogue_summary",
        [{"Dialogue": "A: Late?", "summary": "It is late."}],
        "dialogue_summary",
        {"dialogue": "Dialogue", "summary": "summary"},
    ),
    "several_summaries": (
        "a.jsonl",
        "dialogue_summary",
        [{"dialogue": "A: Late?", "summaries": ["It is late.", "Late."]}],
        "dialogue_summary",
        {"dialogue": "dialogue", "summary": "summaries"},
    ),
    "sentiment": (
        "a.csv",
        "sentiment",
        [{"text": "good", "label": "1"}, {"text": "bad", "label": "0"}],
        "sentiment",
        {"text": "text", "label": "label"},
    ),
    "sentiment_pipes": (
        "a.tsv",
        "sentiment",
        [{"idx": "1", "text": "good", "label": "1"}],
        "sentiment",
        {"text": "text", "label": "label"},
    ),
    "multiple_choice": (
        "a.jsonl",
        "multiple_choice",
        [{"question": "1 + 1?", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "B"}],
        "multiple_choice",
        {},
    ),
    "entailment": (
        "a.jsonl",
        "entailment",
        [{"premise": "It is ten.", "hypothesis": "It is late.", "label": 0}],
        "entailment",
        {},
    ),
}

UNCLEAR: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    # name: (rows, parts of what is printed)
    "no_format": (
        [{"talk": "A: Late?", "gist": "late"}],
        ['  talk: "A: Late?"', '  gist: "late"', "--format alpaca: "],
    ),
    "two_formats": (
        [{"messages": TURNS, "prompt": "Late?", "completion": "Yes."}],
        [
            "several fit: messages, since `messages` has lists of messages",
            "`--format messages` or `--format prompt_comp",
        ],
    ),
    "a_message_is_no_list": ([{"message": "Hello", "team": "x"}], ['  message: "Hello"']),
    "a_pair_in_one_text": (
        [{"chosen": "\n\nHuman: Late?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Late?\n\nAssistant: No."}],
        ["--format preference: pairs"],
    ),
    "answers_are_objects": ([{"question": "Late?", "answers": {"text": ["Yes"]}}], ['answers: {"text": ["Yes"]}']),
}


def write_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows in the format of the ending."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ";")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps({"data": rows, "version": 1}))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
