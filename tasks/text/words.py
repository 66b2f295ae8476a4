"""The words of a text: what stays the same when case, spaces and punctuation change."""

from __future__ import annotations

import unicodedata

_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # signs that stand for ideographs
    (0x3040, 0x30FF),  # hiragana, katakana
    (0x31F0, 0x31FF),  # small katakana
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Burmese
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # ideographs
    (0x1B000, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # ideographs
)
"""First and last code points of scripts that write no space between words (Unicode 16, chapters 16 and 18)."""


class _Fold(dict[int, int | str]):
    """Code point → itself where it is part of a word (letter, mark, number), with spaces around where its script has
    none between words, else a space; filled as texts come."""

    def __missing__(self, code: int) -> int | str:
        if unicodedata.category(chr(code))[0] not in "LMN":
            self[code] = " "
        else:
            self[code] = f" {chr(code)} " if any(low <= code <= high for low, high in _SPACELESS) else code
        return self[code]


_FOLD = _Fold()


def normalise(text: str) -> str:
    """The words of ``text`` with single spaces between: compatibility forms (NFKC), case and punctuation are folded.

    Where a script writes no space between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), each code point is a
    word: a sentence that is one word would share no n-gram with one that differs in a character. A text without any
    word, such as an emoji, is only stripped: two of them are not the same.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_FOLD).split()) or " ".join(folded.split())
