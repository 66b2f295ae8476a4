"""The test rows nearest to a training row, by the hidden states of a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows.cli.contamination import _show_nearest
from flows.commands.nearest import centred, closest, embeddings, nearest
from tasks.core.errors import TunesmithError
from tasks.core.files import write_rows
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.model.base_models import BaseModelParams, find
from tasks.text.rows import RENDERED
from tests.mix.splits import row, writer
from tests.tiny import save_llama, save_t5

TRAIN = ["the lamp in the kitchen flickers", "a train leaves for the coast at noon", "my uncle paints old chairs blue"]
TEST = ["nobody has seen the cat since Monday", "the lamp in the kitchen flickers!"]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A workspace with a tiny base model, the mixture ``m`` of the rows ``TRAIN``, and the test rows ``TEST``."""
    save_llama(tmp_path / "base", [*TRAIN, *TEST])
    paths = writer(tmp_path)({"one": {"train": TRAIN, "test": TEST}})
    write_yaml(paths.params / "training.yaml", {"defaults": {"base_model": {"name": "./base"}}})
    paths.mixture("m").mkdir(parents=True)
    write_rows(paths.mixture("m") / "train.parquet", [row("one", text) for text in TRAIN], RENDERED)
    return paths


def test_the_nearest_row_comes_first_with_its_training_row(paths: Paths) -> None:
    first, second = nearest(paths, "m", None, 20)
    assert (first.test, first.train) == (f"one/id {TEST[1]}", f"one/id {TRAIN[0]}")
    assert (first.test_text, first.train_text) == (TEST[1], TRAIN[0])
    assert second.test_text == TEST[0] and first.similarity > second.similarity
    assert nearest(paths, "m", None, 1) == [first]


def test_the_command_prints_the_texts_to_read(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(paths.root)
    write_yaml(paths.params / "mixtures.yaml", {"mixtures": {"m": {"sources": {"one": {}}}}})
    _show_nearest(paths, None, None, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mixture m: ") and float(lines[2]) > 0
    assert lines[3:5] == [f"  test  one/id {TEST[1]}: {TEST[1]}", f"  train one/id {TRAIN[0]}: {TRAIN[0]}"]


def test_texts_of_a_file_are_compared_instead(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "blog.txt").write_text(f"{TRAIN[1]}\n\nsomething else\n")
    pairs = nearest(paths, "m", tmp_path / "blog.txt", 20)
    assert [pair.test for pair in pairs] == ["blog.txt/1", "blog.txt/3"]
    assert pairs[0].train_text == TRAIN[1] and pairs[0].similarity == pytest.approx(1.0, abs=1e-5)


def test_a_mixture_that_is_not_built_is_named(paths: Paths) -> None:
    with pytest.raises(TunesmithError, match=r"n/train\.parquet: no such file; run `tunesmith run`"):
        nearest(paths, "n", None, 20)


@pytest.mark.parametrize("save", [save_llama, save_t5])
def test_padding_changes_no_embedding(tmp_path: Path, save: object) -> None:
    assert callable(save)
    save(tmp_path / "base", TRAIN)
    base = find(BaseModelParams(name="./base"), tmp_path)
    together = embeddings([*TRAIN, "a"], base)
    alone = np.concatenate([embeddings([text], base) for text in [*TRAIN, "a"]])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_vectors_are_centred_and_the_closest_is_by_cosine() -> None:
    """Around their mean (2, 1) the vectors are (-2, 0), (0, 1), (2, 0) and (0, -1)."""
    vectors = centred(np.array([[0, 1], [2, 2], [4, 1], [2, 0]], np.float32))
    assert vectors.tolist() == [[-1, 0], [0, 1], [1, 0], [0, -1]]
    rows, similarities = closest(vectors[:2], np.array([[0.6, 0.8], [-0.8, 0.6]], np.float32))
    assert rows.tolist() == [1, 0] and similarities.tolist() == pytest.approx([0.8, 0.8])


def test_a_text_without_tokens_is_left_out(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    tokens = json.loads((paths.root / "base/tokenizer.json").read_text())
    tokens["normalizer"] = {"type": "Replace", "pattern": {"String": "\u2603"}, "content": ""}
    (paths.root / "base/tokenizer.json").write_text(json.dumps(tokens))
    rows = [row("one", text) for text in ["\u2603", *TRAIN]]
    expected = nearest(paths, "m", None, 20)
    write_rows(paths.mixture("m") / "train.parquet", rows, RENDERED)
    assert nearest(paths, "m", None, 20) == expected, "and no similarity is NaN"
    assert "nearest: 1 of 6 texts have no token and are left out" in caplog.text
