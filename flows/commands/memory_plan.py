"""``tunesmith plan --memory``: the memory that each experiment needs, before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from flows.bases import available_base
from tasks.core.errors import TunesmithError, described
from tasks.core.files import read_rows
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.evaluate.predict_params import PredictParams
from tasks.memory.fit import cheapest_fit, fit_of
from tasks.memory.inference_plan import Generation, plan_generation, plan_merging, smaller_generation
from tasks.memory.params import load_limits
from tasks.memory.simulate import PARTS, Step
from tasks.memory.training_plan import plan_training
from tasks.model.base_models import find_config, load_tokenizer
from tasks.model.chat import CHAT_DATE
from tasks.model.rendering import Renderer
from tasks.train.contract import encode_rows
from tasks.tuning.params import TrainedParams, load_params

Planned = TypeVar("Planned")

_COLOURS = {
    "weights": "#24292f",
    "gradients": "#8c959f",
    "optimizer": "#3a76ad",
    "activations": "#a8cbe6",
    "logits": "#e59c45",
    "cache": "#7a9a4e",
    "temporary": "#f0d9b5",
    "heap": "#d0d7de",
}


@dataclass(frozen=True)
class Plan:
    """The planned memory of one experiment, in bytes by part.

    Attributes:
        training: the largest training step of one process; None if nothing is trained, or it could not be planned.
        generation: the moment of evaluation that needs most, with the base model alone if nothing is trained; None if
            it could not be planned.
        merging: merging of adapters into the weights; None if there are none.
        too_large: the phases that need more than the free memory. Training in several processes is not judged.
        remarks: what the figures leave out, and the cheapest change if training or evaluation does not fit.
    """

    training: Step | None
    generation: Generation | None
    merging: dict[str, int] | None
    too_large: tuple[str, ...]
    remarks: tuple[str, ...]

    def phases(self) -> dict[str, dict[str, int]]:
        """Phase → part → bytes at the moment that takes most."""
        training = {"weights": self.training.weights, **self.training.peak} if self.training else None
        evaluation = self.generation.peak if self.generation else None
        by_phase = {"training": training, "evaluation": evaluation, "merging": self.merging}
        return {phase: parts for phase, parts in by_phase.items() if parts}

    def verdict(self) -> str | None:
        """Whether the planned phases fit into memory; None if none was planned."""
        return f"no: {', '.join(self.too_large)}" if self.too_large else "yes" if self.phases() else None


def plan_memory(
    root: Path, experiments: list[str], say: Callable[[str], None], free: int, config: Path | None = None
) -> dict[str, Plan]:
    """Experiment → memory that it needs, and whether that fits into ``free`` bytes. Their mixtures must be built.

    ``config``: the ``config.json`` of another model, planned in the place of each experiment's base model. The rows
    keep the lengths that the base model's own tokenizer gives them. No weights are read, so the model may be larger
    than this machine.
    """
    plans: dict[str, Plan] = {}
    for name in experiments:
        say(f"computing the steps of {name} without weights")
        plans[name] = _plan(Paths(root), name, free, config)
    return plans


def _plan(paths: Paths, name: str, free: int, config: Path | None) -> Plan:
    params = load_params(paths.experiment(name) / "train.yaml")
    generation = load(PredictParams, paths.experiment(name) / "predict.yaml").generation
    own = available_base(params.base_model, paths.root)
    renderer = Renderer(load_tokenizer(own), own.kind, params.chat_date or CHAT_DATE)
    base = find_config(config) if config else own
    remarks, too_large = [], []

    def tried(phase: str, plan: Callable[[], Planned]) -> Planned | None:
        try:
            return plan()
        except TunesmithError:
            raise
        except Exception as error:  # code of hub models may look at values, which tensors without storage do not have
            remarks.append(f"{phase}: not planned: {described(error)}")
            return None

    def over(phase: str, need: int, advise: Callable[[], str] | None) -> None:
        if need > free:
            too_large.append(phase)
            remarks.extend([f"{phase}: {advise()}"] if advise else [])

    step = merging = None
    if isinstance(params, TrainedParams):
        rows = read_rows(paths.mixture(params.mixture) / "train.parquet")
        encoded = encode_rows(rows, renderer, params, "train")[0]
        step = tried("training", lambda: plan_training(params, base, encoded))
        if params.launcher is not None:
            remarks.append(
                "training is planned as one process; whether several fit is not checked. With ddp each takes this and "
                "its gradients once more, with fsdp its share of weights, gradients and moments"
            )
        elif step:
            fit = fit_of(step, free, load_limits(paths.params / "training.yaml"))
            unchanged = {
                "too_large": "is refused",
                "close": "starts with a warning",
                "fits": "starts",
            }[fit]
            over(
                "training",
                step.total_bytes,
                lambda: f"{cheapest_fit(params, base, encoded, free)}; unchanged, it {unchanged}",
            )
    test = read_rows(paths.evaluation_set / "test.parquet")
    prompts = [len(renderer.prompt_row(row)) for row in test]
    evaluated = tried("evaluation", lambda: plan_generation(params, base, prompts, generation))
    if evaluated:
        need = sum(evaluated.peak.values())
        over("evaluation", need, lambda: smaller_generation(params, base, prompts, generation, evaluated, free))
    if step and isinstance(params, TrainedParams):
        merging = plan_merging(step, params, base, generation.precision)
        over("merging", sum((merging or {}).values()), None)
    return Plan(step, evaluated, merging, tuple(too_large), tuple(remarks))


def show_memory(plans: dict[str, Plan], free: int) -> Table:
    """Show the MB of each part. A sum is that of the moment that takes most; a part may take more at another."""
    table = Table("memory, MB", *plans, title="at most, no weights read", title_justify="left")

    def line(label: str, cell: Callable[[Plan], str | None]) -> None:
        table.add_row(label, *(cell(plan) or "–" for plan in plans.values()))

    def mb(value: float | None) -> str | None:
        return None if value is None else f"{value / 1e6:,.0f}"

    def total(phase: str) -> Callable[[Plan], str | None]:
        return lambda plan: mb(sum(plan.phases()[phase].values())) if phase in plan.phases() else None

    def held(part: str) -> Callable[[Plan], str | None]:
        return lambda plan: mb(plan.training.held[part]) if plan.training else None

    line("trained", lambda p: f"{100 * p.training.trainable / p.training.total:.3g} %" if p.training else None)
    line("training: weights", lambda p: mb(p.training.weights) if p.training else None)
    for part in PARTS:
        line(f"  {part}, at most", held(part))
    line("  besides the weights, at once", lambda p: mb(p.training.increment) if p.training else None)
    line("training in all", total("training"))
    line("evaluation: keys and values", lambda p: mb(p.generation.cache) if p.generation else None)
    line("evaluation in all", total("evaluation"))
    line("merging in all", total("merging"))
    line(f"fits into {free / 1e6:,.0f} MB free", Plan.verdict)
    remarks = [f"{name}: {remark}" for name, plan in plans.items() for remark in plan.remarks]
    table.caption = "\n".join(["Python and its libraries come on top.", *remarks])
    table.caption_justify = "left"
    return table


def draw_memory(plans: dict[str, Plan], free: int, path: Path) -> None:
    """Write a PNG with one stacked bar per phase of each experiment, in GB."""
    bars = [(f"{name}: {phase}", parts) for name, plan in plans.items() for phase, parts in plan.phases().items()]
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 10}):
        figure = Figure(figsize=(10, 1.8 + 0.36 * len(bars)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        ends = [0.0] * len(bars)
        for part, colour in _COLOURS.items():
            sizes = [parts.get(part, 0) / 1e9 for _, parts in bars]
            if any(sizes):
                axes.barh(range(len(bars)), sizes, left=ends, color=colour, label=part)
            ends = [left + size for left, size in zip(ends, sizes, strict=True)]
        for position, total in enumerate(ends):
            axes.annotate(f"{total:.2f}", (total, position), xytext=(4, 0), textcoords="offset points", va="center")
        axes.axvline(free / 1e9, color="#c0392b", linestyle="--", linewidth=1, label=f"free here: {free / 1e9:.1f} GB")
        axes.set_yticks(range(len(bars)), [label for label, _ in bars])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max([free / 1e9, *ends]))
        axes.set_xlabel("GB at the moment that takes most, planned")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", metadata={"Software": None})
