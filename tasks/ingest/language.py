"""The language of a source's texts, to suggest ``template.language``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

MOST = 4000
"""Characters by which a language is recognised."""
SURE = 0.9
"""Lowest probability of a language that is suggested."""
_NO_LANGUAGE = ("und", "zxx", "mul")
"""Codes for an unsure answer, no linguistic content, and several languages."""


def language_of(texts: Iterable[str]) -> str | None:
    """Recognise the language of ``texts`` together: a code of ISO 639, or None if it is not clear.

    Equal texts count once. The classifier is that of langid.py (Lui and Baldwin 2012, "langid.py: An Off-the-shelf
    Language Identification Tool") as ``py3langid`` keeps it, with a model for 142 languages.
    """
    text = " ".join(" ".join(dict.fromkeys(texts)).split())[:MOST]
    language = str(_identifier().classify(text)[0])
    return None if language in _NO_LANGUAGE else language


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # its model takes a second to load

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=SURE)
