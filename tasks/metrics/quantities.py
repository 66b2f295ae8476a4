"""The numbers of an English text, in digits or in words, in one form: ``1,000``, ``1000`` and ``a thousand`` are one.

``text2num`` reads number words. Times, decades, fractions and dozens are read here, by the lists of
``quantities.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from text_to_num import alpha2digit

from tasks.core.params import read_yaml

_LISTS = read_yaml(Path(__file__).parent / "quantities.yaml")
_ISOLATED = 2
"""text2num leaves isolated numbers below this as words: "one" is mostly a pronoun."""


@dataclass(frozen=True)
class Numbers:
    """Different numbers of a text, each as text: ``12``, ``2.5``, ``20%``, ``1990s``, ``17:00``.

    Attributes:
        certain: numbers that another text must have too. ``~5:00`` is a time that may be 5:00 or 17:00.
        possible: words such as "one" and "first", and numbers in names such as "COVID-19".
    """

    certain: set[str] = field(default_factory=set)
    possible: set[str] = field(default_factory=set)


def numbers(text: str) -> Numbers:
    """The numbers of ``text``. Units and currencies do not count, except percent."""
    result = Numbers()
    rest = _digits(text)
    if not _ANY.search(rest):
        return result
    for pattern, is_certain, value in _READERS:
        if matches := list(pattern.finditer(rest)):
            (result.certain if is_certain else result.possible).update(map(value, matches))
            rest = pattern.sub(" ; ", rest)  # the words on either side must not join
    return result


def same_numbers(text: str, other: str) -> bool:
    """Whether two texts have the same numbers, however often; either may leave out what is only ``possible``."""
    left, right = numbers(text), numbers(other)
    alone = left.certain - right.certain - right.possible
    others = right.certain - left.certain - left.possible
    return _are_same_times(sorted(alone), sorted(others))


def _are_same_times(times: list[str], others: list[str]) -> bool:
    """Whether each of ``times`` has one of ``others`` that it may be, such as ``~5:00`` and ``17:00``."""
    for time in times:
        match = next((other for other in others if _may_be(time, other) or _may_be(other, time)), None)
        if match is None:
            return False
        others.remove(match)
    return not others


def _may_be(vague: str, time: str) -> bool:
    if not vague.startswith("~"):
        return False
    hour, minutes = vague[1:].split(":")
    return time in (f"{int(hour) % 12}:{minutes}", f"{int(hour) % 12 + 12}:{minutes}")


_NUMBER = r"\d+(?:[.,:]\d+)*"
_START = r"(?<![\w.,:-])"


def _words(name: str) -> str:
    """A regular expression of the words of a list, longer ones first."""
    return "|".join(sorted(map(re.escape, _LISTS[name]), key=len, reverse=True))


_FACTOR = re.compile(rf"{_START}({_NUMBER}) ?({_words('factors')})s?\b")
_ORDINAL = re.compile(rf"(?<![\w-])(?<!ty )({_words('ordinals')})\b")
_ONE = re.compile(
    r"\bone(?= (?:o'? ?clock|and a half|percent|per cent|dozen|[ap]\.?m)\b)|(?<=past )one\b|(?<=to )one\b"
)


def _digits(text: str) -> str:
    """``text`` in lower case with number words in digits, as far as they are clear without their neighbours."""
    plain = " ".join(text.lower().replace("’", "'").split())
    if "½" in plain:
        plain = re.sub(r"(\d) ?½", r"\1 and a half", plain).replace("½", "0.5")
    plain = _FACTOR.sub(lambda match: _value(match[1], _LISTS["factors"][match[2]]), plain)  # "2 million"
    plain = re.sub(r"\b(?:hundreds|thousands|millions|billions|dozens)\b", "many", plain)
    plain = _ORDINAL.sub(lambda match: f"ordinal{_LISTS['ordinals'][match[1]]}", plain)
    if "one" in plain:
        plain = _ONE.sub("1", plain)
    plain = alpha2digit(plain, "en", _ISOLATED)
    return re.sub(r"(?<![\w.,:])(1[5-9]|20) ([1-9]\d)\b(?![.,:]\d)", r"\1\2", plain)  # "nineteen ninety"


def _value(number: str, factor: int = 1) -> str:
    """A number in one form: ``1,000.50`` is ``1000.5``; as it stands if it is none, such as ``1.2.3``."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:\.000)+|[1-9]\d{0,2}(?:\.\d{3}){2,}", number):
        number = number.replace(".", "")  # as Germans and others write 1,000
    elif re.fullmatch(r"\d+,\d{1,2}", number):
        number = number.replace(",", ".")
    if not re.fullmatch(r"\d+(?:\.\d+)?", number):
        return number
    value = f"{Decimal(number) * factor:f}"
    return value.rstrip("0").rstrip(".") if "." in value else value


