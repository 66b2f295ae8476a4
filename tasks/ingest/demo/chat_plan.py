"""The plan of a chat: its people, requests, exchanges and number of turns, before any line is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from tasks.ingest.demo.catalog import Catalog, Intent, Outcome, Product, can_share, pairs
from tasks.ingest.demo.template_slots import Slots, names

# Weights of one, two and three requests in a chat.
REQUEST_WEIGHTS = (62, 28, 10)
# Turns beyond the lowest number that the requests need, and their weights: most chats are short, all lengths occur.
MAX_TURNS = 20
_EXTRA_TURNS = range(18)
_EXTRA_WEIGHTS = (6, 7, 10, 11, 12, 11, 10, 8, 6, 5, 4, 3, 2, 2, 1, 1, 1, 2)
# Probability that a request ends in an outcome that fits any intent.
_SHARED_RATE = 0.3
# The beginning of a customer's sentence that needs no question before it; each fact has at least one such beginning.
STANDALONE = re.compile(
    r"(It|I|The|My|You|Your|There|That|They|We|Two|Apparently) "
    r"|\{(carrier|shop)\} (claims|has|sells|is)|On \{date\} you"
)
_YEAR_START = date(2025, 1, 1)
_AGENT_VOICE = {"{you}": "you", "{your}": "your", "{yours}": "yours"}
_CUSTOMER_VOICE = {"{you}": "me", "{your}": "my", "{yours}": "mine"}
# The order of exchanges inside a request; equal ranks are shuffled.
_RANK = {"mix_problem": 0, "mix_product": 1, "product": 1, "hold": 3, "change": 4}


@dataclass(frozen=True)
class Exchange:
    """An agent's line and the customer's answer, as templates; ``kind`` is fact, product, check, change, and so on."""

    kind: str
    ask: str
    tell: str


@dataclass(frozen=True)
class Seat:
    """The position of a request in its chat, the number of requests, and the number of exchanges that it gets."""

    index: int
    count: int
    room: int


@dataclass(frozen=True)
class Request:
    """One request with the variants drawn for it; ``fact`` is an index, ``tell`` its text, ``do`` the agent's line."""

    intent: Intent
    fact: int
    tell: str
    opening: str
    outcome: Outcome
    do: str
    values: Slots
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class Chat:
    """A planned chat: ``closers`` lines follow the last reaction; with ``welcome`` the agent writes first."""

    product: Product
    tone: str
    requests: tuple[Request, ...]
    welcome: bool
    closers: int


def _voice(offer: str, voice: Mapping[str, str]) -> str:
    for slot, word in voice.items():
        offer = offer.replace(slot, word)
    return offer


def choose_intents(catalog: Catalog, held_out: bool, rng: Random) -> tuple[Product, list[Intent]]:
    """Draw a product and one to three intents, whose pairs all lie on one side of the split.

    The first intent is drawn evenly, then a product for it, then more intents that make sense in the same chat. A
    product without enough of them gets fewer.
    """
    table = pairs(held_out)
    first = catalog.intents[rng.choice(sorted(table))]
    product = catalog.products[rng.choice(table[first.name])]
    wanted = rng.choices((1, 2, 3), REQUEST_WEIGHTS)[0]
    chosen = [first]
    while len(chosen) < wanted:
        options = [
            other
            for other in (catalog.intents[name] for name in sorted(table) if product.name in table[name])
            if all(can_share(other, intent) for intent in chosen)
        ]
        if not options:
            break
        chosen.append(rng.choice(options))
    return product, sorted(chosen, key=lambda intent: intent.ends)


def _has_slot(outcome: Outcome) -> bool:
    return all(names(phrase) for phrase in outcome.sum)


def _optional(intent: Intent, catalog: Catalog, outcome: Outcome, generic: bool, rng: Random) -> list[Exchange]:
    """Exchanges that can fill a request up to its number of exchanges, in order of preference."""
    phrases = catalog.agent
    exchanges = [Exchange("check", ask, rng.choice(tells)) for ask, tells in intent.checks]
    declined = [o for o in intent.outcomes if o.offer and o is not outcome]
    if outcome.offer and declined and rng.random() < 0.7:
        offer = _voice(rng.choice(declined).offer, _AGENT_VOICE)
        wish = _voice(outcome.offer, _CUSTOMER_VOICE)
        ask = rng.choice(phrases["offer"]).replace("{offer}", offer)
        exchanges.append(Exchange("change", ask, rng.choice(phrases["decline"]).replace("{offer}", wish)))
    if generic:
        for kind, count in (("verify", 3), ("smalltalk", 3), ("hold", 2)):
            for item in rng.sample(phrases[kind], count):
                exchanges.append(Exchange(kind, item["ask"], rng.choice(item["tell"])))
        if rng.random() < 0.5:
            exchanges.append(
                Exchange("mix_problem", rng.choice(phrases["mix_problem"]), rng.choice(phrases["mix_problem_answer"]))
            )
    rng.shuffle(exchanges)
    return exchanges


