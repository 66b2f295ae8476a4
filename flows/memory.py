"""``tunesmith plan --memory``: what the training of every experiment takes, side by side, before any of them runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from rich.table import Table

from tasks.base_models import find, load_tokenizer
from tasks.files import read_rows
from tasks.params import load
from tasks.paths import Paths
from tasks.rendering import Renderer
from tasks.train.contract import encode_rows
from tasks.train.memory.plan import plan_training
from tasks.train.memory.simulate import PARTS, Step
from tasks.train.params import TrainParams


def plan_memory(root: Path, experiments: list[str], say: Callable[[str], None]) -> dict[str, Step]:
    """Experiment → its step; those that train nothing are left out. Their mixtures must be built."""
    paths = Paths(root)
    found: dict[str, Step] = {}
    for name in experiments:
        params = load(TrainParams, paths.experiment(name) / "train.yaml")
        if params.training is None:
            continue
        say(f"computing a training step of {name} without weights")
        base = find(params.base_model, root)
        renderer = Renderer(load_tokenizer(base), base.kind)
        rows = read_rows(paths.mixture(params.mixture) / "train.parquet")
        found[name] = plan_training(params, base, encode_rows(rows, renderer, params, "train")[0])
    return found


def show_memory(found: dict[str, Step]) -> Table:
    """MB by part; the sum at the moment that takes most stands in the last lines."""
    table = Table("training memory, MB", *found, title="largest batch, no weights read", title_justify="left")

    def line(label: str, values: list[int]) -> None:
        table.add_row(label, *(f"{value / 1e6:,.0f}" for value in values))

    line("weights", [step.weights for step in found.values()])
    for part in PARTS:
        line(f"{part}, at most", [step.held[part] for step in found.values()])
    line("beside the weights, at once", [step.increment for step in found.values()])
    line("in all", [step.weights + step.increment for step in found.values()])
    table.add_row("trained", *(f"{100 * step.trainable / step.total:.3g} %" for step in found.values()))
    table.caption = f"This machine has {available() / 1e6:,.0f} MB free; Python and its libraries come on top."
    return table


def available() -> int:
    """Bytes free on the GPU where there is one, else of this machine's memory."""
    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else int(psutil.virtual_memory().available)
