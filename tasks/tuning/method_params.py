"""Parameter blocks that several methods share. Nothing here imports torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.core.params import Params

EXPERIMENTS = "params/experiments.yaml"
"""The file that errors about these parameters name."""

Targets = list[str] | Literal["attention", "all-linear"] | None
"""Linear layers: by name, those of every attention, all but the output layer, or peft's choice."""


class LoraParams(Params):
    """LoRA (Hu et al. 2021), also of a quantised base (``qlora``).

    Attributes:
        rank: rank of the two factors that are trained for each target matrix.
        alpha: the update is scaled by alpha / rank.
        dropout: dropout on the input of the factors.
        targets: names of linear layers; ``attention`` for those of every attention; ``all-linear`` for all but the
            output layer; None for peft's choice, for most architectures the query and value projections.
        rslora: scale by alpha / sqrt(rank) (Kalajdzievski 2023), so that a higher rank learns as fast.
        dora: train the magnitude of each row besides its direction (Liu et al. 2024).
    """

    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = None
    rslora: bool = False
    dora: bool = False


class SoftPromptParams(Params):
    """Prompt tuning (Lester et al. 2021): trained embeddings before the input.

    Attributes:
        virtual_tokens: number of embeddings.
        initial: they start from random numbers, from random words of the vocabulary, or from ``text``.
        text: repeated or cut to the number of virtual tokens.
    """

    virtual_tokens: int = Field(default=20, ge=1, le=1000)
    initial: Literal["random", "vocabulary", "text"] = "vocabulary"
    text: str | None = None

    @model_validator(mode="after")
    def _text(self) -> Self:
        if self.initial == "text" and not (self.text or "").strip():
            raise ValueError("text must not be empty if initial is `text`: virtual tokens start from its words")
        return self


class QuantisationParams(Params):
    """Quantisation of the frozen base model of ``qlora`` (Dettmers et al. 2023).

    Attributes:
        bits: 4, or 8 (LLM.int8, Dettmers et al. 2022).
        kind: data type of 4-bit weights.
        double: quantise the scales of 4-bit blocks as well.
    """

    bits: Literal[4, 8] = 4
    kind: Literal["nf4", "fp4"] = "nf4"
    double: bool = True
