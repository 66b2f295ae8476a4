"""The number of rows that a mixture takes of each component (a task of a source)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.mix.params import MixtureParams

Component = tuple[str, str]
"""(source, task)."""


@dataclass(frozen=True)
class Quota:
    """Rows of a component.

    Attributes:
        requested: rows that its weight requests.
        available: rows that it has.
        rows: rows that the mixture takes.
    """

    requested: int
    available: int
    rows: int

    @property
    def short(self) -> bool:
        """Whether it has fewer rows than requested, or none."""
        return self.requested > self.available or not self.available

    def report(self) -> dict[str, int | bool]:
        """The component's entry in ``report.json``."""
        return {"requested": self.requested, "available": self.available, "rows": self.rows, "short": self.short}


def quotas(available: Mapping[Component, int], params: MixtureParams) -> dict[Component, Quota]:
    """Divide the rows of a mixture among its components by the weights of ``params``.

    With ``rows``, the rows that a component lacks are taken from the others in proportion to their weights. So the
    mixture is short only if all components together have too few rows. One more row of the mixture is one more row of
    one component.

    Args:
        available: component → rows that it has.
    """
    has = {component: count for component, count in sorted(available.items()) if count}
    weighed = weights(has, params)
    if params.rows is None:
        requested = taken = _without_repeats(weighed, has, params)
    else:
        requested = apportion(params.rows, weighed, dict.fromkeys(has, params.rows))
        taken = apportion(params.rows, weighed, has)
    return {
        component: Quota(requested.get(component, 0), count, taken.get(component, 0))
        for component, count in sorted(available.items())
    }


def weights(sizes: Mapping[Component, int], params: MixtureParams) -> dict[Component, float]:
    """Component → its weight, not normalised, from the number of rows that each component has."""
    if params.weighting == "equal":
        return dict.fromkeys(sizes, 1.0)
    if params.weighting == "explicit":
        totals: dict[str, int] = {}
        for (source, _), size in sizes.items():
            totals[source] = totals.get(source, 0) + size
        return {c: (params.sources[c[0]].weight or 0.0) * size / totals[c[0]] for c, size in sizes.items()}
    capped = {c: float(size if params.cap is None else min(size, params.cap)) for c, size in sizes.items()}
    if params.temperature is None:
        return capped
    return {component: size ** (1 / params.temperature) for component, size in capped.items()}


def apportion(rows: int, weighed: Mapping[Component, float], most: Mapping[Component, int]) -> dict[Component, int]:
    """Divide ``rows`` among components by weight, with at most ``most`` rows each; the name breaks ties.

    Each row goes to the component with the highest ``weight / (2 given + 1)``, as seats go to parties (Webster's
    method). Unlike rounded shares, one more row then takes no row from any component.
    """
    given = dict.fromkeys(weighed, 0)
    claims = [(1 / weight, component) for component, weight in weighed.items() if most[component]]
    heapq.heapify(claims)
    for _ in range(min(rows, sum(most[component] for component in weighed))):
        _, component = heapq.heappop(claims)
        given[component] += 1
        if given[component] < most[component]:
            heapq.heappush(claims, ((2 * given[component] + 1) / weighed[component], component))
    return given


def _without_repeats(
    weighed: Mapping[Component, float], has: Mapping[Component, int], params: MixtureParams
) -> dict[Component, int]:
    """Rows in proportion to the weights, until the first component has no more rows."""
    if not has:
        return {}
    if params.weighting in ("all", "proportional"):  # these weights are rows already, and a cap is a maximum
        return {component: int(weight) for component, weight in weighed.items()}
    first = min(has, key=lambda component: (has[component] / weighed[component], component))
    per_weight = has[first] / weighed[first]
    # The first component gives all its rows; the factor undoes floating-point rounding just below a whole number.
    return {c: has[c] if c == first else int(per_weight * weight * (1 + 1e-12)) for c, weight in weighed.items()}
