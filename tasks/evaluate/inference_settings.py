"""``inference.json``: how an experiment was evaluated, so that its model generates in the same way everywhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.core import files
from tasks.core.params import Params, parse
from tasks.evaluate.predictions import INFERENCE
from tasks.evaluate.shots import Shots
from tasks.inference.params import GenerationParams
from tasks.template.stored import SourceTemplates, of_texts, prompts_of
from tasks.text.rows import Row

IDENTITY = "evaluation.inference_sha256"
"""Parameter of an MLflow run: the hash of the settings with which its model generates (``identity``)."""


class TemplateUse(Params):
    """How the test rows used one template.

    Attributes:
        rows: number of test rows that were rendered with it.
        validation_loss_per_byte: loss on the validation rows with this template, in nats per byte; None without any.
        examples: solved training rows before each prompt: ``row_id``, ``prompt`` and ``completion``.
    """

    rows: int
    validation_loss_per_byte: float | None
    examples: list[dict[str, str]]


class Inference(Params):
    """How a model was evaluated.

    Attributes:
        version: version of this file's format.
        experiment: name of the experiment.
        key: key of the model (``manifest.json``).
        shots: number of examples per prompt.
        generation: settings of generation.
        threads: processor threads; floating-point sums depend on their number.
        fingerprint: fingerprint of the rendering: ``value`` and ``fields`` (``tasks.model.rendering.fingerprint``).
        sources: source → its templates.
        templates: ``SOURCE/ID`` → how the test rows used it.
        order: names of ``templates``, in the order in which they are tried for a row that names none (``ranked``).
    """

    version: int = 1
    experiment: str
    key: str | None
    shots: int = 0
    generation: GenerationParams = GenerationParams()
    threads: int | None = None
    fingerprint: dict[str, Any]
    sources: dict[str, SourceTemplates] = Field(default_factory=dict)
    templates: dict[str, TemplateUse] = Field(default_factory=dict)
    order: list[str] = Field(default_factory=list)

    def write(self, path: Path) -> None:
        files.write_json(path, self.model_dump())

    @classmethod
    def read(cls, path: Path) -> Inference:
        return parse(cls, files.read_json(path), path)

    @classmethod
    def of_folder(cls, folder: Path, manifest: dict[str, Any]) -> Inference:
        """Read ``inference.json`` of a model folder; models registered by earlier versions have only a manifest."""
        path = folder / INFERENCE
        return cls.read(path) if path.exists() else cls.of_manifest(manifest)

    @classmethod
    def of_manifest(cls, manifest: dict[str, Any]) -> Inference:
        """Default settings, for a model without a record of its evaluation."""
        return cls(experiment=manifest["experiment"], key=manifest["key"], fingerprint=manifest["fingerprint"])


def identity(written: dict[str, Any]) -> str:
    """Hash the parts of an ``inference.json`` that decide on the completions: all but counts, losses and the name."""
    examples = {name: use["examples"] for name, use in written["templates"].items()}
    return files.digest(written | {"templates": examples, "experiment": None})


def params_of(written: dict[str, Any]) -> dict[str, Any]:
    """The content of an ``inference.json`` as parameters of an MLflow run."""
    return {
        "evaluation.shots": written["shots"],
        "evaluation.templates": written["order"],
        "evaluation.generation": written["generation"],
        IDENTITY: identity(written),
    }


def evaluated(
    manifest: dict[str, Any],
    fingerprint: dict[str, Any],
    test: list[Row],
    losses: dict[str, float],
    shots: Shots,
    generation: GenerationParams,
    threads: int,
    sources: dict[str, SourceTemplates],
) -> Inference:
    """The ``inference.json`` that ``predict@X`` writes.

    Args:
        test: the test rows (columns: ``RENDERED``).
        losses: ``SOURCE/ID`` → loss of its validation completions in nats per byte.
        sources: ``templates.json`` of the evaluation set; a source that it lacks gets the texts in its test rows.
    """
    texts: dict[str, dict[str, str]] = {}
    for row in test:
        texts.setdefault(row["source"], {})[row["template_id"]] = row["template"]
    sources = {name: sources.get(name) or of_texts(name, texts[name]) for name in sorted(texts)}
    counts = Counter(f"{row['source']}/{row['template_id']}" for row in test)
    return Inference(
        experiment=manifest["experiment"],
        key=manifest["key"],
        shots=shots.count,
        generation=generation,
        threads=threads,
        fingerprint=fingerprint,
        sources=sources,
        templates={
            name: TemplateUse(
                rows=count, validation_loss_per_byte=losses.get(name), examples=shots.shown().get(name, [])
            )
            for name, count in sorted(counts.items())
        },
        order=[name for source in sources for name in ranked(source, sources[source], counts, losses)],
    )


def ranked(name: str, source: SourceTemplates, used: Counter[str], losses: dict[str, float]) -> list[str]:
    """Order the templates that the test rows of a source used, the preferred one first.

    The first template's task comes first, since templates of other tasks ask for something else, such as a review
    instead of its rating. Within a task the lowest validation loss comes first; if a template has no loss, the task
    keeps the order of the template set.
    """
    known = [prompt for prompt in prompts_of(name, source) if used[prompt.name]]
    tasks = list(dict.fromkeys(prompt.task for prompt in known))
    order = []
    for task in tasks:
        names = [prompt.name for prompt in known if prompt.task == task]
        order += sorted(names, key=losses.__getitem__) if all(name in losses for name in names) else names
    return order
