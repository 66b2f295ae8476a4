"""What the measurements of training share: rows of DialogSum, parameters of a method, a trainer outside the DAG."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

from tasks.core.params import merge, read_yaml
from tasks.model.base_models import EMBEDDED, BaseModel, BaseModelParams, find, load_tokenizer
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.template.environment import ENVIRONMENT
from tasks.template.library import library_of, load_set
from tasks.train.trainer import CompletionTrainer
from tasks.tuning.params import TrainedParams, parse_trained
from tasks.tuning.prepare import prepare
from tasks.tuning.sampling import optimizer_steps

ROOT = Path(__file__).parents[1]


def embedded() -> tuple[BaseModel, Renderer]:
    base = find(BaseModelParams(name=EMBEDDED), ROOT)
    return base, Renderer(load_tokenizer(base), base.kind)


def machine() -> str:
    """What computes here: the GPU, or the processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def texts_of(path: Path) -> list[tuple[str, str]]:
    """(prompt, summary) of each row of a JSONL file of dialogues; the template is ``summarise``."""
    (template,) = (t for t in load_set("dialogue_summary", library_of(ROOT)).templates if t.id == "summarise")
    prompt = ENVIRONMENT.from_string(template.text)
    with path.open(encoding="utf-8") as file:
        return [(prompt.render(row).strip(), row["summary"].strip()) for row in map(json.loads, file)]


def rows_of(path: Path, renderer: Renderer) -> list[Encoded]:
    """As tokens, however many: ``max_length`` is not applied."""
    return [renderer.encode(prompt, summary) for prompt, summary in texts_of(path)]


def params_of(method: str, patch: dict[str, Any]) -> TrainedParams:
    """The defaults of ``method`` with ``patch`` laid over."""
    defaults = read_yaml(ROOT / "params/training.yaml")
    merged = merge(merge(defaults["defaults"], defaults["methods"][method]), patch)
    return parse_trained(merged | {"method": method, "mixture": "dialogsum"}, "params/training.yaml")


def trainer_of(
    params: TrainedParams,
    base: BaseModel,
    renderer: Renderer,
    train: list[Encoded],
    watched: list[Encoded],
    folder: Path,
) -> CompletionTrainer:
    """A trainer outside the DAG; its checkpoints lie in ``folder``."""
    return CompletionTrainer(
        model=prepare(base, params, optimizer_steps(train, params.training)),
        train=train,
        validation=watched,
        params=params,
        kind=base.kind,
        pad=renderer.tokenizer.pad_token_id,
        folder=folder,
        callbacks=[],
        labelled=False,
    )
