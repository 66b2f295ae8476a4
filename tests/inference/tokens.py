"""The tokens of generated outputs, of which ``generate`` returns the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tasks.inference.generate import generate
from tasks.inference.params import GenerationParams


def generated_tokens(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], kind: str, params: GenerationParams
) -> list[list[int]]:
    """Tokens per prompt, up to and with the end token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "decode", lambda tokens, **_: " ".join(map(str, tokens)))
        outputs = generate(model, tokenizer, prompts, kind, params)
    return [[int(token) for token in output.text.split()] for output in outputs]
