"""The way customers write: contractions, abbreviations, typos, missing articles and periods, lower case, emoji."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from tasks.ingest.demo.template_slots import SLOT, capitalize, fill

_WORD = re.compile(r"[A-Za-z]{5,}")
_ARTICLE = re.compile(r"\b(?:the|a|an) (?=[a-z])")


def _replace(text: str, table: Mapping[str, str], rng: Random, rate: float) -> str:
    for long, short in table.items():
        pattern = rf"(?<![\w@#'/.]){re.escape(long)}(?= \w)"
        text = re.sub(pattern, lambda m, s=short: s if rng.random() < rate else m.group(0), text)  # type: ignore[misc]
    return text


def _typo(word: str, rng: Random) -> str:
    """Swap, drop or double one inner letter."""
    i = rng.randrange(1, len(word) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + word[i + 1 :] if kind == 1 else word[:i] + word[i] + word[i:]


def _rough(literal: str, rates: Mapping[str, float], tables: Mapping[str, Any], rng: Random, casual: bool) -> str:
    literal = _replace(literal, tables["abbreviations"], rng, rates["abbreviate"])
    literal = _replace(literal, tables["contractions"], rng, 0.85 if casual else 0.0)
    if rates["no_article"]:
        literal = _ARTICLE.sub(lambda m: "" if rng.random() < rates["no_article"] else m.group(0), literal)
    if rates["typo"] and not literal.startswith(("@", "http")) and "//" not in literal:
        literal = _WORD.sub(lambda m: _typo(m.group(), rng) if rng.random() < rates["typo"] else m.group(), literal)
    return literal


class Writer:
    """One customer's habits, drawn once per chat; ``write`` turns a template into a line."""

    def __init__(self, rates: Mapping[str, float], tables: Mapping[str, Any], rng: Random):
        self._rates, self._tables, self._rng = rates, tables, rng
        self._lower = rng.random() < rates["lower"]
        self._casual = rng.random() < 0.6

    def write(self, template: str, values: Mapping[str, str], mood: str = "plain") -> str:
        """Fill the slots. Their values are never misspelt, so that a summary can be checked against the dialogue."""
        rng, rates = self._rng, self._rates
        # The split keeps slot names at the odd positions.
        pieces = SLOT.split(template)
        rough = [
            f"{{{piece}}}" if index % 2 else _rough(piece, rates, self._tables, rng, self._casual)
            for index, piece in enumerate(pieces)
        ]
        line = capitalize(fill("".join(rough), values))
        if self._lower:
            line = line.lower()
        if line.endswith(".") and rng.random() < rates["no_stop"]:
            line = line[:-1]
        if rng.random() < rates["emoji"]:
            line = f"{line} {rng.choice(self._tables['emoji'][mood])}"
        return line
