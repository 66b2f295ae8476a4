"""Values for the ``{slots}`` of the demo's templates, and the filling of templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from random import Random
from typing import Any

SLOT = re.compile(r"\{(\w+)\}")
# Numbers that are read with a vowel first: 8, 80 to 89, 800 to 899, 11 and 18.
_VOWEL_NUMBER = re.compile(r"\b([Aa]) (?=\$?(?:8|11\b|18\b))")
_SENTENCE_START = re.compile(r"(^|[.!?] )([a-z])(?=[a-z]*(?:[ .,!?]|$))")


def names(template: str) -> list[str]:
    """The slot names of a template, in order, with repeats."""
    return SLOT.findall(template)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace every ``{name}``; a name without a value is a ``KeyError``."""
    text = SLOT.sub(lambda match: values[match.group(1)], template)
    return _VOWEL_NUMBER.sub(r"\1n ", text)


def capitalize(text: str) -> str:
    """Upper case for the first letter of each sentence, without touching names such as iPad."""
    return _SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)


class Slots(dict[str, str]):
    """Values of slots: drawn when a slot is first read, then kept.

    One object serves one request of a chat, so that its dialogue and its summary agree. ``today`` is the day of the
    chat; ``group`` is the product's group. A name that ends in 2 gets another value than the same name without the 2.
    """

    def __init__(self, spec: Mapping[str, Any], rng: Random, today: date, group: str, known: Mapping[str, str]):
        super().__init__(known)
        self._spec, self._rng, self._today, self._group = spec, rng, today, group

    def __missing__(self, name: str) -> str:
        kind = name if self._has(name) else name.removesuffix("2")
        twin = self.get(name.removesuffix("2") if name.endswith("2") else f"{name}2")
        value = self._draw(kind)
        while value == twin:
            value = self._draw(kind)
        self[name] = value
        return value

    def _has(self, name: str) -> bool:
        return any(name in section for section in self._spec.values())

    def _draw(self, kind: str) -> str:
        spec, rng = self._spec, self._rng
        if kind in spec["choice"]:
            return str(rng.choice(spec["choice"][kind]))
        if kind in spec["group_choice"]:
            return str(rng.choice(spec["group_choice"][kind][self._group]))
        if kind in spec["number"]:
            number = spec["number"][kind]
            return str(number["form"]).format(rng.randint(number["low"], number["high"]))
        if kind in spec["money"]:
            money = spec["money"][kind]
            dollars = rng.randint(money["low"], money["high"])
            return f"${dollars}.{rng.choice((20, 40, 50, 75, 90, 99))}" if money["cents"] else f"${dollars}"
        if kind in spec["date"]:
            span = spec["date"][kind]
            day = self._today + timedelta(days=rng.randint(span["low"], span["high"]))
            return f"{day:%B} {day.day}"
        raise KeyError(f"slots.yaml: no values for the slot {{{kind}}}; add it or correct the template")
