"""The blocks that ``data add`` prints fit the files and can be pasted into ``params/`` unchanged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.commands.suggest import blocks, match, split_of
from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.ingest.language import MOST
from tests.workspaces import ROOT, edit


def paste(root: Path, printed: str) -> None:
    """As a person would: each block under the key of the file that it names."""
    for where, key, text in re.findall(
        r"^# params/(\w+)\.yaml, under the key `(\w+)`.*:\n((?:  .*\n|\n)+)", printed + "\n", re.M
    ):
        edit(root, where, lambda p, key=key, text=text: p[key].update(YAML(typ="safe").load(text)))  # type: ignore[misc]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return tmp_path


def printed_blocks(root: Path, stems: list[str], every: list[str], some: list[str], **more: Any) -> str:
    matched = match(root, every, some)
    return "\n".join(b.text() for b in blocks(root, "mine", stems, every, matched, columns=[*every, *some], **more))


def source(root: Path, *, stems: list[str], every: list[str], some: list[str] | None = None) -> dict[str, Any]:
    """``sources.mine`` after its blocks were pasted."""
    paste(root, printed_blocks(root, stems, every, some or []))
    return dict(read_yaml(root / "params/sources.yaml")["sources"]["mine"])


def test_pasted_blocks_are_whole(root: Path) -> None:
    suggested = source(root, stems=["train", "dev"], every=["id", "Dialogue", "gold: summaries"])
    preflight(Paths(root))
    assert suggested == {
        "ingest": {"required": ["Dialogue", "gold: summaries"]},
        "template": {"set": "dialogue_summary", "columns": {"dialogue": "Dialogue", "summary": "gold: summaries"}},
        "split": {"by": "file", "files": {"train": ["train"], "test": ["dev"]}},
    }
    assert read_yaml(root / "params/mixtures.yaml")["mixtures"]["mine"] == {"sources": {"mine": {}}}
    assert read_yaml(root / "params/experiments.yaml")["experiments"]["mine_lora"]["mixture"] == "mine"
    assert read_yaml(root / "params/evaluation.yaml")["evaluation_set"]["sources"] == ["demo", "mine"]


def test_a_benchmark_is_only_tested_on(root: Path) -> None:
    suggested = source(root, stems=["test"], every=["text", "label"])
    preflight(Paths(root))
    assert suggested["split"] == {"by": "file", "files": {"test": ["test"]}}
    assert "mine" not in read_yaml(root / "params/mixtures.yaml")["mixtures"]


def test_columns_that_no_set_has_are_required_and_the_way_to_a_set_is_named(root: Path) -> None:
    suggested = source(root, stems=["all"], every=["talk", "gist"])
    assert suggested["ingest"] == {"required": ["talk", "gist"]}
    with pytest.raises(TunesmithError, match="no template set 'NAME'"):
        preflight(Paths(root))
    assert "`tunesmith templates list`" in printed_blocks(root, ["all"], ["talk", "gist"], [])


def test_a_column_that_some_rows_lack_is_not_required_nor_taken_for_a_needed_one(root: Path) -> None:
    suggested = source(root, stems=["all"], every=["review", "rating"], some=["title"])
    assert suggested["ingest"] == {"required": ["review", "rating"]}
    assert suggested["template"] == {"set": "product_reviews"}
    half = match(root, ["instruction", "output"], ["input"])
    assert half is not None and (half.set, half.lacking) == ("instruction", ["input"])
    assert "the set needs 'input' too" in printed_blocks(root, ["all"], ["instruction", "output"], ["input"])


@pytest.mark.parametrize(
    ("columns", "name", "mapped"),
    [
        (["tokens", "ner_tags"], "entities", {"tokens": "tokens", "tags": "ner_tags"}),
        (["premise", "hypothesis", "label", "idx"], "entailment", {}),
        (["question", "A", "B", "C", "D", "answer"], "multiple_choice", {}),
        (["a", "label"], None, {}),
    ],
)
def test_the_set_whose_columns_match_best(root: Path, columns: list[str], name: str, mapped: dict[str, str]) -> None:
    matched = match(root, columns, [])
    assert (matched and matched.set) == name
    assert not mapped or (matched is not None and matched.columns == mapped)


@pytest.mark.parametrize(
    ("stems", "files"),
    [
        (["train", "valid", "test"], {"train": ["train"], "validation": ["valid"], "test": ["test"]}),
        (["test", "train-00000-of-00001"], {"train": ["train-00000-of-00001"], "test": ["test"]}),
        (["chats"], None),
        (["train"], None),
        (["train", "extra"], None),
        (["latest", "contest"], None),
    ],
)
def test_the_split_goes_by_the_names_of_the_files(stems: list[str], files: dict[str, list[str]] | None) -> None:
    assert split_of(stems) == ({"by": "file", "files": files} if files else {"by": "hash"})


CHINESE = ["今天天气很好，我们去公园散步。", "他昨晚读完了那本旧书，现在很高兴。"]
ENGLISH = ["The parcel is late again, and nobody knows where it is.", "My lamp broke after two days of use."]


@pytest.mark.parametrize(
    ("texts", "language", "columns"),
    [
        ({"dialogue": ENGLISH, "summary": CHINESE}, "zh", "summary"),  # what the model writes is scored
        ({"dialogue": CHINESE, "summary": ["1", "2"]}, "zh", "dialogue, summary"),
        ({"dialogue": ENGLISH, "summary": ENGLISH}, "en", "summary"),
    ],
)
def test_the_block_holds_the_language_of_the_completions(
    root: Path, texts: dict[str, list[str]], language: str, columns: str
) -> None:
    printed = printed_blocks(root, ["all"], ["dialogue", "summary"], [], texts=texts)
    assert f"# language: {language}, recognised in {columns}; it decides how outputs are scored" in printed
    paste(root, printed)
    template = read_yaml(root / "params/sources.yaml")["sources"]["mine"]["template"]
    assert template == {"set": "dialogue_summary", "language": language}
    preflight(Paths(root))


def test_every_column_that_the_note_names_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def language_of(texts: Iterable[str]) -> str | None:
        read.append(" ".join(" ".join(texts).split())[:MOST])
        return "en" if len(read) == 2 else None

    monkeypatch.setattr("flows.commands.suggest.language_of", language_of)
    long = [f"{text} {i}" for i in range(200) for text in ENGLISH]
    printed = printed_blocks(
        root, ["all"], ["dialogue", "summary"], [], texts={"dialogue": long, "summary": ["ok"], "id": []}
    )
    assert "# language: en, recognised in dialogue, summary; it" in printed
    assert read[0] == "ok" and read[1].startswith(ENGLISH[0]) and read[1].endswith(" ok")


def test_texts_that_show_no_language_name_none(root: Path) -> None:
    assert "language" not in printed_blocks(root, ["all"], ["dialogue", "summary"], [], texts={"summary": ["1", "2"]})


def test_the_block_holds_a_delimiter_and_a_sheet_that_were_named(root: Path) -> None:
    paste(root, printed_blocks(root, ["all"], ["dialogue", "summary"], [], stated={"delimiter": ";", "sheet": "May"}))
    ingest = read_yaml(root / "params/sources.yaml")["sources"]["mine"]["ingest"]
    assert (ingest["delimiter"], ingest["sheet"]) == (";", "May")
