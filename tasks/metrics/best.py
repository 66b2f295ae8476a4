"""Which of several systems may be the best: those that no other system is shown to beat."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats

from tasks.metrics.groups import drawn_counts, grouped
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import ROUNDING


def not_told_apart(scores: np.ndarray, params: IntervalParams, groups: Sequence[Hashable] | None = None) -> list[int]:
    """The systems that no other system is shown to beat; the best of all rows that could be drawn is one of them.

    Every pair is tested at once. A pair differs if its mean difference exceeds ``c`` standard errors, where ``c`` is
    the quantile ``params.confidence`` of the largest such ratio over all pairs in the resamples (single-step max-T:
    Westfall & Young 1993, "Resampling-Based Multiple Testing", section 2.3). With probability ``params.confidence`` no
    pair is called different by mistake, so the true best is not left out, whichever system seems the best.

    Args:
        scores: of all systems on the same rows (shape: rows, systems), finite; more is better.
        groups: the independent group of each row; without it each row is one.

    Returns:
        Numbers of the systems, the highest mean first. All systems if there are fewer than two groups.
    """
    by_group = grouped(scores, groups)
    means = by_group.means()
    order = [int(number) for number in np.argsort(-means, kind="stable")]
    if by_group.count < 2 or len(means) < 2:
        return order
    upper, lower = np.triu_indices(len(means), k=1)
    errors = grouped(scores[:, upper] - scores[:, lower], groups).standard_errors()
    apart = errors > ROUNDING  # a pair with the same difference in every row has no error to divide by
    limit = _limit(by_group.sums, by_group.sizes[:, 0], (upper[apart], lower[apart]), errors[apart], params)
    differences = means[upper] - means[lower]
    shown = np.abs(differences) > np.where(apart, limit * errors, ROUNDING)
    beaten = {
        int(low if gain > 0 else up)
        for up, low, gain in zip(upper[shown], lower[shown], differences[shown], strict=True)
    }
    return [number for number in order if number not in beaten]


def _limit(
    sums: np.ndarray,
    sizes: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    errors: np.ndarray,
    params: IntervalParams,
) -> float:
    """The quantile of the largest ratio of difference to standard error over all pairs, in resamples of the groups."""
    if not errors.size:
        return 0.0
    means = sums.sum(axis=0) / sizes.sum()
    largest = []
    for counts in drawn_counts(len(sums), params.resamples, params.seed):
        moved = (counts @ sums) / (counts @ sizes)[:, None] - means
        largest.append(np.abs((moved[:, pairs[0]] - moved[:, pairs[1]]) / errors).max(axis=1))
    # A resample of n groups has (n - 1) / n of their variance. For few groups the ratio follows Student's t and not the
    # normal distribution, as in `paired_difference`.
    normal = np.quantile(np.concatenate(largest), params.confidence) * np.sqrt(len(sums) / (len(sums) - 1))
    return float(stats.t.isf(stats.norm.sf(normal), len(sums) - 1))
