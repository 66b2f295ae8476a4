"""ROUGE-1, 2, L and Lsum."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib.metadata import version

from rouge_score_rs import RougeScorer
from rouge_score_rs.tokenizers import DefaultTokenizer, Tokenizer

from tasks.metrics import base
from tasks.metrics.sentences import sentences
from tasks.text.words import has_words, spaced

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_ENGLISH = DefaultTokenizer(use_stemmer=True)


class Rouge(base.RowMetric):
    """ROUGE (Lin 2004) over the words of any script (``tasks.text.words``), in 0..1.

    English stemming applies to words of ASCII letters. On ASCII text, every value is that of ``rouge_score`` with
    stemmer, to the last bit.

    Each of ``KINDS`` has a ``KIND_precision``, a ``KIND_recall`` and a ``KIND_f``. Of several references, the one with
    the best F1 counts for each kind. ROUGE-Lsum compares sentence by sentence; sentences end at ``.``, ``!``, ``?``,
    such signs of other scripts, or the end of a line. A row has no score if none of its references has a word.
    """

    def rows(self, predictions: list[str], references: list[list[str]]) -> base.RowScores:
        ascii_pairs, all_pairs = RougeScorer(KINDS, use_stemmer=True), RougeScorer(KINDS, tokenizer=AtSpaces())
        columns: base.RowScores = {f"{kind}_{part}": [] for kind in KINDS for part in ("precision", "recall", "f")}
        for output, texts in zip(predictions, references, strict=True):
            candidate = spaced_sentences(output)
            scores = []
            for true in map(spaced_sentences, filter(has_words, texts)):
                if candidate.isascii() and true.isascii():  # equal to the other way on ASCII, and faster
                    scores.append(ascii_pairs.score(true, candidate))
                else:
                    scores.append(all_pairs.score(stemmed(true), stemmed(candidate)))
            for kind in KINDS:
                best = max((score[kind] for score in scores), key=lambda score: score.fmeasure, default=None)
                for part, value in zip(("precision", "recall", "f"), best or (None,) * 3, strict=True):
                    columns[f"{kind}_{part}"].append(value)
        return columns

    @property
    def settings(self) -> dict[str, str]:
        """``rouge_signature``: tokenizer, stemmer, version of the Unicode data, and of ``rouge-score-rs``."""
        unicode = unicodedata.unidata_version
        signature = f"tok:words|stem:porter-ascii|unicode:{unicode}|version:rs-{version('rouge-score-rs')}"
        return {"rouge_signature": signature}


class AtSpaces(Tokenizer):
    """Splits the result of ``stemmed``."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


@lru_cache(maxsize=2**16)
def _stems(word: str) -> tuple[str, ...]:
    return tuple(_ENGLISH.tokenize(word))


def by_sentence(text: str) -> str:
    """One sentence per line: ``rouge_score`` separates sentences by line ends."""
    return "\n".join(sentences(text.strip()))


def spaced_sentences(text: str) -> str:
    """One sentence per line, and between words of any script spaces. ASCII text has its words separated already."""
    text = by_sentence(text)
    return text if text.isascii() else spaced(text, "\n")


def stemmed(text: str) -> str:
    """The result of ``spaced_sentences`` with its words of ASCII letters stemmed, as ``rouge_score`` does."""
    return "\n".join(" ".join(_tokens(line)) for line in text.split("\n"))


def _tokens(line: str) -> list[str]:
    if line.isascii():
        return list(_ENGLISH.tokenize(line))
    return [token for word in line.split() for token in (_stems(word) if word.isascii() else (word,))]
