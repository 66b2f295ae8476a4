"""Energy of the processor while a block runs, if the kernel counts it (RAPL, ``/sys/class/powercap``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_POWERCAP = Path("/sys/class/powercap")


@contextmanager
def metered(folder: Path = _POWERCAP) -> Iterator[dict[str, Any]]:
    """Yield a mapping that gets ``joules``, or ``na`` with the reason, when the block ends.

    It counts all that runs on the processor packages: on a busy machine it is an upper bound.
    """
    reading: dict[str, Any] = {}
    before = _read(folder)
    yield reading
    after = _read(folder)
    if isinstance(before, str) or isinstance(after, str):
        reading["na"] = before if isinstance(before, str) else after
        return
    # A counter starts again at 0 after its largest value.
    reading["joules"] = sum((after[zone][0] - used) % (most + 1) for zone, (used, most) in before.items()) / 1e6


def _read(folder: Path) -> dict[str, tuple[int, int]] | str:
    """Zone → (microjoules, largest value), or the reason why there is none."""
    zones = sorted(zone for zone in folder.glob("*:*") if zone.name.count(":") == 1) if folder.is_dir() else []
    if not zones:
        return f"the kernel shows no energy counter under {folder}"
    try:
        return {
            zone.name: (int((zone / "energy_uj").read_text()), int((zone / "max_energy_range_uj").read_text()))
            for zone in zones
        }
    except (OSError, ValueError) as error:
        return f"the energy counter under {folder} cannot be read ({getattr(error, 'strerror', None) or error})"
