"""Reference summaries of a planned chat, in one house style: the customer's problem, then what the agent does."""

from __future__ import annotations

from random import Random

from tasks.ingest.demo.chat_plan import Chat, Request
from tasks.ingest.demo.template_slots import fill

MIN_WORDS, MAX_WORDS = 12, 60
_TRIES = 12
# By number of requests: p is a problem, f a fact, o an outcome.
_FRAMES = {
    1: "Customer {customer} {p0}: {f0}. Agent {agent} {o0}.",
    2: "Customer {customer} {p0}: {f0}. Agent {agent} {o0}. {customer} {p1}, and {agent} {o1}.",
    3: "Customer {customer} {p0}, {p1} and {p2}. Agent {agent} {o0}, then {o1} and finally {o2}.",
}


def _also(phrase: str) -> str:
    """Put "also" where English needs it: is also missing, also cannot pay."""
    verb, rest = phrase.split(" ", 1)
    return f"{verb} also {rest}" if verb in ("is", "was") else f"also {phrase}"


def _parts(request: Request, index: int, product: str, last: bool, rng: Random, shortest: bool) -> dict[str, str]:
    """The clauses of one request; the product is named in the first and is "it" in the others."""

    def pick(options: tuple[str, ...]) -> str:
        return min(options, key=lambda text: len(text.split())) if shortest else rng.choice(options)

    problem = pick(request.intent.problem).replace("{p}", "it" if index else f"the {product}")
    return {
        f"p{index}": _also(problem) if last and index else problem,
        f"f{index}": fill(pick(request.intent.facts[request.fact].sum), request.values),
        f"o{index}": fill(pick(request.outcome.sum), request.values),
    }


def _reference(chat: Chat, rng: Random, shortest: bool) -> str:
    clauses = {name: chat.requests[0].values[name] for name in ("customer", "agent")}
    for index, request in enumerate(chat.requests):
        clauses |= _parts(request, index, chat.product.name, index + 1 == len(chat.requests), rng, shortest)
    return fill(_FRAMES[len(chat.requests)], clauses)


def summarize(chat: Chat, rng: Random) -> list[str]:
    """One to three different references of 12 to 60 words, or none if the chat does not fit into 60.

    Call it after the dialogue, which draws the slots.
    """
    wanted = rng.choices((1, 2, 3), (30, 35, 35))[0]
    references: list[str] = []
    for _ in range(_TRIES):
        text = _reference(chat, rng, shortest=False)
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS and text not in references:
            references.append(text)
        if len(references) == wanted:
            break
    if not references and len((short := _reference(chat, rng, shortest=True)).split()) <= MAX_WORDS:
        references.append(short)
    return references
