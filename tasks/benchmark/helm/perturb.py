"""Perturbations: a row with a changed text and the same correct answer.

Robustness and fairness are the share of rows that are correct in all their variants, including the original (Liang et
al. 2022, "Holistic Evaluation of Language Models", sections 4.5 and 4.6; perturbations: its appendix D). HELM's code:
``src/helm/benchmark/augmentations/*_perturbation.py``, the ones that count in ``run_expander.py``
(``ROBUSTNESS_PERTURBATION_SPECS``, ``FAIRNESS_PERTURBATION_SPECS``), worst case in ``metrics/metric.py``
(``compute_worst_case_metrics``) of stanford-crfm/helm. The functions and word lists here are our own. Unlike HELM's,
the gender perturbation here also changes the first word of a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random

from tasks.benchmark.helm import word_lists
from tasks.benchmark.helm.params import PerturbationParams
from tasks.benchmark.helm.word_lists import in_case_of, pattern

Change = Callable[[str, Random], str]
"""A text and a random generator → the perturbed text."""


def typos(text: str, random: Random, probability: float) -> str:
    """Replace each letter by a neighbour on the keyboard with ``probability``."""
    neighbours = word_lists.keyboard().neighbours

    def slip(letter: str) -> str:
        near = neighbours.get(letter.lower())
        if near is None or random.random() >= probability:
            return letter
        return in_case_of(letter, random.choice(near))

    return "".join(map(slip, text))


def spaces(text: str, random: Random, most: int) -> str:
    """Replace each run of spaces by one to ``most`` spaces."""
    return re.sub(r" +", lambda _: " " * random.randint(1, most), text)


def contract(text: str) -> str:
    """``she is`` → ``she's``; not before the end of a clause, where English does not contract."""
    short = {expansion: contraction for contraction, expansion in word_lists.contractions().both.items()}
    expansions = pattern(tuple(short)).pattern + r"(?= \w)"
    return re.sub(expansions, lambda m: in_case_of(m[0], short[m[0].lower()]), text, flags=re.IGNORECASE)


def expand(text: str) -> str:
    """``She's`` → ``She is``, also with a typographic apostrophe."""
    lists = word_lists.contractions()
    long = lists.both | lists.expand
    # Both apostrophes are one character, so that lengths and positions agree.
    matches = pattern(tuple(long)).finditer(text.replace("\u2019", "'"))
    pieces, at = [], 0
    for match in matches:
        pieces += [text[at : match.start()], in_case_of(match[0][0], long[match[0].lower()])]
        at = match.end()
    return "".join([*pieces, text[at:]])


def fill(text: str, random: Random, probability: float) -> str:
    """Put a filler before each word with ``probability``."""
    fillers = word_lists.fillers().fillers
    words = [f"{random.choice(fillers)} {word}" if random.random() < probability else word for word in text.split(" ")]
    return " ".join(words)


def dialect(text: str, random: Random) -> str:
    """Replace every word of the list by one of its African-American-English spellings."""
    known = word_lists.dialect().replacements
    return pattern(tuple(known)).sub(lambda m: in_case_of(m[0], random.choice(known[m[0].lower()])), text)


def mild_mix(text: str, random: Random, params: PerturbationParams) -> str:
    """Lower case, contractions, typos and spaces in one text, in this order, as HELM's ``mild_mix`` has them."""
    return spaces(typos(contract(text.lower()), random, params.typos), random, params.spaces)


def female_pronouns(text: str) -> str:
    """Replace male pronouns by female ones, HELM's only change of gender."""
    return _replace(text, word_lists.gender().female_pronouns())


def swap_gender(text: str) -> str:
    """Replace male pronouns and terms by female ones, and the other way round."""
    return _replace(text, word_lists.gender().swaps())


def _replace(text: str, replacements: Mapping[str, str]) -> str:
    return pattern(tuple(replacements)).sub(lambda m: in_case_of(m[0], replacements[m[0].lower()]), text)


def rename(texts: Sequence[str], random: Random, group: str) -> list[str]:
    """Replace first names that white people mostly bear by names of ``group``, of the same or of unknown sex.

    A name gets the same replacement in all ``texts``. Only capitalised words count as names.
    """
    lists = word_lists.names()
    sex = {name: sex for sex, names in lists.by_race["white"].items() for name in names}
    chosen: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        name = match[0].lower()
        if not match[0][0].isupper():
            return match[0]
        if name not in chosen:
            taken = set(chosen.values())
            options = [n for key in (sex[name], "unknown") for n in lists.by_race[group].get(key, [])]
            chosen[name] = random.choice([o for o in options if o not in taken] or options)
        return in_case_of(match[0], chosen[name])

    known = pattern(tuple(sex))
    return [known.sub(other, text) for text in texts]


HELMS = {"robustness": ("mild_mix",), "fairness": ("dialect", "gender", "names_black")}
"""Metric → HELM's perturbations, which it counts. Those of fairness also change the choices."""

MORE = {
    "robustness": ("typos", "lower_case", "spaces", "contractions", "expansions", "fillers"),
    "fairness": ("gender_words", "names_hispanic", "names_asian"),
}
"""Metric → perturbations besides HELM's, which only its details show."""


def names(metric: str, exact: bool) -> tuple[str, ...]:
    """The perturbations of ``robustness`` or ``fairness``; with ``exact`` only HELM's."""
    return HELMS[metric] if exact else (*HELMS[metric], *MORE[metric])


def robustness(params: PerturbationParams) -> dict[str, Change]:
    """Name → perturbation that keeps the meaning."""
    return {
        "mild_mix": lambda text, random: mild_mix(text, random, params),
        "typos": lambda text, random: typos(text, random, params.typos),
        "lower_case": lambda text, random: text.lower(),
        "spaces": lambda text, random: spaces(text, random, params.spaces),
        "contractions": lambda text, random: contract(text),
        "expansions": lambda text, random: expand(text),
        "fillers": lambda text, random: fill(text, random, params.fillers),
    }


def perturbed(
    values: Mapping[str, object], columns: Sequence[str], name: str, params: PerturbationParams, seed: int, row: str
) -> dict[str, object]:
    """``values`` with the texts of ``columns`` perturbed by ``name``; equal for equal seed and row."""
    random = Random(f"{seed}/{row}/{name}")
    texts = [str(values[column]) for column in columns]
    if name.startswith("names_"):
        changed = rename(texts, random, name.removeprefix("names_"))
    elif name in ("gender", "gender_words"):
        changed = [(female_pronouns if name == "gender" else swap_gender)(text) for text in texts]
    else:
        change = dialect if name == "dialect" else robustness(params)[name]
        changed = [change(text, random) for text in texts]
    return {**values, **dict(zip(columns, changed, strict=True))}
