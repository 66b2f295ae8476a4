"""Count the decisions on a test set, and compute the confidence that the next one needs.

Each decision on the same test rows is another chance to promote a candidate without a gain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scipy.special import zeta

from tasks.core.files import canonical_json
from tasks.text.words import hash64

EXPONENT = 1.6
"""How fast the level falls with the number of decisions (Tian & Ramdas 2021, "Online control of the familywise error
rate", section 3, who recommend this series)."""

WORN_OUT = 20
"""From this decision on one test set on, the gate's result says to draw a new test set."""

SAME = 0.5
"""Share of the test rows that two decisions must have in common to count as decisions on the same test set."""

_SKETCH = 128
_DIGITS = 12


@dataclass(frozen=True)
class Look:
    """A decision on a test set.

    Attributes:
        number: number of this decision, from 1.
        count: number of all decisions on this test set so far.
    """

    number: int
    count: int


@dataclass(frozen=True)
class RowSet:
    """The rows of a test set, regardless of their prompts.

    Attributes:
        sha256: of rows and prompts (``test_sha256`` of a report).
        hashes: 48-bit hashes of source and row_id, sorted.
    """

    sha256: str
    hashes: tuple[int, ...]

    @classmethod
    def of(cls, sha256: str, rows: Iterable[tuple[str, str]]) -> RowSet:
        """The set of ``rows``, each a source and a row_id."""
        return cls(sha256, tuple(sorted({_row_hash(source, row_id) for source, row_id in rows})))

    def tag(self, number: int, time: str) -> str:
        """The value of the registry's tag that counts decision ``number`` on these rows.

        It holds a bottom-k sketch: the smallest hashes (Cohen & Kaplan 2007, "Summarizing data using bottom-k
        sketches"). Tags of a registered model hold 5,000 characters.
        """
        sketch = "".join(f"{value:0{_DIGITS}x}" for value in self.hashes[:_SKETCH])
        return canonical_json({"number": number, "rows": len(self.hashes), "sketch": sketch, "time": time})

    def is_of(self, sha256: str, tag: str) -> bool:
        """Whether an earlier decision counts as one on this test set: at least half of these rows were in its set.

        Args:
            sha256: the first 12 digits of that decision's ``test_sha256``; equal digits mean equal test sets.
            tag: that decision's tag; tags of earlier versions hold no rows.
        """
        if self.sha256.startswith(sha256):
            return True
        facts = parse_tag(tag)
        return "sketch" in facts and self.shared(facts["sketch"], int(facts["rows"])) >= SAME

    def shared(self, sketch: str, rows: int) -> float:
        """Share of these rows that are in the set with this ``sketch`` and number of ``rows``.

        The sketch holds the smallest hashes of its set, without gaps. The share is exact for hashes up to the largest
        one in the sketch, and an estimate for all others. If no hash here is that small, this set is tiny compared with
        the other, and counts as a part of it.
        """
        theirs = {int(sketch[start : start + _DIGITS], 16) for start in range(0, len(sketch), _DIGITS)}
        largest = max(theirs, default=0)
        ours = [value for value in self.hashes if rows <= _SKETCH or value <= largest]
        return sum(value in theirs for value in ours) / len(ours) if ours else 1.0


def parse_tag(tag: str) -> dict[str, Any]:
    """``number``, ``rows``, ``sketch`` and ``time`` of a tag; empty for one of an earlier version."""
    facts: dict[str, Any] = json.loads(tag) if tag.startswith("{") else {}
    return facts


def spent(confidence: float, look: int) -> float:
    """The confidence that decision ``look`` (from 1) needs, so that all decisions on one test set keep the level.

    The level ``1 - confidence`` is divided over all decisions to come: decision ``k`` gets a share that is proportional
    to ``k ** -1.6``. The shares of all decisions sum to 1, however many there will be.
    """
    return 1 - (1 - confidence) * look**-EXPONENT / float(zeta(EXPONENT))


def _row_hash(source: str, row_id: str) -> int:
    return hash64(f"{source}\0{row_id}") >> (64 - 4 * _DIGITS)
