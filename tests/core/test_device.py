"""Which processors are faster in bf16."""

from __future__ import annotations

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
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    first, *later = map(int, said)
    assert first > 30_000 and later[-1] < 10_000
