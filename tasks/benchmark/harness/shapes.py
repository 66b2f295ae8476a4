"""Convert rows from their authors' format to that of the hub, which lm-eval's prompts read.

A row in the hub's format stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.core.errors import TunesmithError
from tasks.text.rows import Row


def mmlu(row: Row) -> list[Row]:
    """Columns ``A`` to ``D`` → ``choices``."""
    if "choices" in row or not all(letter in row for letter in "ABCD"):
        return [row]
    return [{**row, "choices": [str(row[letter]) for letter in "ABCD"]}]


def multirc(row: Row) -> list[Row]:
    """A passage with questions with answers → one row per answer."""
    if not isinstance(passage := row.get("passage"), dict):
        return [row]
    return [
        {
            "paragraph": passage["text"],
            "question": question["question"],
            "answer": answer["text"],
            "idx": {"paragraph": row["idx"], "question": question["idx"], "answer": answer["idx"]},
            "label": answer.get("label"),
        }
        for question in passage["questions"]
        for answer in question["answers"]
    ]


def record(row: Row) -> list[Row]:
    """A passage with marked entities and queries → one row per query."""
    if not isinstance(passage := row.get("passage"), dict):
        return [row]
    text = passage["text"]
    # The authors' positions include the last character.
    entities = sorted({text[entity["start"] : entity["end"] + 1] for entity in passage["entities"]})
    return [
        {
            "passage": text,
            "query": query["query"],
            "entities": entities,
            "answers": sorted({answer["text"] for answer in query.get("answers") or ()}),
        }
        for query in row["qas"]
    ]


def wsc(row: Row) -> list[Row]:
    """Copy the columns inside ``target`` to the row itself."""
    return [{**row, **row["target"]}] if isinstance(row.get("target"), dict) else [row]


def truthfulqa(row: Row) -> list[Row]:
    """Turn targets (answer → 1 or 0) into ``choices`` and ``labels``, right ones first, as lm-eval's mc1 needs them."""
    shaped = dict(row)
    for name in ("mc1_targets", "mc2_targets"):
        given = row.get(name)
        if not isinstance(given, dict):
            continue
        pairs = zip(given["choices"], given["labels"], strict=True) if "choices" in given else given.items()
        ordered = sorted(pairs, key=lambda pair: -pair[1])
        shaped[name] = {"choices": [text for text, _ in ordered], "labels": [int(label) for _, label in ordered]}
    return [shaped]


BY_NAME: dict[str, Callable[[Row], list[Row]]] = {
    "mmlu": mmlu,
    "multirc": multirc,
    "record": record,
    "wsc": wsc,
    "truthfulqa": truthfulqa,
}


def task_json(task: dict[str, Any], where: str, seed: int) -> list[Row]:
    """The examples of a BIG-bench ``task.json`` as rows with ``inputs``, ``targets``, ``multiple_choice_targets`` and
    ``multiple_choice_scores``, worded as BIG-bench words them (``docs/doc.md`` of its repository, "JSON schema").

    Raises:
        TunesmithError: an example lacks ``input``, or has neither ``target`` nor ``target_scores``; or only some
            examples have ``target_scores``.
    """
    before, after = task.get("example_input_prefix", "\nQ: "), task.get("example_output_prefix", "\nA: ")
    prefix = task.get("choice_prefix", "\n  choice: ")
    generator = np.random.default_rng(seed)
    rows = []
    for number, example in enumerate(task["examples"], start=1):
        scores = example.get("target_scores") or {}
        if "input" not in example or not (scores or example.get("target")):
            raise TunesmithError(
                f"{where}: example {number}: must have `input` and either `target` or `target_scores`; it has "
                f"{', '.join(example)}; correct the file"
            )
        shown = sorted(scores) if task.get("append_choices_to_input", True) else []
        order = [shown[i] for i in generator.permutation(len(shown))]  # a sorted order may reveal the correct one
        text = f"{before}{example['input']}{''.join(prefix + choice for choice in order)}{after}"
        target = example.get("target", [])
        rows.append(
            {
                # lm-eval puts a space before an answer.
                "inputs": f"{task.get('task_prefix', '')}{text}".strip(),
                "targets": [str(t) for t in (target if isinstance(target, list) else [target])],
                "multiple_choice_targets": list(scores),
                "multiple_choice_scores": [float(score) for score in scores.values()],
            }
        )
    if len({bool(row["multiple_choice_targets"]) for row in rows}) > 1:
        raise TunesmithError(
            f"{where}: all examples must have `target_scores`, or none; some have; split the file in two"
        )
    return rows
