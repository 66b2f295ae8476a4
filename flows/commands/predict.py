"""``tunesmith predict``: generate completions of a text or a file of rows, with the settings of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.commands.predict_journal import Done, journal
from flows.commands.registered import registered_model
from tasks.core import files
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.paths import Paths
from tasks.evaluate.evaluated_model import EvaluatedModel, PromptRenderer, RenderedPrompt
from tasks.evaluate.inference_settings import Inference, identity
from tasks.evaluate.predictions import INFERENCE
from tasks.inference.generate import Generated
from tasks.ingest.tables import columns_of, read_table, refuse_unwritable, refuse_unwritten, write_table
from tasks.model.registered import is_registered
from tasks.registry.decisions import decision_on
from tasks.resolve.check import mapping
from tasks.text.rows import Row
from tasks.tuning.load import SharedBase

Say = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """A model before it is loaded: ``name`` as the user gave it, its folder, and how it was evaluated."""

    name: str
    folder: Path
    inference: Inference
    prompts: PromptRenderer


def predict_text(
    root: Path, names: Sequence[str], text: str, template: str | None, say: Say, note: Say
) -> dict[str, str]:
    """Generate one completion per model for one text; return them by the model's name.

    The text is rendered with ``template``, or with the model's first template that needs one column.

    Args:
        names: experiments, or ``models:/NAME@ALIAS``.
        say: gets each step that takes a while.
        note: gets what the user must know about the result.

    Raises:
        TunesmithError: no such model, the text is empty, or the template needs several columns.
    """
    completions: Done = {}
    with ExitStack() as stack:
        models = [_model(root, name, stack, note) for name in names]
        prompts = {model.name: [model.prompts.render_text(text, template)] for model in models}
        for name, number, generated in _generate(root, models, prompts, completions, say, note):
            completions[name, number] = generated
    return {name: completions[name, 0].text for name in names}


def predict_file(
    root: Path, names: Sequence[str], source: Path, target: Path, template: str | None, say: Say, note: Say
) -> int:
    """Generate a completion of every row of ``source``, and write the rows with ``template``, ``completion`` and
    ``finished`` to ``target``. Several models give one row per model, with its name in ``experiment``. The files'
    endings decide their formats.

    A row with ``prompt`` is used as it is; other rows hold the columns of a template (names as in the source). All rows
    are checked before a model is loaded. If the command is interrupted, the same command resumes with the rows that
    have no completion yet. Returns the number of rows of ``source``.

    Raises:
        TunesmithError: as ``predict_text``; a row has no text or lacks columns.
    """
    refuse_unwritten(target)
    numbered = read_table(source)
    refuse_unwritable(target, numbered, source)
    rows = [row for _, row in numbered]
    own = ["template", "completion", "finished"]
    if len(names) > 1 and (line := next((line for line, row in numbered if "experiment" in row), None)):
        raise TunesmithError(
            f"{source}:{line}: with several experiments the column `experiment` must be free for their names; the row "
            "has one; rename it, or predict with one experiment at a time"
        )
    with ExitStack() as stack:
        models = [_model(root, name, stack, note) for name in names]
        prompts = {model.name: _prompts(model, numbered, source, template) for model in models}
        if replaced := [name for name in columns_of(rows) if name in own]:
            note(f"{source}: the output has its own {', '.join(replaced)} instead of the input's")
        with journal(target, _identity(source, models, prompts)) as kept:
            if kept.done:
                note(f"{target}: completions kept from an interrupted run: {len(kept.done)}")
            try:
                for name, index, generated in _generate(root, models, prompts, kept.done, say, note):
                    kept.add(name, index, generated)
            except (KeyboardInterrupt, SystemExit):  # Ctrl-C or SIGTERM
                note(
                    f"{target}: interrupted; completions kept: {len(kept.done)}; run the same command again to "
                    "generate the rest"
                )
                raise
            written: list[Row] = []
            for number, row in enumerate(rows):
                for name in names:
                    completion, prompt = kept.done[name, number], prompts[name][number]
                    experiment = {"experiment": name} if len(names) > 1 else {}
                    values = (prompt.template, completion.text, completion.finished)
                    written.append(row | experiment | dict(zip(own, values, strict=True)))
            write_table(target, written)
    return len(rows)


def _identity(source: Path, models: list[Model], prompts: dict[str, list[RenderedPrompt]]) -> dict[str, Any]:
    """What the completions of a file depend on."""
    return {
        "input": files.sha256(source),
        "models": {model.name: [model.inference.key, identity(model.inference.model_dump())] for model in models},
        "templates": {name: files.digest([one.template for one in rendered]) for name, rendered in prompts.items()},
    }


_MOST_LINES = 10


def _prompts(model: Model, rows: list[tuple[int, Row]], source: Path, template: str | None) -> list[RenderedPrompt]:
    """The prompt of every row.

    Raises:
        TunesmithError: rows have no text or lack columns; one line per row, for the first ten.
    """
    prompts, errors = [], []
    for line, row in rows:
        try:
            prompts.append(model.prompts.render_row(row, f"{source}:{line}", template))
        except TunesmithError as error:
            errors.append(str(error))
    if errors:
        more = len(errors) - _MOST_LINES
        lines = errors[:_MOST_LINES] + (
            [f"{source}: {more} more {'row' if more == 1 else 'rows'} cannot be used"] if more > 0 else []
        )
        raise TunesmithError("\n".join(lines))
    return prompts


def _generate(
    root: Path, models: list[Model], prompts: dict[str, list[RenderedPrompt]], done: Done, say: Say, note: Say
) -> Iterator[tuple[str, int, Generated]]:
    """Yield (model, number of the prompt, completion) of the prompts that are not in ``done``."""
    shared = SharedBase() if len(models) > 1 else None
    for model in models:
        missing = [number for number in range(len(prompts[model.name])) if (model.name, number) not in done]
        if not missing:
            continue
        say(f"loading {model.name}")
        loaded = EvaluatedModel.load(model.folder, model.inference, root, shared)
        note(f"{model.name}: {_how(model, prompts[model.name])}")
        for index, generated in loaded.stream([prompts[model.name][number] for number in missing]):
            yield model.name, missing[index], generated


def _how(model: Model, prompts: list[RenderedPrompt]) -> str:
    used = list(dict.fromkeys(prompt.template for prompt in prompts if prompt.template))
    examples = max(len(prompt.examples) for prompt in prompts)
    templates = f"template {', '.join(used)}" if used else "no template: the text as it is"
    of = f" ({len(model.prompts.templates)} known)" if len(model.prompts.templates) > 1 else ""
    return templates + of + (f", {counted(examples, 'example')} in the prompt" if examples else "")


def _model(root: Path, name: str, stack: ExitStack, note: Say) -> Model:
    """The model of an experiment, or a registered one, with the settings of its evaluation.

    Raises:
        TunesmithError: no experiment or registered model has this name, or it was not evaluated since it was trained.
    """
    paths = Paths(root)
    if is_registered(name):
        folder = stack.enter_context(registered_model(paths, name, note))
        manifest = files.read_json(folder / "manifest.json")
        inference = Inference.of_folder(folder, manifest)
    else:
        folder = paths.model(name)
        inference = _evaluated(paths, name)
        manifest = files.read_json(folder / "manifest.json")
        _note_refusal(paths, name, manifest["key"], note)
    return Model(name, folder, inference, PromptRenderer.of(name, inference, manifest.get("templates") or {}))


def _evaluated(paths: Paths, name: str) -> Inference:
    known = mapping(paths.params / "experiments.yaml", "experiments")
    if name not in known:
        raise TunesmithError(
            f"predict: no experiment {name!r} in params/experiments.yaml; there are: {', '.join(known)}"
            f"{did_you_mean(name, known)}"
        )
    manifest, path = paths.model(name) / "manifest.json", paths.report(name) / INFERENCE
    for needed in (manifest, path):
        if not needed.exists():
            raise TunesmithError(
                f"{needed}: no such file; `predict` uses the settings of the evaluation, so `{name}` must be "
                f"trained and evaluated first: `tunesmith run --experiment {name}`"
            )
    inference = Inference.read(path)
    if inference.key != files.read_json(manifest)["key"]:
        raise TunesmithError(
            f"{path}: must belong to the model in {manifest.parent}; it belongs to another one; evaluate with "
            f"`tunesmith run --experiment {name}`"
        )
    return inference


def _note_refusal(paths: Paths, name: str, key: str, note: Say) -> None:
    decision = decision_on(paths, key)
    if decision is not None and not decision["accepted"]:
        reasons = "; ".join(decision["reasons"] or [decision["summary"]])
        who = decision.get("by", "the gate")
        verdict = {
            "undecided": "the gate could not decide on this model",
            "awaiting": "this model has awaited a person's approval since it passed the gate",
            "rejected": f"{who} rejected this model",
        }.get(str(decision.get("verdict")), "the gate refused this model")
        note(f"{name}: {verdict} at {decision['time']}: {reasons}")
