"""``tunesmith plan``: the label contract of every experiment, without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.bases import available_base
from flows.commands.build import bring_up_to_date
from flows.commands.experiments import check_experiments
from flows.new_split import counts, refuse_new_splits
from tasks.core.counted import counted
from tasks.core.files import canonical_json, read_rows
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.metrics.params import load_verdicts
from tasks.model.base_models import load_tokenizer
from tasks.model.chat import CHAT_DATE
from tasks.model.rendering import Renderer
from tasks.resolve.bases import refuse_missing_bases
from tasks.resolve.check import mapping
from tasks.text.rows import group_key
from tasks.train.contract import changed, encode_rows
from tasks.train.limits import check_limits
from tasks.tuning.params import TrainedParams, load_params

Contracts = dict[str, dict[str, Any]]
_READ = {"base_model", "mixture", "max_length", "beyond_context", "max_dropped", "truncate", "chat_date"}
"""Parameters that decide the contract, besides the token budget."""
_SPREAD = ("min", "mean", "median", "p95", "max")


def plan(
    root: Path,
    experiments: list[str] | None,
    say: Callable[[str], None] = lambda line: None,
    new_split: list[str] | None = None,
) -> dict[str, Contracts | None]:
    """Experiment → part → contract (see ``encode_rows``); None for an experiment that trains nothing.

    Brings the mixtures up to date first, as ``dvc repro`` would; no model is trained or loaded.

    Raises:
        TunesmithError: an unknown experiment, a source that would be split anew and is not in ``new_split``, a data
            stage that fails, tokens or a ``max_length`` that a base model cannot read, or a contract that is broken.
    """
    paths = Paths(root)
    known = mapping(paths.params / "experiments.yaml", "experiments")
    requested = experiments or list(known)
    check_experiments(paths, "plan", requested)
    refuse_missing_bases(paths, requested)
    splits = refuse_new_splits(paths, new_split)
    say("bringing the data of " + ", ".join(mixtures_of(paths, requested)) + " up to date")
    stages = ["resolve", *(f"mix@{name}" for name in mixtures_of(paths, requested))]
    bring_up_to_date(root, stages, "tunesmith plan", say)
    for line in counts(paths, splits):
        say(line)
    by_experiment: dict[str, Contracts | None] = {}
    seen: dict[str, Contracts] = {}  # the experiments of a sweep share their tokens
    for name in requested:
        params = load_params(paths.experiment(name) / "train.yaml")
        if not isinstance(params, TrainedParams):
            by_experiment[name] = None
            continue
        key = canonical_json(params.model_dump(include=_READ) | {"token_budget": params.training.token_budget})
        if key not in seen:
            say(f"reading the rows of {params.mixture} as {name} does, token by token")
            seen[key] = _contracts(params, paths, say)
        by_experiment[name] = seen[key]
    return by_experiment


def gate_notes(paths: Paths) -> list[str]:
    """Notes on what keeps the gate from a good decision on the present test rows; known before anything trains."""
    rows = read_rows(paths.evaluation_set / "test.parquet")
    params = load(RegistrationParams, paths.params / "registration.yaml", "registration")
    groups = len({group_key(row) for row in rows})
    notes = []
    if groups < params.min_groups:
        notes.append(
            f"{counted(groups, 'independent group')} of test rows: the gate decides nothing on fewer than "
            f"{params.min_groups} (registration.min_groups); give test a larger share of the split, or add rows"
        )
    notes += gate_differs(paths, params)
    if params.metric.startswith("rouge") and all(row["answer_choices"] for row in rows):
        notes.append(
            f"every test row has answer choices, and the gate decides by {params.metric}; for labels, write "
            "`metric: accuracy` in params/registration.yaml"
        )
    return notes


def gate_differs(paths: Paths, params: RegistrationParams) -> list[str]:
    """A note if the gate decides on fewer, or more, groups of rows than the verdict of every table; else nothing."""
    verdicts = load_verdicts(paths.params / "evaluation.yaml")
    if params.min_groups == verdicts.min_groups:
        return []
    least, most = sorted((params.min_groups, verdicts.min_groups))
    return [
        f"registration.min_groups (params/registration.yaml) is {params.min_groups}, but verdicts.min_groups "
        f"(params/evaluation.yaml) is {verdicts.min_groups}: with {least} to {most - 1} independent groups, gate and "
        "report disagree whether the test rows suffice; set both to the same value"
    ]


def mixtures_of(paths: Paths, experiments: list[str] | None) -> list[str]:
    """The mixtures that these experiments name; those of all when none is given."""
    known = mapping(paths.params / "experiments.yaml", "experiments")
    return sorted({known[name]["mixture"] for name in experiments or known})


def _contracts(params: TrainedParams, paths: Paths, say: Callable[[str], None]) -> Contracts:
    base = available_base(params.base_model, paths.root)
    renderer = Renderer(load_tokenizer(base), base.kind, params.chat_date or CHAT_DATE)
    for note in check_limits(base, renderer, params.max_length, params.beyond_context):
        say(note)
    folder = paths.mixture(params.mixture)
    parts = ("train", "validation")
    return {part: encode_rows(read_rows(folder / f"{part}.parquet"), renderer, params, part)[1] for part in parts}


def show(by_experiment: dict[str, Contracts | None], samples: bool) -> RenderableType:
    """Tables of the contracts; with ``samples``, one decoded row per task with its supervised text marked."""
    shown: list[RenderableType] = []
    alike: dict[str, list[str]] = {}
    for name, contracts in by_experiment.items():
        alike.setdefault(canonical_json(contracts), []).append(name)
    for names in alike.values():
        contracts = by_experiment[names[0]]
        if contracts is None:
            shown.append(Text(f"{', '.join(names)}: trains nothing (method none)\n"))
            continue
        shown.append(_table(", ".join(names), contracts))
        if samples:
            shown += [
                Text(f"\n{task}: one row as the model sees it; [[…]] is what it learns\n{text}\n", style="dim")
                for task, text in contracts["train"]["samples"].items()
            ]
    return Group(*shown)


def _table(title: str, contracts: Contracts) -> Table:
    table = Table("label contract", *contracts, title=title, title_justify="left")

    def line(label: str, cell: Any) -> None:
        table.add_row(label, *(cell(contract) for contract in contracts.values()))

    line("rows", lambda c: f"{c['rows']:,}")
    line("dropped", lambda c: ", ".join(f"{n} {why}" for why, n in c["dropped"].items()) or "none")
    line("prompts cut", lambda c: f"{c['truncated']['rows']} ({c['truncated']['side'] or 'off'})")
    line("tokens", lambda c: f"{c['tokens']:,}")
    line("supervised tokens", lambda c: f"{c['supervised_tokens']:,} ({c['supervised_tokens'] / c['tokens']:.1%})")
    if any(contract["learned_turns"]["max"] > 1 for contract in contracts.values()):
        line(f"learned turns per row: {' / '.join(_SPREAD)}", lambda c: _spread(c["learned_turns"]))
    line("rows with the end token", lambda c: f"{c['end_token_rows']:,} of {c['rows']:,}")
    for side in ("prompt_tokens", "completion_tokens"):
        line(
            f"{side.replace('_', ' ')} per row: {' / '.join(_SPREAD)}",
            lambda c, side=side: _spread(c[side]),
        )
    line("padding in batches", lambda c: f"{c['padding_share']:.1%}")
    if any(contract["changed"] for contract in contracts.values()):
        line("changed on the way", lambda c: "\n".join(changed(c)) or "none")
    return table


def _spread(values: dict[str, float]) -> str:
    return " / ".join(f"{values[key]:.0f}" for key in _SPREAD)
