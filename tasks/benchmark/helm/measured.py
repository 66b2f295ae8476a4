"""What measuring a scenario gives: cells, details, and a row for every instance in each of its wordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tasks.benchmark.helm.intervals import Cell, mean_cell
from tasks.metrics.params import IntervalParams
from tasks.text.rows import Row

INSTANCES = pa.schema(
    [
        ("instance", pa.string()),
        ("variant", pa.string()),
        ("prompt", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("logprobs", pa.list_(pa.float64())),
        ("probabilities", pa.list_(pa.float64())),
        ("answer", pa.int64()),
        ("predicted", pa.int64()),
        ("completion", pa.string()),
        ("references", pa.list_(pa.string())),
        ("score", pa.float64()),
        ("toxicity", pa.float64()),
        ("group", pa.string()),
        ("seconds", pa.float64()),
        ("tokens", pa.int64()),
    ]
)
"""Columns of ``reports/helm/X/SCENARIO.parquet``.

``variant`` is ``original`` or a perturbation (of rows that are right and that it changes); ``logprobs`` in nats;
``score`` 1 or 0 for choices, for pairs 1 where the stereotype is preferred, ROUGE-2 F1 of a summary; ``seconds`` and
``tokens`` the row's share of its batch (original wording), of a generation the new tokens.
"""


@dataclass(frozen=True)
class Measured:
    """``cells``: metric → cell; ``details``: what stands behind them; ``rows``: columns ``INSTANCES``."""

    cells: dict[str, Cell]
    details: dict[str, Any]
    rows: list[Row] = field(default_factory=list)


def efficiency(
    seconds: Sequence[float], tokens: Sequence[int], energy: dict[str, Any], params: IntervalParams
) -> tuple[Cell, dict[str, Any]]:
    """Seconds a row on this machine with an interval over rows, and tokens a second and energy as details.

    HELM reports the time of a run that is stripped of noise, and training energy (Liang et al. 2022, section 4.9);
    here is measured what a user of this machine waits.
    """
    taken = sum(seconds)
    return mean_cell(seconds, params), {
        "seconds_per_row": taken / len(seconds),
        "tokens_per_second": sum(tokens) / taken,
        "tokens": sum(tokens),
        "energy": energy,
    }
