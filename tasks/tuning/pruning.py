"""Pruning of AdaLoRA (Zhang et al. 2023) during training: the penalty on its factors, and the ranks that remain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.core import files

_SCORES, _PATTERN = "importance.safetensors", "ranks.json"

_KINDS = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""Attributes of peft's allocator: importance, its moving average, and that of its uncertainty."""


class Pruning(TrainerCallback):
    """Calls peft's rank allocator before each optimizer step, and keeps its state in checkpoints."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._config = model.peft_config["default"]

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # The allocator uses only the value of ``kthvalue``. On CUDA, the index alone is not deterministic.
        strict = torch.are_deterministic_algorithms_enabled()
        only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(strict, warn_only=True)
        try:
            self._model.base_model.update_and_allocate(state.global_step + 1)
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=only_warn)

    def ended(self, step: int) -> bool:
        """Return whether no rank is pruned after ``step``."""
        return step >= self._config.total_step - self._config.tfinal

    def penalty(self) -> Tensor:
        """Return the weighted distance of the factors from orthogonal.

        Peft adds it to the loss only if the model computes the loss.
        """
        norms = []
        for name, factor in self._model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                product = factor @ factor.T if "lora_A" in name else factor.T @ factor
                norms.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device)))
        return self._config.orth_reg_weight * torch.stack(norms).mean()

    def save(self, folder: Path) -> None:
        """Write the state of the allocator to a checkpoint."""
        allocator = self._model.base_model.rankallocator
        scores = {f"{kind}/{name}": v for kind in _KINDS for name, v in getattr(allocator, kind).items()}
        save_file({name: value.contiguous() for name, value in scores.items()}, folder / _SCORES)
        files.write_json(folder / _PATTERN, self._config.rank_pattern)

    def load(self, folder: Path) -> None:
        """Read the state of the allocator from a checkpoint."""
        allocator = self._model.base_model.rankallocator
        allocator.reset_ipt()
        device = str(next(self._model.parameters()).device)
        for key, value in load_file(folder / _SCORES, device=device).items():
            kind, name = key.split("/", 1)
            getattr(allocator, kind)[name] = value
        self._config.rank_pattern = files.read_json(folder / _PATTERN)
