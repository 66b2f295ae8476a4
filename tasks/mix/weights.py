"""How many rows of each component (a task of a source) a mixture takes."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.mix.params import MixtureParams

Component = tuple[str, str]
"""(source, task)."""


@dataclass(frozen=True)
class Quota:
    """Rows of a component: that its weight asks for, that it has, and that it gives."""

    asked: int
    available: int
    rows: int

    @property
    def short(self) -> bool:
        return self.asked > self.available or not self.available


def quotas(available: Mapping[Component, int], params: MixtureParams) -> dict[Component, Quota]:
    """The rows that each component gives, ``available`` at most, with the weights of ``params``.

    With ``rows``, what a component lacks goes to the others in proportion to their weights, so that only a mixture
    that has fewer rows in all falls short of it; one row more is one row more of one component.
    """
    has = {component: count for component, count in sorted(available.items()) if count}
    weighed = weights(has, params)
    if params.rows is None:
        asked = taken = _without_repeats(weighed, has, params)
    else:
        asked = apportion(params.rows, weighed, dict.fromkeys(has, params.rows))
        taken = apportion(params.rows, weighed, has)
    return {
        component: Quota(asked.get(component, 0), count, taken.get(component, 0))
        for component, count in sorted(available.items())
    }


def weights(sizes: Mapping[Component, int], params: MixtureParams) -> dict[Component, float]:
    """The weight of every component of ``sizes`` (rows that it has), not normalised."""
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
    """``rows`` split by weights, ``most`` of each at most; equal claims go by name.

    Row by row to the component with the highest ``weight / (2 given + 1)``, as seats are given to parties
    (Webster's method): unlike rounding shares, it takes no row from anyone when there is one more to give.
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
    """Rows in proportion to the weights until the first component has no more."""
    if not has:
        return {}
    if params.weighting in ("all", "proportional"):  # these weights are rows already, and a cap is a maximum
        return {component: int(weight) for component, weight in weighed.items()}
    first = min(has, key=lambda component: (has[component] / weighed[component], component))
    per_weight = has[first] / weighed[first]
    # The first gives all; a product that floating-point rounding put a hair under a whole number is that number.
    return {c: has[c] if c == first else int(per_weight * weight * (1 + 1e-12)) for c, weight in weighed.items()}
