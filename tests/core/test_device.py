"""Which processors are faster in bf16."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tasks.core import device


@pytest.mark.parametrize(
    ("maker", "avx512_bf16", "amx", "fast"),
    [
        ("AuthenticAMD", True, False, True),
        ("AuthenticAMD", False, False, False),
        ("GenuineIntel", True, False, False),
        ("GenuineIntel", True, True, True),
        (None, True, False, False),
    ],
)
def test_bf16_where_it_is_faster(
    maker: str | None, avx512_bf16: bool, amx: bool, fast: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if maker:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {maker}\nflags\t\t: fpu\n")
    monkeypatch.setattr(device, "_PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert device.use_bf16("auto") is fast
    assert device.use_bf16("bf16") and not device.use_bf16("fp32")


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="of oneDNN")
@pytest.mark.parametrize(("limited", "compiled"), [(False, 100), (True, 101)])
def test_no_more_than_64_kernels_are_cached(limited: bool, compiled: int) -> None:
    """100 shapes and then the first again, in a process of its own: oneDNN reads its limit once."""
    code = (
        "import torch; from tasks.core import device\n"
        f"if {limited}: device.limit_kernel_caches()\n"
        "weight = torch.ones(4, 4, 3, 3)\n"
        "for size in (*range(80, 180), 80): torch.nn.functional.conv2d(torch.ones(1, 4, size, size), weight)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("CACHE_CAPACITY")}
    environment["ONEDNN_VERBOSE"] = "profile_create"
    command = [sys.executable, "-c", code]
    log = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert log.count("create:cache_miss,cpu,convolution") == compiled


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_freed_memory_is_kept() -> None:
    """In a process of its own, as it cannot be taken back: 128 MB are written again without a page fault each 4 KB."""
    code = (
        "import resource, torch; from tasks.core import device; device.keep_freed_memory()\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    [torch.ones(4 * 2**20) for _ in range(8)]\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print(*(faults() for _ in range(6)))"
    )
    counts = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    first, *later = map(int, counts)
    assert first > 30_000 and later[-1] < 10_000
