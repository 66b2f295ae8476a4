"""A trained model that generates: for evaluation, the command line and serving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.ancestry.build import ensure_built
from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.inference.generate import Generated, generate, stream
from tasks.inference.params import GenerationParams, SamplingParams
from tasks.model.base_models import BaseModel, from_record, load_tokenizer, params_of
from tasks.model.chat import CHAT_DATE
from tasks.model.encoded import Encoded
from tasks.model.fingerprint import fingerprint, refuse_other_fingerprint
from tasks.model.likelihood import Likelihood, likelihood
from tasks.model.rendering import Renderer
from tasks.text.rows import Row
from tasks.tuning import methods
from tasks.tuning.load import SharedBase, load_tuned, soft_prompt


@dataclass(frozen=True)
class Predictor:
    """A model of ``models/X`` (or of the registry) with the tokenizer and rendering that it was trained with."""

    model: Any
    renderer: Renderer
    base: BaseModel
    manifest: dict[str, Any]
    generation: GenerationParams

    @classmethod
    def load(
        cls,
        folder: Path,
        generation: GenerationParams | None = None,
        root: Path | None = None,
        shared: SharedBase | None = None,
    ) -> Predictor:
        """Load a model.

        Args:
            folder: folder with ``manifest.json``.
            generation: the defaults of ``GenerationParams`` if None.
            root: workspace that a local base model's path is relative to; the current folder if None.
            shared: the base of several models; only the model loaded last may be used.

        Raises:
            TunesmithError: the folder has no model, the base model's weights have changed, or the tokenizer renders
                differently than in training.
        """
        manifest = read_manifest(folder)
        generation = generation or GenerationParams()
        root = root or Path.cwd()
        ensure_built(params_of(manifest["base_model"]), root)
        base = from_record(manifest["base_model"], root)
        whole = methods.named(manifest["method"]).saves_whole_model
        date = manifest["fingerprint"]["fields"].get("date", CHAT_DATE)
        renderer = Renderer(load_tokenizer(base, folder if whole else None), base.kind, date)
        dtype = torch.bfloat16 if device.use_bf16(generation.precision) else torch.float32
        load = shared.load_tuned if shared else load_tuned
        predictor = cls(load(folder, base, manifest, dtype), renderer, base, manifest, generation)
        predictor.refuse_other_rendering([])
        return predictor

    def refuse_other_rendering(self, rows: list[Row]) -> None:
        """Raise if tokenizer, special tokens, masking or the templates of ``rows`` differ from training."""
        self.refuse_other_fingerprint(self.manifest["fingerprint"], rows)

    def refuse_other_fingerprint(self, before: dict[str, Any], rows: Sequence[Row] = ()) -> None:
        """Raise if the fingerprint of ``rows`` differs from ``before``."""
        refuse_other_fingerprint(
            before["fields"], self.fingerprint(rows)["fields"], f"model {self.manifest['experiment']}"
        )

    def fingerprint(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the rendering fingerprint of ``rows``, with the length limit and truncation of training."""
        trained = self.manifest["fingerprint"]["fields"]
        return fingerprint(self.renderer, trained["max_length"], list(rows), trained["truncate"])

    def generate(self, prompts: list[str]) -> list[Generated]:
        """Generate the outputs of rendered prompts, in order.

        Raises:
            TunesmithError: a prompt with its output does not fit the model's context.
        """
        return self.generate_encoded([self.renderer.prompt(prompt) for prompt in prompts])

    def generate_encoded(self, encoded: list[list[int]], sampling: SamplingParams | None = None) -> list[Generated]:
        """Generate the outputs of encoded prompts, in order; ``sampling`` draws them.

        Raises:
            TunesmithError: as ``generate``.
        """
        self._refuse_too_long(encoded)
        return generate(self.model, self.renderer.tokenizer, encoded, self.base.kind, self.generation, sampling)

    def stream_encoded(self, encoded: list[list[int]]) -> Iterator[tuple[int, Generated]]:
        """As ``generate_encoded``: yield (index of the prompt, its completion) as the completions end.

        Raises:
            TunesmithError: as ``generate``.
        """
        self._refuse_too_long(encoded)
        return stream(self.model, self.renderer.tokenizer, encoded, self.base.kind, self.generation)

    def likelihood(self, encoded: list[Encoded]) -> Likelihood:
        """Compute the likelihood of completions, in fp32, since experiments are compared by it."""
        renderer, budget = self.renderer, self.generation.token_budget
        pad = renderer.tokenizer.pad_token_id
        return likelihood(self.model, encoded, renderer.kind, pad, budget, device.autocast("fp32"))

    @property
    def context(self) -> int | None:
        """Tokens of the model's context; None if its configuration sets no limit."""
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(positions) if positions is not None else None

    @property
    def longest_prompt(self) -> int | None:
        """Most tokens that a prompt may have besides its output and virtual tokens."""
        if self.context is None:
            return None
        soft = soft_prompt(self.model)
        virtual = soft.num_virtual_tokens if soft else 0
        # An encoder-decoder has the prompt in the encoder and the output in the decoder.
        return self.context - virtual - (0 if self.base.kind == "seq2seq" else self.generation.max_new_tokens)

    def _refuse_too_long(self, prompts: list[list[int]]) -> None:
        context, longest, new_tokens = self.context, self.longest_prompt, self.generation.max_new_tokens
        if context is None or longest is None:
            return
        soft = soft_prompt(self.model)
        virtual = f", and there are {soft.num_virtual_tokens} virtual tokens" if soft else ""
        for number, tokens in enumerate(prompts, start=1):
            if len(tokens) > longest or (self.base.kind == "seq2seq" and new_tokens > longest):
                raise TunesmithError(
                    f"prompt {number} of {len(prompts)}: prompt and output must fit the model's context of {context} "
                    f"tokens; the prompt has {len(tokens)} and the output may have {new_tokens}{virtual}; shorten the "
                    "prompt or lower generation.max_new_tokens"
                )

    def complete(self, prompts: list[str]) -> list[str]:
        """Return the texts of the outputs of rendered prompts, in order."""
        return [output.text for output in self.generate(prompts)]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read ``manifest.json`` of a model folder.

    Raises:
        TunesmithError: the folder has none.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise TunesmithError(f"{folder}: no trained model here; run `tunesmith run` (or `dvc repro`) to train it")
    manifest: dict[str, Any] = files.read_json(path)
    return manifest
