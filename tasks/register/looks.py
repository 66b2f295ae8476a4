"""How often a test set decided, and the level that one more decision may use.

Each decision on the same test rows is another chance to promote a candidate that is no better. With a candidate a week
and the same level each time, a candidate without any gain is promoted in one of three years.
"""

from __future__ import annotations

from scipy.special import zeta

EXPONENT = 1.6
"""How fast the level falls with the number of decisions (Tian & Ramdas 2021, "Online control of the familywise error
rate", section 3, who recommend this series)."""


def spent(confidence: float, look: int) -> float:
    """The confidence that decision number ``look`` (from 1) on a test set needs, so that all together keep the level.

    The level ``1 - confidence`` is divided over all decisions to come: decision ``k`` gets a share that is proportional
    to ``k ** -1.6``. The shares of all decisions sum to 1, however many there will be.
    """
    return 1 - (1 - confidence) * look**-EXPONENT / float(zeta(EXPONENT))
