"""Compare a tokenizer, its chat template and ``max_length`` with the model that reads the tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.core.errors import TunesmithError
from tasks.model.base_models import BaseModel, untrained
from tasks.model.chat import Chat, TurnError
from tasks.model.rendering import PROBE, Renderer

_POSITIONS = re.compile(r"(^|[._])(wpe|pos\w*_emb\w*|\w*_?positions?|positions_embed)$")
"""Names of layers that embed positions: ``wpe`` (GPT-2), ``embed_positions`` (OPT, BART), ``position_embeddings``."""

_MARKER = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?[a-z]+(?:_[a-z]+)+>")
"""Texts that look like control tokens: ``<|im_start|>``, ``<start_of_turn>``."""

_SHOWN = 3


@dataclass(frozen=True)
class Limits:
    """What a base model can read.

    Attributes:
        vocabulary: rows of its embedding; token ids must be below.
        positions: rows of its table of positions, without offset; None for a model without such a table.
        context: tokens for which the model was made; None for a model that names no limit.
    """

    vocabulary: int
    positions: int | None
    context: int | None


def limits_of(base: BaseModel) -> Limits:
    """Read the limits from the base's architecture; no weights are read."""
    import torch

    with torch.device("meta"):
        model = untrained(base, torch.float32)
    tables = [
        layer.num_embeddings - int(getattr(layer, "offset", 0))
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Embedding) and _POSITIONS.search(name)
    ]
    positions = min(tables, default=None)
    context = None if base.kind == "seq2seq" else getattr(model.config.get_text_config(), _CONTEXT, None)
    return Limits(model.get_input_embeddings().num_embeddings, positions, positions or context)


_CONTEXT = "max_position_embeddings"


def check_limits(base: BaseModel, renderer: Renderer, max_length: int, beyond_context: bool) -> list[str]:
    """Refuse what the model cannot read; return notes on what it may read badly.

    Args:
        beyond_context: allow rows longer than the context, for a model that computes positions from a formula.

    Raises:
        TunesmithError: has one line per problem.
    """
    limits = limits_of(base)
    problems = _wrong_length(base, limits, max_length, beyond_context) + _wrong_ids(base, renderer, limits.vocabulary)
    if problems:
        raise TunesmithError("\n".join(problems))
    return _split_markers(base, renderer)


def _wrong_length(base: BaseModel, limits: Limits, max_length: int, beyond_context: bool) -> list[str]:
    if limits.positions is not None and max_length > limits.positions:
        return [
            f"max_length: must be at most {limits.positions}, the number of positions that {base.spec} has learned; it "
            f"is {max_length}; lower it in params/, or name another base model"
        ]
    if limits.context is not None and max_length > limits.context and not beyond_context:
        return [
            f"max_length: must be at most {limits.context}, the context of {base.spec}; it is {max_length}; lower it "
            "in params/, or set `beyond_context: true` to train on longer rows anyway"
        ]
    return []


def _wrong_ids(base: BaseModel, renderer: Renderer, vocabulary: int) -> list[str]:
    """Token ids that the embedding does not have: of the special tokens, and of tokens that rows may hold."""
    tokenizer = renderer.tokenizer
    rule = f"base model {base.spec}: a token id must be below {vocabulary}, the rows of the model's embedding"
    remedy = "use the tokenizer that belongs to the model"
    problems = [
        f"{rule}; the tokenizer's {name} {token!r} is {number}; {remedy}"
        for name, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str) and (number := tokenizer.convert_tokens_to_ids(token)) >= vocabulary
    ]
    problems += [
        f"{rule}; config.json: {key} is {number}; correct it"
        for key, number in _configured(base)
        if number >= vocabulary
    ]
    outside = _reachable(renderer, vocabulary)
    if outside and not problems:
        shown = ", ".join(f"{token!r} ({number})" for token, number in outside[:_SHOWN])
        problems.append(
            f"{rule}; the tokenizer has {len(tokenizer)} tokens, of which {len(outside)} are outside: {shown}; {remedy}"
        )
    return problems


def _configured(base: BaseModel) -> list[tuple[str, int]]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base.folder, trust_remote_code=base.trust_remote_code).get_text_config()
    values = {name: getattr(config, f"{name}_token_id", None) for name in ("bos", "eos", "pad", "decoder_start")}
    return [
        (f"{name}_token_id", number)
        for name, value in values.items()
        for number in (value if isinstance(value, list) else [value])
        if isinstance(number, int)
    ]


def _reachable(renderer: Renderer, vocabulary: int) -> list[tuple[str, int]]:
    """Tokens outside the embedding that a row can hold.

    Control tokens in a row's text are plain text. So a control token counts only if the chat template writes it: Gemma
    3's tokenizer has one for images that its text model lacks.
    """
    tokenizer = renderer.tokenizer
    outside = sorted((number, token) for token, number in tokenizer.get_vocab().items() if number >= vocabulary)
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    written = _probe(renderer)
    return [(token, number) for number, token in outside if number not in special or token in written]


def _probe(renderer: Renderer) -> str:
    """A short conversation through the chat template; empty without a template or where it refuses the turns."""
    if not renderer.chats:
        return ""
    chat = Chat(renderer.tokenizer, renderer.date)
    try:
        return chat.whole(PROBE) + chat.prompt(PROBE[:1])
    except TurnError:
        return ""


def _split_markers(base: BaseModel, renderer: Renderer) -> list[str]:
    """Notes on markers of the chat template that are several tokens; Zephyr was trained so, most models were not."""
    pieces = {
        marker: renderer.tokenizer.tokenize(marker)
        for marker in dict.fromkeys(_MARKER.findall(_probe(renderer)))
        if len(renderer.tokenizer.tokenize(marker)) > 1
    }
    if not pieces:
        return []
    shown = ", ".join(f"{marker} ({len(tokens)} tokens)" for marker, tokens in list(pieces.items())[:_SHOWN])
    return [
        f"base model {base.spec}: its chat template writes markers that its tokenizer does not have as one token: "
        f"{shown}. Check that template and tokenizer belong to the model"
    ]
