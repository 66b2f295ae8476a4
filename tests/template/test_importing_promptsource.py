"""Templates of PromptSource itself, imported as it renders them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.template.library import load_set
from tests.template.rendering import by_id

REAL: list[tuple[str, str, dict[str, Any], str, str]] = [
    (
        "ag_news",
        "classify_question_first",
        {"text": "Shares rose.", "label": 2},
        "What label best describes this news article?\nShares rose.",
        "Business",
    ),
    (
        "samsum",
        "summarize_this_dialogue",
        {"dialogue": "Ann: hi\nBob: ho", "summary": "They greet."},
        "Summarize this dialogue: Ann: hi\nBob: ho",
        "They greet.",
    ),
    (  # the separator stands inside a block
        "glue_mrpc",
        "generate_paraphrase",
        {"sentence1": "It rains.", "sentence2": "Rain falls.", "label": 1},
        "Paraphrase the following sentence: It rains.",
        "Rain falls.",
    ),
    (
        "glue_mrpc",
        "want_to_know",
        {"sentence1": "It rains.", "sentence2": "Rain falls.", "label": 1},
        "I want to know whether the following two sentences mean the same thing.\nIt rains.\nRain falls.\nDo they?",
        "yes",
    ),
    (
        "super_glue_boolq",
        "after_reading",
        {"passage": "Ice is cold.", "question": "is ice warm", "label": 0},
        "Passage: Ice is cold.\n\nAfter reading this passage, I have a question: is ice warm? True or False?",
        "False",
    ),
    (
        "squad",
        "answer_question_given_context",
        {
            "context": "Ann is in Rome.",
            "question": "Where is Ann?",
            "answers": {"text": ["Rome"]},
        },
        "Refer to the passage below and answer the following question:\n\nPassage: Ann is in Rome.\n\n"
        "Question: Where is Ann?",
        "Rome",
    ),
    (  # the answer choices are the row's own
        "super_glue_copa",
        "exercise",
        {"premise": "It rained.", "choice1": "I got wet.", "choice2": "I sang.", "question": "effect", "label": 0},
        "Exercise: choose the most plausible alternative.\n\nIt rained.  so... \n- I got wet.\n- I sang.",
        "I got wet.",
    ),
    (  # the completion uses what the prompt sets
        "trec",
        "fine_grained_loc",
        {"text": "What is the capital of Peru?", "label_coarse": 5, "label_fine": 21},
        "Is this question asking for city, country, mountain, state, other location?\nWhat is the capital of Peru?",
        "city",
    ),
    (
        "quora",
        "are_two_questions_duplicate",
        {"questions": {"id": [1, 2], "text": ["Why?", "How come?"]}, "is_duplicate": True},
        'Given the question "Why?" would you consider "How come?" as a duplicate?',
        "Yes",
    ),
    (
        "dream",
        "generate-last-utterance",
        {"dialogue": ["W: hi", "M: who?", "W: me"], "answer": "a", "choice": ["a"], "question": "q"},
        "Read the below conversation.\n\nW: hi\n\nM: who?\n\nWhat would the listener say?",
        "W: me",
    ),
    (
        "amazon_polarity",
        "is_this_review",
        {"title": "Fine", "content": "I like it.", "label": 1},
        "Title: Fine\nReview: I like it.\nIs the review positive or negative?",
        "Positive",
    ),
]


@pytest.mark.slow
def test_promptsource_itself_is_imported(tmp_path: Path) -> None:
    subprocess.run(
        f"{sys.executable} -m pip download -q --no-deps --no-binary :all: --ignore-requires-python".split()
        + f"promptsource==0.2.3 -d {tmp_path}".split(),
        check=True,
    )
    shutil.unpack_archive(tmp_path / "promptsource-0.2.3.tar.gz", tmp_path)
    library = tmp_path / "library"
    done = subprocess.run(
        f"{sys.executable} -m flows.cli templates import {tmp_path}/promptsource-0.2.3/promptsource/templates".split()
        + f"--into {library}/own".split(),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    counted = re.fullmatch(r"imported (\d+) of 2085 templates, refused (\d+)", lines[-1])
    assert counted, done.stdout[-500:]
    assert int(counted[1]) + int(counted[2]) == 2085 and int(counted[1]) >= 0.95 * 2085
    assert len([line for line in lines if re.match(r".*templates\.yaml: .+: .+", line)]) == int(counted[2])
    assert len(list((library / "own").glob("*.yaml"))) == 279
    for name, template, row, prompt, completion in REAL:
        rendered_row = by_id(load_set(f"own/{name}", library), row, use=[template])[template]
        assert (rendered_row["prompt"], rendered_row["completion"]) == (prompt, completion), (name, template)
