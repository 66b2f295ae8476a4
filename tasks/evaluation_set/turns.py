"""One evaluation row per assistant message of a conversation, each with the reference history before it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tasks.template.conversation import columns_of
from tasks.text.conversations import messages_of
from tasks.text.rows import RENDERED, TURN, Row


def every_turn(rows: pa.Table) -> pa.Table:
    """``rows`` (columns: ``RENDERED``) with a row for each assistant message of a conversation.

    Its ``row_id`` is that of the conversation with ``#turnK``, where K counts the messages from 1. ``group`` and
    ``identity`` stay those of the conversation, so that intervals and the gate draw whole conversations. An assistant
    message that the data excludes (``weight: 0``), is empty, or has nothing before it gives no row.
    """
    return pa.Table.from_pylist([turn for row in rows.to_pylist() for turn in _turns(row)], schema=RENDERED)


def _turns(row: Row) -> Iterator[Row]:
    messages = messages_of(row)
    if messages is None:
        yield row
        return
    for number, message in enumerate(messages):
        if message["role"] == "assistant" and message.get("weight") != 0:
            of_turn = columns_of(messages[: number + 1])
            if of_turn["prompt"] and of_turn["completion"].strip():
                yield row | of_turn | {"row_id": f"{row['row_id']}{TURN}{number + 1}", "identity": row["identity"]}
