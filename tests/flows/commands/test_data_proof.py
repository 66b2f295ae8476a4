"""``data add`` proves the format, and ``--write`` writes blocks into ``params/`` that a plan accepts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.commands.data import add
from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tests.flows.commands.everyday_files import CASES, TURNS, UNCLEAR, write_file
from tests.workspaces import ROOT, make_workspace


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("proof") / "workspace", tiny_llama)
    for path in (ROOT / "params").iterdir():  # with their comments
        if path.name != "training.yaml":
            shutil.copy(path, root / "params")
    return root


def test_a_written_source_can_be_planned(root: Path, tmp_path: Path) -> None:
    before = {path: path.read_text() for path in (root / "params").iterdir()}
    rows = [{"question": f"Number {number}?", " answer ": f"It is {number}."} for number in range(4)]
    rows += [{"question": "Late?", " answer ": ""}, rows[1]]
    file = write_file(tmp_path / "talks.csv", rows)
    printed = add(root, [file], "talks", write=True)
    for part in (
        "talks.csv: 6 rows, columns question, answer (delimiter: semicolon)",
        "note: talks.csv: blanks around the names of columns are cut: ' answer '",
        "format: question_answer, since `question` has text and `answer` has text",
        "mapped: question → prompt, answer → completion (template set prompt_completion); unused: none",
        "-- talks:2\n",
        "Number 0?",
        "[[It is 0.",
        "  1 row with an empty answer: talks:6",
        "  1 row equal to an earlier row, unused columns aside: talks:7",
        "Written into params/:",
    ):
        assert part in printed
    assert printed.count("-- talks:") == 3 and "(as text" not in printed, "through the tokenizer on this disk"
    preflight(Paths(root))
    source = read_yaml(root / "params/sources.yaml")["sources"]["talks"]
    assert (
        source["template"]
        == {
            "set": "prompt_completion",
            "columns": {"prompt": "question", "completion": "answer"},
            "language": "en",
        }
        or "language" not in source["template"]
    )
    assert read_yaml(root / "params/evaluation.yaml")["evaluation_set"]["sources"] == ["demo", "talks"]
    assert read_yaml(root / "params/experiments.yaml")["experiments"]["talks_lora"]["mixture"] == "talks"
    for path, text in before.items():
        after = path.read_text().splitlines()
        gone = [line for line in text.splitlines() if line not in after]
        assert gone == (["  sources: [demo]"] if path.name == "evaluation.yaml" else []), "comments and order stay"
    error = refusal(root, write_file(tmp_path / "more.csv", rows), "talks", "append", write=True)
    assert "sources.talks: this source exists, and `--write` changes no entry; leave `--write` out" in error
    error = refusal(root, file, "talks", "replace", form="alpaca")
    assert "sources.talks.template: the source has the set 'prompt_completion', so `--format` cannot be given" in error
    again = add(root, [write_file(tmp_path / "more.csv", rows[:2])], "talks", "append")
    assert "format: prompt_completion, since params/sources.yaml names this set" in again and "[[It is 0." in again


def refusal(root: Path, file: Path, name: str, *how: str, **options: object) -> str:
    with pytest.raises(TunesmithError) as caught:
        add(root, [file], name, *how, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_nothing_is_stored_if_the_blocks_cannot_be_written(root: Path, tmp_path: Path) -> None:
    unclear = write_file(tmp_path / "talk.jsonl", UNCLEAR["no_format"][0])
    error = refusal(root, unclear, "talk", write=True)
    assert error.startswith("data add: `--write` needs a clear format; ") and '  gist: "late"' in error
    pair = write_file(tmp_path / "pair.jsonl", CASES["prompt_completion"][2])
    path = root / "params/mixtures.yaml"
    text = path.read_text()
    path.write_text(text.replace("  demo:\n", "  pair: {sources: {demo: {}}}\n  demo:\n", 1))
    assert "mixtures.pair: this entry exists" in refusal(root, pair, "pair", write=True)
    path.write_text(text)
    assert not (root / "data/sources/talk").exists() and not (root / "data/sources/pair").exists()


def test_what_is_not_clear_is_added_with_a_block_to_complete(root: Path, tmp_path: Path) -> None:
    printed = add(root, [write_file(tmp_path / "talk.jsonl", UNCLEAR["no_format"][0])], "unclear")
    assert "the format is not clear: " in printed and "odd: nothing" in printed and "set: NAME" in printed
    assert "(or give `--write` next time)" in printed


def test_learned_turns_of_a_conversation_are_marked(root: Path, tmp_path: Path) -> None:
    rows = [{"messages": [*TURNS, TURNS[0], {"role": "assistant", "content": "Still yes."}]}]
    printed = add(root, [write_file(tmp_path / "chats.jsonl", rows)], "chats")
    assert "[[Yes." in printed and "[[Still yes." in printed and "template: {set: chat}" in printed
