"""Parameters of the methods, a block each. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.core.params import Params

EXPERIMENTS = "params/experiments.yaml"
"""Where errors about these parameters send the reader."""

Targets = list[str] | Literal["attention", "all-linear"] | None


class SelectiveParams(Params):
    """Some of the base model's own weights are trained, the others stay: the union of what these name.

    Attributes:
        biases: every bias (BitFit, Ben Zaken et al. 2021).
        layer_norms: every normalisation layer.
        last_layers: all weights of the last so many blocks (of the decoder).
        patterns: weights whose name holds one of these, such as ``self_attn.o_proj``.
    """

    biases: bool = False
    layer_norms: bool = False
    last_layers: int = Field(default=0, ge=0)
    patterns: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _name_something(self) -> Self:
        if not (self.biases or self.layer_norms or self.last_layers or self.patterns):
            raise ValueError("must name weights to train: biases, layer_norms, last_layers or patterns")
        return self


class LoraParams(Params):
    """LoRA (Hu et al. 2021), also of a quantised base (``qlora``).

    Attributes:
        rank: of the two factors that are trained in the place of a weight matrix.
        alpha: the update is scaled by alpha / rank.
        dropout: on the factors' input.
        targets: names of the linear layers; ``attention`` is those of every attention, ``all-linear`` all but the
            output layer; None is peft's choice for the architecture (query and value projections).
        rslora: scale by alpha / sqrt(rank) (Kalajdzievski 2023), so that a higher rank learns as fast.
        dora: train a magnitude a row beside the direction (Liu et al. 2024).
    """

    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = None
    rslora: bool = False
    dora: bool = False


class AdaloraParams(Params):
    """AdaLoRA (Zhang et al. 2023): starts with a rank and prunes it to an average where it matters least.

    Attributes:
        initial_rank: of each matrix before pruning.
        target_rank: average that remains.
        alpha: scale of the update.
        dropout: on the factors' input.
        targets: as of LoRA.
        warmup: share of the steps before pruning begins.
        final: share of the steps after it has ended.
        every: steps between two prunings.
        orthogonality: weight of the penalty that keeps the factors orthogonal.
    """

    initial_rank: int = Field(default=12, ge=1)
    target_rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = None
    warmup: float = Field(default=0.1, ge=0, lt=1)
    final: float = Field(default=0.3, ge=0, lt=1)
    every: int = Field(default=1, ge=1)
    orthogonality: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _prune(self) -> Self:
        if self.target_rank >= self.initial_rank:
            raise ValueError(
                f"target_rank must be below initial_rank, or nothing is pruned; they are {self.target_rank} and "
                f"{self.initial_rank}"
            )
        if self.warmup + self.final >= 1:
            raise ValueError(f"warmup + final must be below 1; it is {self.warmup + self.final:g}: no step would prune")
        return self


class AdapterParams(Params):
    """Bottleneck layers after attention and feed-forward (Houlsby et al. 2019).

    Attributes:
        size: width of the bottleneck.
        targets: names of the modules whose output passes a bottleneck; None is the attention and feed-forward
            blocks of a known architecture.
    """

    size: int = Field(default=64, ge=1)
    targets: list[str] | None = None


class Ia3Params(Params):
    """IA3 (Liu et al. 2022): a factor for each activation of some layers: keys, values, inside the feed-forward.

    Attributes:
        targets: names of the linear layers; None is peft's choice for the architecture (with some, query and value).
        feedforward: those of ``targets`` whose input is scaled and not their output.
    """

    targets: list[str] | None = None
    feedforward: list[str] | None = None

    @model_validator(mode="after")
    def _among(self) -> Self:
        if outside := set(self.feedforward or ()) - set(self.targets or ()):
            raise ValueError(f"feedforward must be among targets, which it names again; {min(outside)} is not")
        return self


class PromptTuningParams(Params):
    """Prompt tuning (Lester et al. 2021): trained embeddings before the input.

    Attributes:
        virtual_tokens: how many.
        initial: from random numbers, from random words of the vocabulary, or from ``text``.
        text: repeated or cut to the number of tokens.
    """

    virtual_tokens: int = Field(default=20, ge=1, le=1000)
    initial: Literal["random", "vocabulary", "text"] = "vocabulary"
    text: str | None = None

    @model_validator(mode="after")
    def _text(self) -> Self:
        if self.initial == "text" and not (self.text or "").strip():
            raise ValueError("text must say what the virtual tokens start from where initial is `text`")
        return self


class PrefixTuningParams(Params):
    """Prefix tuning (Li and Liang 2021): trained keys and values before those of each self-attention of the decoder.

    Attributes:
        virtual_tokens: how many.
        projection: width of a network that makes them while training; None trains them themselves.
    """

    virtual_tokens: int = Field(default=20, ge=1, le=1000)
    projection: int | None = Field(default=None, ge=1)


class PTuningParams(PromptTuningParams):
    """P-tuning (Liu et al. 2021): as prompt tuning, but a small network makes the embeddings while training.

    Attributes:
        virtual_tokens: how many.
        initial: ``random`` leaves the network as it begins; for ``vocabulary`` and ``text`` its last layer is solved
            for, so that it says the embeddings of words.
        text: as of prompt tuning.
        network: ``MLP`` or ``LSTM``.
        hidden: its width; to begin with words, at least three times ``virtual_tokens``: near their number the solution
            has weights so large that the first step leaves it, and below it is none.
    """

    network: Literal["MLP", "LSTM"] = "MLP"
    hidden: int = Field(default=128, ge=1)

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if self.initial != "random" and self.hidden < 3 * self.virtual_tokens:
            raise ValueError(
                f"hidden must be at least three times virtual_tokens to begin with words; they are {self.hidden} and "
                f"{self.virtual_tokens}; raise it to {3 * self.virtual_tokens}, or set `initial: random`"
            )
        return self


class QuantisationParams(Params):
    """The frozen base of ``qlora`` (Dettmers et al. 2023).

    Attributes:
        bits: 4, or 8 (LLM.int8, Dettmers et al. 2022).
        kind: of the 4-bit numbers.
        double: quantise the scales of the 4-bit blocks as well.
    """

    bits: Literal[4, 8] = 4
    kind: Literal["nf4", "fp4"] = "nf4"
    double: bool = True


METHODS: dict[str, tuple[str, ...]] = {
    "none": (),
    "full": (),
    "selective": ("selective",),
    "lora": ("lora",),
    "adalora": ("adalora",),
    "adapter": ("adapter",),
    "ia3": ("ia3",),
    "prompt_tuning": ("prompt_tuning",),
    "prefix_tuning": ("prefix_tuning",),
    "p_tuning": ("p_tuning",),
    "qlora": ("lora", "quantisation"),
}
"""The blocks that each method uses, beside ``training``. Keys of others do not reach its file and retrain nothing."""
