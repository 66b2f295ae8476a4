"""The processor that a step computes on: device, precision, threads, peak memory."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path
from typing import Literal

import psutil
import torch

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_PROCESSORS = Path("/proc/cpuinfo")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 32 * 2**20  # gradients and optimizer states of large matrices go back: full fine-tuning would take more
_MOST = 2**31 - 1
_CACHED_KERNELS = 64

Precision = Literal["auto", "bf16", "fp32"]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_bf16(precision: Precision) -> bool:
    """``auto`` takes bf16 where the processor is faster with it than with fp32."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bf16_is_fast()


def bf16_is_fast() -> bool:
    """AMX, or AVX512-BF16 of AMD: Intel's without AMX was slower in training and generation (``bench/RESULTS.md``)."""
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and _maker(_PROCESSORS) == "AuthenticAMD"


def _maker(processors: Path) -> str:
    """As Linux names it; empty elsewhere."""
    try:
        lines = processors.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def autocast(precision: Precision) -> torch.autocast:
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=use_bf16(precision))


def autocast_dtype(where: torch.device) -> torch.dtype | None:
    """The type that autocast rounds to on this kind of device now; None outside it."""
    return torch.get_autocast_dtype(where.type) if torch.is_autocast_enabled(where.type) else None


def use_threads(threads: int) -> None:
    """A sum depends on the number of threads that share it, so the number is a parameter and not what is free."""
    torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """What tensors of up to 32 MB free stays with this process, on Linux. glibc hands it back and asks for it anew,
    which costs a page fault for every 4 KB: a tenth of the time of training LoRA (``bench/RESULTS.md``)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # A glibc that refuses the first stays as it was: the second alone would hand back more than before.
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _LARGE):
        mallopt(_M_TRIM_THRESHOLD, _MOST)


def limit_kernel_caches() -> None:
    """Limit how many compiled kernels oneDNN and PyTorch keep; call it before the first matrix product.

    For bf16 oneDNN compiles a kernel of about 1 MB per shape of a matrix product, and each of the two libraries keeps
    1,024 of them. One batch shape needs about 25. Variables that the environment sets already keep their values.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, str(_CACHED_KERNELS))


def peak_memory_bytes() -> int:
    """Highest resident set of this process, or on a GPU the highest allocation."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory_bytes() -> int:
    """Free on the GPU, else of this machine's memory, or of the control group's where that is less (a container)."""
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return int(min(psutil.virtual_memory().available, _free_in_control_group(_CONTROL_GROUP)))


def _free_in_control_group(folder: Path) -> float:
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return float("inf")
    # Files that were read count as used, and go when memory is wanted.
    return float("inf") if limit == "max" else int(limit) - used + int(statistics.get("inactive_file", 0))
