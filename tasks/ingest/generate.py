"""``generate@S``: the demo's chats → ``data/sources/S/{train,test}.jsonl``."""

import json
import sys
from typing import Any

from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.ingest.demo import generate
from tasks.ingest.params import GeneratedParams


def run(name: str, params: GeneratedParams, paths: Paths, stage: Stage) -> None:
    """Write the generated rows, one JSON object per line, as in a user's file."""
    train, test = generate(seed=params.seed, train_rows=params.train_rows, test_rows=params.test_rows)
    with stage.outputs(paths.source(name)) as (output,):
        output.mkdir()
        for part, rows in {"train": train, "test": test}.items():
            (output / f"{part}.jsonl").write_text(_jsonl(rows), encoding="utf-8")


def _jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    source, here = sys.argv[1], Paths.here()
    main(
        f"generate@{source}",
        lambda stage: run(
            source, load(GeneratedParams, here.params / "sources.yaml", "generated", source), here, stage
        ),
    )
