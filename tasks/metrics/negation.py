"""Whether an English text negates, by the lists of ``negation.yaml``.

A list of words alone is wrong where it is hardest: "not only", "no doubt" and "couldn't help but" negate nothing, and
"unable to" negates without a word of negation (Morante & Daelemans 2012, "ConanDoyle-neg", annotate both kinds).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from tasks.core.params import read_yaml

Level = Literal["none", "possible", "certain"]
"""Whether a text negates; ``possible``: by a word that replaces a negation, and that has other uses."""

_LISTS = read_yaml(Path(__file__).parent / "negation.yaml")
_GAP = r" (?:[\w'-]+ ){0,4}?"


def _any_of(phrases: Iterable[str]) -> str:
    """A regular expression of any of ``phrases`` as whole words, longer ones first."""
    parts = (_GAP.join(map(re.escape, phrase.split(" … "))) for phrase in sorted(phrases, key=len, reverse=True))
    return rf"(?<![\w'])(?:{'|'.join(parts)})(?![\w'])"


_SHORT = re.compile(r"\b(can|could|do|does|did|is|are|was|were|has|have|had|wo|would|should|must|need)n't\b")
_NUMBER = re.compile(r"(?<![\w'])no\.? ?(?=\d)")
_TAG = re.compile(r", (?:\w+n't|\w+ not) (?:i|you|he|she|it|we|they|there)\?")
_SUGGESTION = re.compile(r"(?<![\w'])why (?:\w+n't|do not|not) (?:we|you)\b")
_HARMLESS = re.compile(_any_of(_LISTS["harmless"]))
_CERTAIN = re.compile(rf"{_any_of(_LISTS['certain'])}|n't(?![\w'])")
_POSSIBLE = re.compile(_any_of(_LISTS["possible"]))


def negation(text: str) -> Level:
    """Whether ``text`` negates."""
    plain = " ".join(text.lower().replace("’", "'").split())
    for harmless in (_NUMBER, _TAG, _SUGGESTION):
        plain = harmless.sub(" ", plain)
    # "couldn't help" is listed as "could not help"; "cannot" and "can't" as "can not".
    plain = _SHORT.sub(lambda match: f"{match[1]} not", plain.replace("can't", "can not").replace("cannot", "can not"))
    plain = _HARMLESS.sub(" ", plain)
    if _CERTAIN.search(plain):
        return "certain"
    return "possible" if _POSSIBLE.search(plain) else "none"


def same_negation(text: str, other: str) -> bool:
    """False if one of the texts certainly negates and the other does not."""
    return {negation(text), negation(other)} != {"certain", "none"}
