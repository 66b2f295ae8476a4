"""A second opinion: differences to the baseline on rows of earlier test sets. They decide nothing."""

from __future__ import annotations

from typing import Any

from tasks.compare.collect import System
from tasks.compare.pairing import row_gains
from tasks.compare.params import CompareParams
from tasks.metrics.differences import as_entry, paired_differences


def second_opinion(system: System, baseline: System, params: CompareParams) -> dict[str, Any] | None:
    """Mean paired difference (``system`` minus ``baseline``) of ``params.primary`` on the retired rows (``as_entry``).

    It is no verdict, and is not counted among the differences of the report. None if no row has both scores.
    """
    gains, groups = row_gains(system.retired, baseline.retired, [params.primary])
    (difference,) = paired_differences(gains, params, groups)
    return as_entry(difference) if difference is not None else None
