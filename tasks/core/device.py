"""The device that a step computes on: precision, threads, memory."""

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
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGE = 32 * 2**20  # larger blocks are returned; keeping the gradients of large matrices would raise the peak
_MOST = 2**31 - 1
_CACHED_KERNELS = 64

Precision = Literal["auto", "bf16", "fp32"]


def device() -> torch.device:
    """CUDA if it is available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_bf16(precision: Precision) -> bool:
    """Whether to compute in bf16; ``auto`` means bf16 on devices that are faster with it than with fp32."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bf16_is_fast()


def bf16_is_fast() -> bool:
    """Whether this CPU has AMX, or AVX512-BF16 by AMD.

    Intel's AVX512-BF16 without AMX was slower than fp32 (``bench/RESULTS.md``).
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and _vendor(_PROCESSORS) == "AuthenticAMD"


def _vendor(processors: Path) -> str:
    """The vendor of the CPU, as Linux names it; empty on other systems."""
    try:
        lines = processors.read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def autocast(precision: Precision) -> torch.autocast:
    """The autocast context for ``precision`` on this machine's device."""
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=use_bf16(precision))


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of the autocast that is active for this type of device; None outside autocast."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def use_threads(threads: int) -> None:
    """Set PyTorch's number of threads.

    A floating-point sum depends on the number of threads that share it, so the number is a parameter.
    """
    torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let this process keep the memory of freed tensors of up to 32 MB, on Linux.

    By default glibc returns it and requests it again, which costs a page fault per 4 KB (``bench/RESULTS.md``).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # If glibc refuses the first setting, the second alone would return more memory than before.
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _LARGE):
        mallopt(_M_TRIM_THRESHOLD, _MOST)


def return_freed_memory() -> None:
    """Return the memory of freed tensors to the system, on Linux, so that the resident set is what is in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def limit_kernel_caches() -> None:
    """Limit how many compiled kernels oneDNN and PyTorch keep; call it before the first matrix product.

    For bf16 oneDNN compiles a kernel of about 1 MB per shape of a matrix product, and each of the two libraries keeps
    1,024 of them. One batch shape needs about 25. Variables that the environment sets already keep their values.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, str(_CACHED_KERNELS))


def peak_memory_bytes() -> int:
    """Highest memory use of this process: allocated on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory_bytes() -> int:
    """Free memory of the GPU if there is one, else of this machine, or of the control group (a container) if less."""
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
    # The page cache counts as used, but is released when memory runs short.
    return float("inf") if limit == "max" else int(limit) - used + int(statistics.get("inactive_file", 0))
