"""Random ASCII texts, on which every measure must be what its library gives."""

from __future__ import annotations

import random
import string


def ascii_texts(count: int = 2000) -> list[str]:
    """Random texts of all 128 characters, with letters and spaces more often than others."""
    drawn = random.Random(5)
    often = string.ascii_letters * 3 + string.digits + " " * 40 + "''..\n"
    characters = "".join(map(chr, range(128))) + often
    return ["".join(drawn.choices(characters, k=drawn.randrange(60))) for _ in range(count)]
