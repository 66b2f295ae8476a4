"""The words of a text, regardless of case, spaces and punctuation, and their hashes."""

from __future__ import annotations

import hashlib
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
    """Code point → itself if it is part of a word (letter, mark, number), else a space; computed when it first comes.

    A code point of a script without spaces between words gets spaces around it.
    """

    def __missing__(self, code: int) -> int | str:
        if unicodedata.category(chr(code))[0] not in "LMN":
            self[code] = " "
        else:
            self[code] = f" {chr(code)} " if any(low <= code <= high for low, high in _SPACELESS) else code
        return self[code]


_FOLD = _Fold()


def normalise(text: str) -> str:
    """The words of ``text``, separated by single spaces, without compatibility forms (NFKC), case and punctuation.

    In scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), each code point is a word.
    Otherwise a whole sentence would be one word, and share no n-gram with a sentence that differs in one character.
    In a text without any word, such as an emoji, only case and spaces are folded, so that two emoji stay different.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_FOLD).split()) or " ".join(folded.split())


def hash64(text: str) -> int:
    """A 64-bit hash, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
