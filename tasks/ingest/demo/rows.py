"""The rows of the demonstration data: planned, written and summarised chats, the same for the same arguments."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from tasks.ingest.demo.catalog import load
from tasks.ingest.demo.chat_plan import plan
from tasks.ingest.demo.dialogue import write
from tasks.ingest.demo.summary import summarize
from tasks.text.rows import Row

_ATTEMPTS = 20


def _row(seed: int, split: str, index: int, attempt: int) -> Row:
    catalog = load()
    digest = sha256(f"{seed}|{split}|{index}|{attempt}".encode()).digest()
    rng = Random(int.from_bytes(digest, "big"))
    chat = plan(catalog, split == "test", rng)
    lines = write(chat, catalog, rng)
    return {
        "chat_id": f"{split}-{seed}-{index:06d}",
        "dialogue": "\n".join(lines),
        "summaries": summarize(chat, rng),
        "intents": [request.intent.name for request in chat.requests],
        "product": chat.product.name,
        "turns": len(lines),
    }


def _rows(seed: int, split: str, count: int) -> list[Row]:
    """``count`` rows without repeated dialogues. A row depends only on the rows before it, so a higher count adds rows.

    A chat that repeats another, or whose summary needs too many words, is drawn again.
    """
    rows: list[Row] = []
    seen: set[str] = set()
    for index in range(count):
        attempts = (_row(seed, split, index, attempt) for attempt in range(_ATTEMPTS))
        row = next(row for row in attempts if row["summaries"] and row["dialogue"] not in seen)
        seen.add(row["dialogue"])
        rows.append(row)
    return rows


def generate(*, seed: int, train_rows: int, test_rows: int) -> tuple[list[Row], list[Row]]:
    """Write customer-service chats with reference summaries; return (train, test).

    Columns of a row: ``chat_id`` str; ``dialogue`` str, 3 to 20 lines ``Customer: ...`` or ``Agent: ...``;
    ``summaries`` 1 to 3 str of 12 to 60 words; ``intents`` 1 to 3 names; ``product`` str; ``turns`` int, the lines.

    The same arguments give the same rows in every process, and row i does not depend on the counts. Test chats
    use (intent, product) pairs that no training chat uses (``catalog.is_held_out``).

    Raises:
        ValueError: ``train_rows`` or ``test_rows`` is below 1.
    """
    for name, count in (("train_rows", train_rows), ("test_rows", test_rows)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; it is {count}. Ask for one row or more (400 is usual).")
    return _rows(seed, "train", train_rows), _rows(seed, "test", test_rows)