def _clock(match: re.Match[str]) -> str:
    """A time of a known half of the day, on 24 hours."""
    hour = int(match["hour"]) % 12 + (12 if match["half"] in ("p", "afternoon", "evening") else 0)
    return f"{hour}:{match['minutes'] or '00'}"


def _vague_clock(hour: str, minutes: str) -> str:
    """A time on 24 hours; with ``~`` if it may be in either half of the day."""
    definite = int(hour) > 12 or int(hour) == 0 or hour.startswith("0")
    return f"{int(hour)}:{minutes}" if definite else f"~{int(hour)}:{minutes}"


_HOUR = r"(?P<hour>1\d|2[0-3]|0?\d)"
_MINUTES = r"(?P<minutes>[0-5]\d)"
_CLOCK = r" ?o'? ?clock"
_DAY = r"(?P<half>morning|afternoon|evening)"
_AT = r"\b(?:at|by|until|till|before|after|around) "
_END = r"(?= ?(?:$|[.,;!?)](?:\s|$)|tomorrow|today|tonight|sharp|on\b|and\b|or\b))"
_OWNER = r"(?:a|an|of|the|my|his|her|its|our|your|their)"

_CERTAIN, _POSSIBLE = True, False
_Reader = tuple[str, bool, Callable[[re.Match[str]], str]]
_DATES: list[_Reader] = [
    (r"(?<!\w)(\d{3})0'?s\b", _CERTAIN, lambda m: f"{m[1]}0s"),
    (r"(?<!\w)'?([1-9])0'?s\b", _CERTAIN, lambda m: f"19{m[1]}0s"),
    (rf"\b({_words('decades')})\b", _CERTAIN, lambda m: f"19{_LISTS['decades'][m[1]]}s"),
    (rf"{_START}half past {_HOUR}\b", _CERTAIN, lambda m: _vague_clock(m["hour"], "30")),
    (rf"{_START}quarter past {_HOUR}\b", _CERTAIN, lambda m: _vague_clock(m["hour"], "15")),
    (rf"{_START}quarter to {_HOUR}\b", _CERTAIN, lambda m: _vague_clock(str(int(m["hour"]) - 1 or 12), "45")),
    (rf"{_START}{_HOUR}(?:[:.]{_MINUTES})? ?(?P<half>[ap])\.? ?m\b", _CERTAIN, _clock),
    (rf"{_START}{_HOUR}(?::{_MINUTES})?(?:{_CLOCK})? in the {_DAY}\b", _CERTAIN, _clock),
    (rf"{_START}{_HOUR}:{_MINUTES}(?![\d:])", _CERTAIN, lambda m: _vague_clock(m["hour"], m["minutes"])),
    (rf"{_START}{_HOUR}{_CLOCK}\b", _CERTAIN, lambda m: _vague_clock(m["hour"], "00")),
    (rf"{_AT}{_HOUR}{_END}", _CERTAIN, lambda m: _vague_clock(m["hour"], "00")),
    (r"\b(?:noon|midday|midnight)\b", _CERTAIN, lambda m: "0:00" if m[0] == "midnight" else "12:00"),
]
_AMOUNTS: list[_Reader] = [
    (rf"{_START}(\d+)(?: and a half| 1/2)\b", _CERTAIN, lambda m: f"{int(m[1])}.5"),
    (rf"\b(half|quarter) {_OWNER}\b(?! dozen)", _CERTAIN, lambda m: _LISTS["parts"][m[1]]),
    (rf"{_START}({_NUMBER}) ?(?:%|percent\b|per cent\b)", _CERTAIN, lambda m: f"{_value(m[1])}%"),
    (_FACTOR.pattern, _CERTAIN, lambda m: _value(m[1], _LISTS["factors"][m[2]])),  # "two dozen"
    (rf"\b({_words('certain')})\b", _CERTAIN, lambda m: str(_LISTS["certain"][m[1]])),
    (rf"\b({_words('possible')})s?\b", _POSSIBLE, lambda m: str(_LISTS["possible"][m[1]])),
    (r"\bordinal(\d)\b", _POSSIBLE, lambda m: m[1]),
    (r"(?<!\w)(\d+)(?:st|nd|rd|th)\b", _CERTAIN, lambda m: _value(m[1])),
    (rf"(?<!\w)({_NUMBER})", _CERTAIN, lambda m: _value(m[1])),
]
_NAMES: list[_Reader] = [(r"\b[a-z]+-(\d[\d.]*)\b", _POSSIBLE, lambda m: _value(m[1].rstrip(".")))]
_READERS = [(re.compile(pattern), kind, value) for pattern, kind, value in (*_NAMES, *_DATES, *_AMOUNTS)]
"""Patterns in the order in which they are read, with what they read; a later one sees what the earlier ones left."""

_ANY = re.compile(
    r"\d|\b(?:noon|midday|midnight|half|quarter|"
    rf"{_words('decades')}|{_words('certain')}|{_words('possible')})"
)
"""Texts without it have no numbers; most texts have none."""
