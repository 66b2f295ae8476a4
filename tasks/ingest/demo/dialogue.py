"""Write the lines of a planned chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from tasks.ingest.demo.catalog import Catalog
from tasks.ingest.demo.chat_plan import Chat, Exchange, Request
from tasks.ingest.demo.noise import Writer
from tasks.ingest.demo.template_slots import capitalize, fill

_EMOJI = {"good": "good", "mixed": "plain", "todo": "plain", "bad": "bad"}


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


class _Script:
    """The lines written so far, and the phrase that the agent must still begin with (a greeting, an apology)."""

    def __init__(self, chat: Chat, catalog: Catalog, rng: Random):
        self.chat, self.rng = chat, rng
        self.tone: Mapping[str, Any] = catalog.tones[chat.tone]
        self.phrases = catalog.agent
        self.writer = Writer(self.tone["rates"], catalog.noise, rng)
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.owed = rng.choice(("hello", "hello_plain"))
        self.agent_words = ""

    def pick(self, options: Sequence[str]) -> str:
        """Draw a phrase that the chat has not used yet, if one is left."""
        fresh = [option for option in options if option not in self.used] or options
        choice = self.rng.choice(fresh)
        self.used.add(choice)
        return choice

    def agent(self, template: str, values: Mapping[str, str], prefix: str = "") -> None:
        if self.owed:
            prefix = self.pick(self.phrases[self.owed])
            self.owed = ""
        self.agent_words += " " + _join(prefix, template)
        self.lines.append("Agent: " + capitalize(fill(_join(prefix, template), values)))

    def customer(self, template: str, values: Mapping[str, str], mood: str = "plain") -> None:
        self.lines.append("Customer: " + self.writer.write(template, values, mood))

    def answer(self, template: str, values: Mapping[str, str]) -> None:
        """Add an answer with the tone's phrases; none comes before yes or no, since it could contradict them."""
        plain = template.startswith(("Yes", "No", "Sure", "Okay", "Fine", "I "))
        lead = "" if plain or self.rng.random() > 0.3 else self.pick(self.tone["lead"])
        aside = self.pick(self.tone["aside"]) if self.rng.random() < 0.15 else ""
        self.customer(_join(lead, template, aside), values)

    def exchange(self, item: Exchange, values: Mapping[str, str]) -> None:
        ack = self.pick(self.phrases["ack"]) if self.agent_words and self.rng.random() < 0.3 else ""
        self.agent(item.ask, values, ack if item.kind in ("fact", "check", "verify") else "")
        if item.kind in ("fact", "check"):
            self.answer(item.tell, values)
        else:
            self.customer(item.tell, values)
        if item.kind in ("mix_product", "mix_problem"):
            self.owed = "sorry"

    def request(self, request: Request, opening: str) -> None:
        """Add opening, exchanges and outcome of one request; the reaction belongs to the line that follows."""
        values = request.values
        told = "" if any(e.kind == "fact" for e in request.exchanges) else request.tell
        self.customer(_join(opening, request.opening, told), values)
        for item in request.exchanges:
            self.exchange(item, values)
        self.outcome(request)

    def outcome(self, request: Request) -> None:
        """Add the agent's action; the last one makes sure that both names are written, for the summary."""
        last = request is self.chat.requests[-1]
        lead = self.pick(self.phrases["before_outcome"]) if self.rng.random() < 0.4 else ""
        if last and "{customer}" not in self.agent_words:
            self.owed, lead = "", self.pick(self.phrases["before_outcome_name"])
        signed = last and "{agent}" not in self.agent_words and "{agent}" not in lead
        self.agent(request.do + (" ^{agent}" if signed else ""), request.values, lead)

    def reaction(self, request: Request) -> str:
        mood = request.outcome.mood
        if request.outcome.react:
            return _join(self.pick(request.outcome.react), self.pick(self.tone["good"]))
        return self.pick(self.tone[mood])


def write(chat: Chat, catalog: Catalog, rng: Random) -> list[str]:
    """The lines of the chat, ``Customer: ...`` and ``Agent: ...`` in turn."""
    script = _Script(chat, catalog, rng)
    first = chat.requests[0]
    if chat.welcome:
        script.owed = ""
        script.agent(script.pick(script.phrases["welcome"]), first.values)
    opening = script.pick(script.tone["hello"])
    for number, request in enumerate(chat.requests):
        script.request(request, opening)
        if number + 1 < len(chat.requests):
            opening = _join(script.reaction(request), script.pick(script.tone["next"]))
    last = chat.requests[-1]
    mood = last.outcome.mood
    script.customer(script.reaction(last), last.values, _EMOJI[mood])
    if chat.closers > 0:
        script.agent(script.pick(script.phrases["bad_close" if mood == "bad" else "close"]), last.values)
    if chat.closers > 1:
        script.customer(script.pick(script.tone["bye"]), last.values)
    return script.lines
