"""Results of one scenario (cells, details, and one row per instance and variant), and of all scenarios of a model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tasks.benchmark.helm.intervals import Cell, mean_cell
from tasks.metrics.params import IntervalParams
from tasks.text.rows import Row

INSTANCES = pa.schema(
    [
        ("scenario", pa.string()),
        ("instance", pa.string()),
        ("independent_group", pa.string()),
        ("variant", pa.string()),
        ("prompt", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("logprobs", pa.list_(pa.float64())),
        ("choice_tokens", pa.list_(pa.int64())),
        ("probabilities", pa.list_(pa.float64())),
        ("answer", pa.int64()),
        ("predicted", pa.int64()),
        ("confidence", pa.float64()),
        ("completion", pa.string()),
        ("references", pa.list_(pa.string())),
        ("score", pa.float64()),
        ("toxicity", pa.float64()),
        ("group", pa.string()),
        ("seconds", pa.float64()),
        ("tokens", pa.int64()),
    ]
)
"""One row per evaluated row and variant, as ``tasks.benchmark.results`` stores them.

``variant``: ``original``, the perturbation that changed the row (only rows that are correct as they are), or ``sample
1``, ``sample 2`` and so on of an exact measurement. ``logprobs``: sums, in nats, of ``choice_tokens`` tokens.
``answer``, ``predicted``: index of the correct and of the predicted choice; ``predicted`` is None if the model
generated no letter of a choice. ``confidence``: probability of the predicted choice, by which calibration is measured.
``score``: 1 or 0 for choices, 1 for a pair whose stereotypical sentence is likelier, ROUGE-2 F1 for a summary.
``independent_group``: rows with the same one are not independent (``scenarios.Instance.group``). ``group``: what cells
are shown by, such as a category. ``seconds``: the row's share of its batch; None in results that must be equal in every
run. ``tokens``: tokens read, or generated ones. Rows of earlier versions lack ``choice_tokens``, ``confidence`` and
``independent_group``.
"""

Entry = dict[str, Any]
"""A scenario or a mixture in a result: ``tasks.benchmark.results`` describes the keys."""


@dataclass(frozen=True)
class Measured:
    """Results of one scenario.

    Attributes:
        cells: metric → cell.
        details: numbers behind the cells.
        rows: columns ``INSTANCES``, without ``scenario``.
    """

    cells: dict[str, Cell]
    details: dict[str, Any]
    rows: list[Row] = field(default_factory=list)


def efficiency(
    seconds: Sequence[float],
    tokens: Sequence[int],
    energy: dict[str, Any],
    params: IntervalParams,
    groups: Sequence[Hashable],
) -> tuple[Cell, dict[str, Any]]:
    """Cell with the seconds per row on this machine; details with tokens per second and energy.

    HELM reports an idealised time, without noise, and training energy (Liang et al. 2022, section 4.9). Here it is the
    time that a user of this machine waits.
    """
    taken = sum(seconds)
    return mean_cell(seconds, params, groups), {
        "seconds_per_row": taken / len(seconds),
        "tokens_per_second": sum(tokens) / taken,
        "tokens": sum(tokens),
        "energy": energy,
    }


@dataclass
class Measurements:
    """Results of one model.

    Attributes:
        scenarios: scenario → entry.
        memorisation: mixture → entry.
        rows: rows of ``INSTANCES``.
        seconds: scenario or mixture → seconds; only for those measured now.
    """

    scenarios: dict[str, Entry] = field(default_factory=dict)
    memorisation: dict[str, Entry] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def updated(self, newer: Measurements) -> Measurements:
        """These results; where both have a result, that of ``newer`` counts."""
        kept = [row for row in self.rows if row["scenario"] not in newer.scenarios]
        return Measurements(
            self.scenarios | newer.scenarios,
            self.memorisation | newer.memorisation,
            kept + newer.rows,
            self.seconds | newer.seconds,
        )
