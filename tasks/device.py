"""The processor that a step computes on: device, precision, threads, peak memory."""

from __future__ import annotations

import resource
import sys
from typing import Literal

import torch

Precision = Literal["auto", "bf16", "fp32"]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_bf16(precision: Precision) -> bool:
    """``auto`` takes bf16 where the processor computes with it; elsewhere it would be slower than fp32."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(precision: Precision) -> torch.autocast:
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=use_bf16(precision))


def use_threads(threads: int) -> None:
    """A sum depends on the number of threads that share it, so the number is a parameter and not what is free."""
    torch.set_num_threads(threads)


def peak_memory_bytes() -> int:
    """Highest resident set of this process, or on a GPU the highest allocation."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
