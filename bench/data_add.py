"""``python -m bench.data_add ROWS [--chats]``: seconds and peak memory of ``tunesmith data add``.

Makes ROWS rows of about 1 kB (JSONL; prompt and completion, or conversations of six turns) from a seed in a temporary
folder, adds them to a workspace in it, and removes both. The time is of the whole command, with DVC's copy and hash.
On a busy machine, compare the processor time, which includes DVC's.
Peak memory is the highest resident set of the command or of DVC, which it starts.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.workspaces import ROOT, environment, make_workspace

_WORDS, _TEXT = 20_000, 150


def make(path: Path, rows: int, chats: bool) -> None:
    """Write the rows; each text is a slice of one long text."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(_WORDS)]

    def text(count: int) -> str:
        start = rng.randrange(_WORDS - count)
        return " ".join(words[start : start + count])

    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row: dict[str, Any] = {"id": number, "score": rng.random()}
            if chats:
                roles = ["user", "assistant"] * 3
                row["messages"] = [{"role": role, "content": text(_TEXT // 7)} for role in roles]
            else:
                row |= {"prompt": text(_TEXT * 2 // 3), "completion": text(_TEXT // 3)}
            file.write(json.dumps(row) + "\n")


def main(rows: int, chats: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "base")
        base.mkdir()
        root = make_workspace(Path(folder, "workspace"), base)
        for path in (ROOT / "params").glob("training.yaml"):  # the embedded base model
            (root / "params" / path.name).write_bytes(path.read_bytes())
        file = Path(folder, "rows.jsonl")
        make(file, rows, chats)
        command = [sys.executable, "-m", "flows.cli", "data", "add", str(file), "--name", "big", "--write"]
        env = environment(root) | {"PYTHONPATH": str(ROOT)}
        env.pop("TUNESMITH_CACHE")
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        print(printed)
        size = file.stat().st_size / 1e9
        processor = usage.ru_utime + usage.ru_stime
        figures = f"{seconds:.1f} s ({processor:.1f} s of processor time), {usage.ru_maxrss / 1e6:.2f} GB peak"
        print(f"{rows:,} rows, {size:.2f} GB: {figures}, exit {status}")


if __name__ == "__main__":
    main(int(sys.argv[1]), "--chats" in sys.argv)
