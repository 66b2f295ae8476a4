"""The content of the YAML files as frozen records: intents, products, tones, people and phrases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).parent
HELD_OUT_ONE_IN = 5


@dataclass(frozen=True)
class Product:
    """``name`` reads well after "the"; ``noun`` is its last word or words; ``group`` selects the intents."""

    name: str
    noun: str
    group: str


@dataclass(frozen=True)
class Fact:
    """The circumstance that a summary must name: the agent's ``ask``, the customer's ``tell``, clauses in ``sum``."""

    ask: tuple[str, ...]
    tell: tuple[str, ...]
    sum: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What the agent does about a request.

    ``mood`` is good, mixed (the customer waits), todo (the customer has to act) or bad; ``do`` is what the agent
    writes; ``sum`` are verb phrases after the agent's name; ``offer`` is a bare infinitive when the outcome can be
    proposed and declined; ``react`` is what the customer says first when something had to be tried.
    """

    mood: str
    do: tuple[str, ...]
    sum: tuple[str, ...]
    offer: str
    react: tuple[str, ...]


@dataclass(frozen=True)
class Intent:
    """One kind of request.

    ``gist`` is a noun phrase; ``stage`` and ``topic`` say which intents may share a chat (see ``can_share``), and
    with ``ends`` it comes last there; ``problem`` are verb phrases after the customer's name, with ``{p}`` for the
    product; ``checks`` are (ask, tells) pairs that no summary needs; ``shared_outcomes`` fit any intent.
    """

    name: str
    gist: str
    groups: tuple[str, ...]
    stage: str
    topic: str
    ends: bool
    openings: tuple[str, ...]
    problem: tuple[str, ...]
    facts: tuple[Fact, ...]
    checks: tuple[tuple[str, tuple[str, ...]], ...]
    outcomes: tuple[Outcome, ...]
    shared_outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Catalog:
    """Everything the generator knows; mappings keep the order of the files, so draws are reproducible."""

    intents: Mapping[str, Intent]
    products: Mapping[str, Product]
    tones: Mapping[str, Mapping[str, Any]]
    agent: Mapping[str, Any]
    people: Mapping[str, list[str]]
    noise: Mapping[str, Any]
    slots: Mapping[str, Any]


def _read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def _outcome(raw: Mapping[str, Any]) -> Outcome:
    return Outcome(raw["mood"], tuple(raw["do"]), tuple(raw["sum"]), raw.get("offer", ""), tuple(raw.get("react", ())))


def _intent(name: str, raw: Mapping[str, Any], shared: Sequence[Mapping[str, Any]]) -> Intent:
    return Intent(
        name=name,
        gist=raw["gist"],
        groups=tuple(raw["groups"]),
        stage=raw["stage"],
        topic=raw["topic"],
        ends=raw.get("ends", False),
        openings=tuple(raw["openings"]),
        problem=tuple(raw["problem"]),
        facts=tuple(Fact(tuple(f["ask"]), tuple(f["tell"]), tuple(f["sum"])) for f in raw["facts"]),
        checks=tuple((c["ask"], tuple(c["tell"])) for c in raw["checks"]),
        outcomes=tuple(_outcome(o) for o in raw["outcomes"]),
        shared_outcomes=tuple(_outcome(o) for o in shared if name not in o.get("not_for", ())),
    )


@cache
def load() -> Catalog:
    """Read the YAML files beside the code, once per process."""
    shared = _read(HERE / "shared_outcomes.yaml")
    intents = {
        name: _intent(name, raw, shared)
        for path in sorted((HERE / "intents").glob("*.yaml"))
        for name, raw in _read(path).items()
    }
    products = {
        name: Product(name, noun, group)
        for group, members in _read(HERE / "products.yaml").items()
        for name, noun in members.items()
    }
    return Catalog(
        intents=intents,
        products=products,
        tones=_read(HERE / "tones.yaml"),
        agent=_read(HERE / "agent.yaml"),
        people=_read(HERE / "people.yaml"),
        noise=_read(HERE / "noise.yaml"),
        slots=_read(HERE / "slots.yaml"),
    )


def is_held_out(intent: str, product: str) -> bool:
    """True for the fifth of the (intent, product) pairs that only test chats use, whatever the seed or the size."""
    digest = sha256(f"{intent}|{product}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


@cache
def pairs(held_out: bool) -> Mapping[str, tuple[str, ...]]:
    """Intent name to the names of the products it may take on one side of the split."""
    catalog = load()
    table = {
        intent.name: tuple(
            p.name
            for p in catalog.products.values()
            if p.group in intent.groups and is_held_out(intent.name, p.name) == held_out
        )
        for intent in catalog.intents.values()
    }
    return {name: products for name, products in table.items() if products}


def can_share(first: Intent, second: Intent) -> bool:
    """Whether two requests make sense in one chat: another topic, and the same stage unless one fits any purchase."""
    if first.topic == second.topic:
        return False
    if "any" in (first.stage, second.stage):
        return "shopping" not in (first.stage, second.stage)
    return first.stage == second.stage