def _exchanges(
    intent: Intent, catalog: Catalog, outcome: Outcome, seat: Seat, fact: Exchange, rng: Random
) -> tuple[Exchange, ...]:
    """``seat.room`` exchanges for one request: its fact, for the first request perhaps the product, then others."""
    chosen: list[Exchange] = []
    room, opener = seat.room, seat.index == 0
    if room > 0 and (not STANDALONE.match(fact.tell) or rng.random() < 0.93):
        chosen.append(fact)
    if opener and room > len(chosen) and rng.random() < 0.7:
        kind = "mix_product" if rng.random() < 0.4 else "product"
        ask, answer = ("mix_product", "mix_product_answer") if kind == "mix_product" else ("which", "which_answer")
        chosen.append(Exchange(kind, rng.choice(catalog.agent[ask]), rng.choice(catalog.agent[answer])))
    spare = _optional(intent, catalog, outcome, opener, rng)
    chosen += spare[: room - len(chosen)]
    rng.shuffle(chosen)
    return tuple(sorted(chosen, key=lambda e: _RANK.get(e.kind, 2)))


def _request(
    intent: Intent, catalog: Catalog, product: Product, known: Mapping[str, str], day: date, seat: Seat, rng: Random
) -> Request:
    outcomes: Sequence[Outcome] = intent.shared_outcomes if rng.random() < _SHARED_RATE else intent.outcomes
    if seat.count == 3:  # three requests leave no room for facts in the summary, so the outcomes must be concrete
        outcomes = [o for o in outcomes if _has_slot(o)]
    outcome = rng.choice(outcomes)
    number = rng.randrange(len(intent.facts))
    fact = intent.facts[number]
    # Without an exchange the fact follows the opening, so the wording must not read like an answer.
    tell = rng.choice(fact.tell if seat.room else [t for t in fact.tell if STANDALONE.match(t)])
    fact_exchange = Exchange("fact", rng.choice(fact.ask), tell)
    exchanges = _exchanges(intent, catalog, outcome, seat, fact_exchange, rng)
    kinds = {e.kind for e in exchanges}
    item = product.noun if seat.index > 0 or "product" in kinds else product.name
    if "mix_product" in kinds:
        item = catalog.agent["generic"].get(product.group, product.noun)
    values = Slots(catalog.slots, rng, day, product.group, {**known, "item": item, "gist": intent.gist})
    opening, do = rng.choice(intent.openings), rng.choice(outcome.do)
    return Request(intent, number, tell, opening, outcome, do, values, exchanges)


def _known(catalog: Catalog, product: Product, intents: Sequence[Intent], rng: Random) -> dict[str, str]:
    """The values that the whole chat shares: people, product, and the wrong ones that the agent may name first."""
    full_name = rng.choice(catalog.people["customers"])
    same_group = [p.name for p in catalog.products.values() if p.group == product.group and p.noun != product.noun]
    other_gists = [
        i.gist
        for i in catalog.intents.values()
        if product.group in i.groups and all(can_share(i, intent) for intent in intents)
    ] or ["a complaint"]
    others = same_group or [p.name for p in catalog.products.values() if p.group == product.group and p != product]
    return {
        "full_name": full_name,
        "customer": full_name.split()[0],
        "email": full_name.lower().replace(" ", ".") + "@mail.example",
        "agent": rng.choice(catalog.people["agents"]),
        "product": product.name,
        "noun": product.noun,
        "decoy": rng.choice(others),
        "decoy_gist": rng.choice(other_gists),
    }


def plan(catalog: Catalog, held_out: bool, rng: Random) -> Chat:
    """Draw one chat from one side of the split."""
    product, intents = choose_intents(catalog, held_out, rng)
    least = 2 * len(intents) + 1
    extra = min(rng.choices(_EXTRA_TURNS, _EXTRA_WEIGHTS)[0], MAX_TURNS - least)
    # An odd number needs one line that is not half of an exchange; an even one may take two.
    singles = 1 if extra % 2 else rng.choice((0, 2)) if extra >= 6 else 0
    welcome = singles > 0 and rng.random() < 0.4
    room, count = (extra - singles) // 2, len(intents)
    seats = [Seat(index, count, room // count + (1 if index < room % count else 0)) for index in range(count)]
    known = _known(catalog, product, intents, rng)
    day = _YEAR_START + timedelta(days=rng.randrange(365))
    requests = tuple(
        _request(intent, catalog, product, known, day, seat, rng) for intent, seat in zip(intents, seats, strict=True)
    )
    tone = rng.choice(list(catalog.tones))
    return Chat(product, tone, requests, welcome, singles - int(welcome))
