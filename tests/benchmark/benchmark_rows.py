"""Small files of benchmark rows, in the published formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.benchmark.params import BenchmarkSettings
from tasks.metrics.params import IntervalParams

THINGS = ["lamp", "phone", "parcel", "shirt", "kettle", "radio", "chair", "clock"]
SETTINGS = BenchmarkSettings(
    size="full", batch_size=2, threads=1, intervals=IntervalParams(resamples=100, confidence=0.95, seed=0)
)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def boolq(count: int) -> list[dict[str, Any]]:
    """Labels as SuperGLUE has them: true and false. No two questions share a passage."""
    return [
        {
            "question": f"is the {THINGS[i % 8]} number {i} broken",
            "passage": f"Customer: my {THINGS[i % 8]} {i} is {'broken' if i % 3 else 'late'}. Agent: sorry.",
            "label": i % 3 != 0,
        }
        for i in range(count)
    ]


def sst2(count: int) -> list[dict[str, Any]]:
    """Labels as many files have them: texts of numbers."""
    words = ["works well", "is broken"]
    return [{"sentence": f"the {THINGS[i % 8]} {words[i % 2]} {i}", "label": str(1 - i % 2)} for i in range(count)]


def mmlu(count: int, subject: str) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject,
            "question": f"Which thing is number {i} of {subject}?",
            **dict(zip("ABCD", THINGS[:4], strict=True)),
            "answer": "ABCD"[i % 4],
        }
        for i in range(count)
    ]
