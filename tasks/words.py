"""The words of a text: what stays the same when case, spaces and punctuation change."""

from __future__ import annotations

import unicodedata


class _Fold(dict[int, int | str]):
    """Code point → itself where it is part of a word (letter, mark, number), else a space; filled as texts come."""

    def __missing__(self, code: int) -> int | str:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else " "
        return self[code]


_FOLD = _Fold()


def normalise(text: str) -> str:
    """The words of ``text`` with single spaces between: compatibility forms (NFKC), case and punctuation are folded.

    A text without any word, such as an emoji, is only stripped: two of them are not the same.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_FOLD).split()) or " ".join(folded.split())
