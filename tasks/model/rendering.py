"""Render text to tokens, identically in training, evaluation and prediction; with the fingerprint of the rendering."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.text.rows import Row

MASKING = "labels are the completion and its end token; all before is masked"


@dataclass(frozen=True)
class Encoded:
    """One row as tokens. ``completion`` ends with the end token; nothing follows it."""

    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True)
class Renderer:
    """Renders prompts and completions for one tokenizer.

    A model with a chat template gets the prompt as a user message; others get it with a line end. Encoder-decoder
    models get the prompt in the encoder and the completion in the decoder. Examples come first: as turns of the chat,
    or as text with an empty line after each.
    """

    tokenizer: Any
    kind: str

    def prompt(self, text: str, examples: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Return the tokens before the completion; ``examples`` are (prompt, completion) in their order."""
        if self.kind != "seq2seq" and self.tokenizer.chat_template:
            return self._chat(text, None, examples)
        before = "".join(f"{prompt}\n{completion}\n\n" for prompt, completion in examples)
        return list(self.tokenizer(before + text + ("" if self.kind == "seq2seq" else "\n"))["input_ids"])

    def encode(self, text: str, completion: str) -> Encoded:
        """Return the tokens of a prompt and its completion.

        Raises:
            TunesmithError: the chat template renders the prompt differently if a completion follows, so that the mask
                would be wrong; or it ends a completion without the end token, so that generation would not stop.
        """
        end = self.tokenizer.eos_token_id
        prompt = self.prompt(text)
        if self.kind == "seq2seq" or not self.tokenizer.chat_template:
            target = list(self.tokenizer(text_target=completion, add_special_tokens=False)["input_ids"])
            return Encoded(prompt, [*target, end])
        whole = self._chat(text, completion)
        _refuse_other_prefix(self.tokenizer, prompt, whole)
        target = whole[len(prompt) :]
        # A completion may hold the text of the end token itself; the end token that ends it comes after those.
        own = list(self.tokenizer(completion, add_special_tokens=False)["input_ids"]).count(end)
        ends = [position for position, token in enumerate(target) if token == end]
        if len(ends) <= own:
            raise TunesmithError(
                f"the chat template must end a completion with the end token {self.tokenizer.eos_token!r}; "
                f"it ends with {self.tokenizer.decode(target[-3:])!r}; use a model whose template does"
            )
        return Encoded(prompt, target[: ends[own] + 1])

    def marked(self, encoded: Encoded) -> str:
        """Decode a row with its special tokens; supervised text is in ``[[…]]``."""
        between = "\n" if self.kind == "seq2seq" else ""
        return f"{self.tokenizer.decode(encoded.prompt)}{between}[[{self.tokenizer.decode(encoded.completion)}]]"

    def _chat(self, text: str, completion: str | None, examples: Sequence[tuple[str, str]] = ()) -> list[int]:
        turns = [turn for example in examples for turn in zip(("user", "assistant"), example, strict=True)]
        messages = [{"role": role, "content": content} for role, content in [*turns, ("user", text)]]
        if completion is not None:
            messages.append({"role": "assistant", "content": completion})
        rendered = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=completion is None
        )
        return list(self.tokenizer(rendered, add_special_tokens=False)["input_ids"])


def _refuse_other_prefix(tokenizer: Any, prompt: list[int], whole: list[int]) -> None:
    if whole[: len(prompt)] == prompt:
        return
    index = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), min(len(prompt), len(whole))
    )
    raise TunesmithError(
        "the chat template must render a prompt alone as the beginning of the prompt with its completion; "
        f"token {index} is {tokenizer.decode(prompt[index : index + 1])!r} alone and "
        f"{tokenizer.decode(whole[index : index + 1])!r} with the completion; use a model whose template does"
    )


def fingerprint(renderer: Renderer, max_length: int, rows: list[Row], truncate: str | None = None) -> dict[str, Any]:
    """Build the rendering fingerprint: ``value`` is the hash of ``fields``, which decide the tokens of a row.

    The field ``templates`` maps the id of each template in ``rows`` to the hash of its text.
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
    }
    return {"value": digest(fields), "fields": fields}


def templates_of(rows: list[Row]) -> dict[str, str]:
    """Map ``source/template_id`` to the text of the template, for all rows, sorted."""
    return dict(sorted({f"{row['source']}/{row['template_id']}": row["template"] for row in rows}.items()))


def refuse_other_fingerprint(trained: dict[str, Any], now: dict[str, Any], model: str) -> None:
    """Compare the fields of two fingerprints; templates are compared where both have the id.

    Raises:
        TunesmithError: a field differs; the error names the first one.
    """
    for field, value in trained.items():
        other = now.get(field)
        if field == "templates":
            changed = sorted(t for t in value.keys() & now[field].keys() if value[t] != now[field][t])
            if changed:
                raise TunesmithError(
                    f"{model}: rows must be rendered as in training; the text of template {changed[0]!r} has changed "
                    "since; train again, or restore the template"
                )
        elif other != value:
            raise TunesmithError(
                f"{model}: rows must be rendered as in training; {field} differs (trained with {value}, now {other}); "
                "train again, or restore it"
            )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
