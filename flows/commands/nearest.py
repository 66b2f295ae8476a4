"""The work of ``tunesmith contamination --nearest``: test rows and the training rows most similar in meaning.

A paraphrase shares few words with its original, so the counts of ``mix`` cannot show it. Here the base model's hidden
states tell which texts to read. Their similarity has no threshold and decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.bases import available_base
from flows.commands.contamination import texts_of_file
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.mix.run import evaluation_rows
from tasks.model.base_models import BaseModel, load_model, load_tokenizer
from tasks.model.batches import token_budget_batches
from tasks.resolve.pins import load_default_base

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger("tunesmith")

TOKENS = 256
"""Tokens of a text that are read, from its start."""

TOKEN_BUDGET = 4096
_BLOCK = 1_000  # test rows compared at once, which bounds the memory of their similarities


@dataclass(frozen=True)
class Pair:
    """A test row and the training row nearest to it.

    Attributes:
        similarity: cosine of the two texts' embeddings.
        test, train: ``SOURCE/ROW_ID``.
        test_text, train_text: what identifies the rows.
    """

    similarity: float
    test: str
    test_text: str
    train: str
    train_text: str


def nearest(paths: Paths, mixture: str, against: Path | None, count: int) -> list[Pair]:
    """The ``count`` test rows of all sources that are nearest to a training row, the nearest first.

    Args:
        against: a file whose texts are compared instead of the test rows.

    Raises:
        TunesmithError: the mixture is not built, or the file cannot be read.
    """
    path = paths.mixture(mixture) / "train.parquet"
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; run `tunesmith run` (or `dvc repro mix@{mixture}`) to build it")
    training = _by_text(pq.read_table(path, columns=["identity", "source", "row_id"]))
    tests = _by_text(texts_of_file(against) if against else evaluation_rows(paths, "test"))
    base = available_base(load_default_base(paths), paths.root)
    logger.info("nearest: the base model reads %d texts", len(tests) + len(training))
    tests, training, vectors = _with_tokens(tests, training, embeddings([*tests, *training], base))
    if not tests or not training:
        return []
    vectors = centred(vectors)
    rows, similarities = closest(vectors[: len(tests)], vectors[len(tests) :])
    test_texts, train_texts = list(tests), list(training)
    pairs = [
        Pair(similarity, tests[test_texts[i]], test_texts[i], training[train_texts[row]], train_texts[row])
        for i, (row, similarity) in enumerate(zip(rows.tolist(), similarities.tolist(), strict=True))
    ]
    return sorted(pairs, key=lambda pair: -pair.similarity)[:count]


def _by_text(rows: pa.Table) -> dict[str, str]:
    """Text (``identity``) → the first row that has it, as ``SOURCE/ROW_ID``; several prompts of an example are one."""
    texts: dict[str, str] = {}
    for row in rows.select(["identity", "source", "row_id"]).to_pylist():
        if (row["identity"] or "").strip():
            texts.setdefault(row["identity"], f"{row['source']}/{row['row_id']}")
    return texts


def _with_tokens(
    tests: dict[str, str], training: dict[str, str], vectors: NDArray[np.float32]
) -> tuple[dict[str, str], dict[str, str], NDArray[np.float32]]:
    """The texts with at least one token, and their vectors; the log tells how many texts have none."""
    read = np.abs(vectors).max(axis=1) > 0
    if not read.all():
        logger.warning("nearest: %d of %d texts have no token and are left out", (~read).sum(), len(read))
    of_tests, of_training = read[: len(tests)].tolist(), read[len(tests) :].tolist()
    return dict(compress(tests.items(), of_tests)), dict(compress(training.items(), of_training)), vectors[read]


def embeddings(texts: Sequence[str], base: BaseModel) -> NDArray[np.float32]:
    """Mean of the last hidden states over the tokens of each text (shape: texts, hidden size); 0 without tokens."""
    import torch

    tokenizer = load_tokenizer(base)
    model = load_model(base, torch.float32).eval()
    encoder = model.get_encoder() if base.kind == "seq2seq" else model.base_model
    tokens = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=TOKENS)["input_ids"]
    vectors = np.zeros((len(texts), model.config.get_text_config().hidden_size), np.float32)
    with torch.inference_mode():
        filled = [i for i, ids in enumerate(tokens) if ids]
        for numbers in token_budget_batches([len(tokens[i]) for i in filled], TOKEN_BUDGET):
            batch = [filled[number] for number in numbers]
            vectors[batch] = _pooled(encoder, [tokens[i] for i in batch]).numpy()
    return vectors


def _pooled(encoder: Any, tokens: Sequence[Sequence[int]]) -> Tensor:
    """(B, hidden size): the mean over each text's own tokens, which padding does not change."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    lengths = torch.tensor([len(ids) for ids in tokens])
    ids_BT = pad_sequence([torch.tensor(ids) for ids in tokens], batch_first=True)
    mask_BT = torch.arange(ids_BT.shape[1]) < lengths[:, None]
    states_BTH = encoder(input_ids=ids_BT, attention_mask=mask_BT.long()).last_hidden_state
    return (states_BTH * mask_BT[:, :, None]).sum(dim=1) / lengths[:, None]


def centred(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors without the mean of all: hidden states of one model point in nearly one direction."""
    if not len(vectors):
        return vectors
    moved = vectors - vectors.mean(axis=0)
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)


def closest(tests: NDArray[np.float32], training: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each test vector the training vector of highest cosine, and that cosine. All vectors have length 1."""
    rows = np.zeros(len(tests), np.int64)
    similarities = np.zeros(len(tests), np.float32)
    for at in range(0, len(tests), _BLOCK):
        block = tests[at : at + _BLOCK] @ training.T
        rows[at : at + _BLOCK], similarities[at : at + _BLOCK] = block.argmax(axis=1), block.max(axis=1)
    return rows, similarities
