"""The fingerprint of a rendering: what decides the tokens of a row, compared between training and later uses."""

from __future__ import annotations

import hashlib
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.model.rendering import Renderer
from tasks.text.rows import Row

MASKING = "labels are the completion and its end token; all before is masked"

TURNS_MASKING = "labels are the learned turns and their end tokens; all else is masked"

_OF_ROWS = ("templates", "turns")
"""Fields that depend on the rows; a model that is loaded to generate for other rows need not share them."""

_NEW_TOKENS = ("end", "open_prompt")
"""Fields of which a model of an earlier version that lacks them was trained on other tokens."""


def fingerprint(renderer: Renderer, max_length: int, rows: list[Row], truncate: str | None = None) -> dict[str, Any]:
    """Build the rendering fingerprint: ``value`` is the hash of ``fields``, which decide the tokens of a row.

    The field ``templates`` maps the id of each template in ``rows`` to the hash of its text. Four fields exist only
    where they matter, so that the fingerprints of all other models stay as they were:

    - ``end``: the token that closes a turn, if it is not the tokenizer's end token.
    - ``date``: the date that the chat template gets, if it reads the clock.
    - ``open_prompt``: a tokenizer that closes every text leaves prompts open.
    - ``turns``: the masking of conversations, if ``rows`` has some.
    """
    tokenizer = renderer.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else digest(tokenizer.get_vocab())
    fields = {
        "chat_template": digest(tokenizer.chat_template),  # one text, or texts by name
        "tokenizer": _sha256(vocabulary),
        "special_tokens": digest({name: str(token) for name, token in tokenizer.special_tokens_map.items()}),
        "max_length": max_length,
        "truncate": truncate,
        "masking": MASKING,
        "kind": renderer.kind,
        "templates": {template: _sha256(text) for template, text in templates_of(rows).items()},
        **_special_fields(renderer, rows),
    }
    return {"value": digest(fields), "fields": fields}


def _special_fields(renderer: Renderer, rows: list[Row]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if renderer.end != renderer.tokenizer.eos_token_id:
        fields["end"] = renderer.tokenizer.convert_ids_to_tokens(renderer.end)
    if renderer.dated:
        fields["date"] = renderer.date
    if renderer.opens_prompt:
        fields["open_prompt"] = True
    if renderer.chats and any(row.get("messages") for row in rows):
        fields["turns"] = TURNS_MASKING
    return fields


def templates_of(rows: list[Row]) -> dict[str, str]:
    """Map ``source/template_id`` to the text of the template, for all rows, sorted."""
    return dict(sorted({f"{row['source']}/{row['template_id']}": row["template"] for row in rows}.items()))


def refuse_other_fingerprint(trained: dict[str, Any], now: dict[str, Any], model: str) -> None:
    """Compare the fields of two fingerprints; templates are compared where both have the id.

    A model of an earlier version has no ``date``: its template read the clock, and any date is as right as another.

    Raises:
        TunesmithError: a field differs; the error names the first one.
    """
    before, after = trained.get("templates", {}), now["templates"]
    changed = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    if changed:
        raise TunesmithError(
            f"{model}: rows must be rendered as in training; the text of template {changed[0]!r} has changed "
            "since; train again, or restore the template"
        )
    for field in dict.fromkeys([*trained, *_NEW_TOKENS]):
        if field in _OF_ROWS:
            continue
        before, after = trained.get(field), now.get(field)
        if before != after:
            raise TunesmithError(
                f"{model}: rows must be rendered as in training; {field} differs (trained with {before}, now {after}); "
                "train again, or restore it"
            )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
