"""Small files of benchmark rows, made here, and a tiny model under lm-eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.benchmark_rows import SETTINGS, boolq, mmlu, sst2, write_jsonl


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with rows of each suite but risk."""
    folder = tmp_path / "data"
    write_jsonl(folder / "superglue_boolq/val.jsonl", boolq(12))
    write_jsonl(folder / "glue_sst2/dev.jsonl", sst2(10))
    write_jsonl(folder / "mmlu/test.jsonl", [*mmlu(6, "anatomy"), *mmlu(4, "virology")])
    write_jsonl(folder / "mmlu/dev.jsonl", [*mmlu(5, "anatomy"), *mmlu(5, "virology")])
    questions = [{"input": f"not ( {bool(i % 2)} ) is", "target": str(not i % 2)} for i in range(4)]
    write_jsonl(folder / "bigbench_hard/boolean_expressions.jsonl", questions)
    return folder


@pytest.fixture(scope="session")
def lm(tiny_llama: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks.benchmark.harness.model import wrap

    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    return wrap(model, AutoTokenizer.from_pretrained(tiny_llama), "causal", SETTINGS)


@pytest.fixture
def model_folder(tmp_path: Path, tiny_llama: Path) -> Callable[[str], Path]:
    """``models/NAME`` of a workspace in ``tmp_path``: the tiny model as it is."""
    from tasks.core import files
    from tasks.model.base_models import BaseModelParams, find, load_tokenizer
    from tasks.model.fingerprint import fingerprint
    from tasks.model.rendering import Renderer

    def make(name: str) -> Path:
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        base = find(BaseModelParams(name=str(tiny_llama)), tmp_path)
        about = {
            "experiment": name,
            "key": f"key of {name}",
            "method": "none",
            "base_model": base.record(),
            "params": {"mixture": "demo"},
            "fingerprint": fingerprint(Renderer(load_tokenizer(base), base.kind), 128, []),
        }
        files.write_json(folder / "manifest.json", about)
        return folder

    return make
