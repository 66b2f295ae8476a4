"""``inference.json``: how the test rows of an experiment were answered, and how its model answers ever after."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field

from tasks import files
from tasks.evaluate.params import GenerationParams
from tasks.evaluate.shots import Shots
from tasks.params import Params, parse
from tasks.rows import Row
from tasks.template.stored import SourceTemplates, of_texts, prompts_of

NAME = "inference.json"

IDENTITY = "evaluation.inference_sha256"
"""Parameter of an MLflow run that tells how its model answers (``identity``)."""


class TemplateUse(Params):
    """One template of the test rows.

    Attributes:
        rows: test rows that were rendered with it.
        validation_loss_per_byte: of the validation rows in this template; None where there is none.
        examples: solved training rows before each prompt: ``row_id``, ``prompt`` and ``completion``.
    """

    rows: int
    validation_loss_per_byte: float | None
    examples: list[dict[str, str]]


class Inference(Params):
    """What was evaluated.

    Attributes:
        version: of this file's format.
        experiment: name.
        key: of the model (``manifest.json``).
        shots: examples in each prompt.
        generation: settings that the answers were generated with.
        threads: processor threads; sums depend on their number.
        fingerprint: of the rendering: ``value`` and ``fields`` (``tasks.rendering.fingerprint``).
        sources: source → its templates.
        templates: ``SOURCE/ID`` → how the test rows used it.
        order: their names, in the order in which a row that names no template tries them (``ranked``).
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
        """That of a model folder; of a model that was registered before there was one, what its manifest tells."""
        path = folder / NAME
        return cls.read(path) if path.exists() else cls.of_manifest(manifest)

    @classmethod
    def of_manifest(cls, manifest: dict[str, Any]) -> Inference:
        return cls(experiment=manifest["experiment"], key=manifest["key"], fingerprint=manifest["fingerprint"])


def identity(written: dict[str, Any]) -> str:
    """A hash of what decides how the model of an ``inference.json`` answers: no counts and no measurements."""
    uses = {name: use["examples"] for name, use in written["templates"].items()}
    measured = {"templates": uses, "experiment": None}
    return files.digest(written | measured)


def params_of(written: dict[str, Any]) -> dict[str, Any]:
    """What MLflow shows of an ``inference.json`` as parameters of the run."""
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
    """What ``evaluate@X`` writes.

    Args:
        test: the test rows (columns: ``RENDERED``).
        losses: ``SOURCE/ID`` → loss of its validation completions in nats per byte.
        sources: ``templates.json`` of the evaluation set; the texts of the test rows stand in for what it lacks.
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
    """The templates of a source that test rows used, the one to prefer first.

    Those of the task of the set's first template come first: others ask for something else, such as a review for a
    rating. Among those of one task the validation loss decides, where all of them have one; else the order of the set.
    """
    known = [prompt for prompt in prompts_of(name, source) if used[prompt.name]]
    tasks = list(dict.fromkeys(prompt.task for prompt in known))
    order = []
    for task in tasks:
        mine = [prompt.name for prompt in known if prompt.task == task]
        order += sorted(mine, key=lambda one: losses[one]) if all(one in losses for one in mine) else mine
    return order
