"""A model that generates as it was evaluated, for ``tunesmith predict`` and for serving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.core import device, files
from tasks.core.errors import TunesmithError
from tasks.evaluate import canary
from tasks.evaluate.inference_settings import Inference
from tasks.evaluate.predictions import CANARY
from tasks.evaluate.shots import Example, fitted
from tasks.inference.generate import Generated
from tasks.inference.params import GenerationParams, SamplingParams
from tasks.inference.predict import Predictor, read_manifest
from tasks.model.registered import files_hash
from tasks.template.conversation import prompt_of
from tasks.template.environment import plain
from tasks.template.stored import Prompt, of_texts, prompts_of
from tasks.text.rows import Row, without_nan
from tasks.tuning.load import SharedBase

RENDERED_PROMPT = "prompt"
"""Column that holds an already rendered prompt."""

MESSAGES = "messages"
"""Column that holds a conversation."""


@dataclass(frozen=True)
class RenderedPrompt:
    """One prompt for a model.

    Attributes:
        template: ``SOURCE/ID``; None if the model knows no template.
        text: the rendered prompt; of a conversation, its messages as text.
        examples: (prompt, completion) pairs that precede it.
        messages, tools: of a conversation, as in a rendered row (``tasks.text.rows.RENDERED``).
    """

    template: str | None
    text: str
    examples: list[Example]
    messages: str | None = None
    tools: str | None = None

    def row(self) -> Row:
        """The columns that ``Renderer.prompt_row`` reads."""
        return {"prompt": self.text, "messages": self.messages, "tools": self.tools}


@dataclass(frozen=True)
class PromptRenderer:
    """Renders rows and texts as prompts of one model.

    Attributes:
        model: name of the model, for errors.
        templates: ``SOURCE/ID`` → template, in the order in which they are tried for a row: first the test rows'
            templates, then the others of training.
        examples: ``SOURCE/ID`` → examples before each prompt.
    """

    model: str
    templates: dict[str, Prompt]
    examples: dict[str, list[Example]]

    @classmethod
    def of(cls, model: str, inference: Inference, trained: Mapping[str, str]) -> PromptRenderer:
        """Collect the templates of ``inference``, and those of ``trained`` (``templates`` of the manifest)."""
        known = {one.name: one for name, source in inference.sources.items() for one in prompts_of(name, source)}
        templates = {name: known[name] for name in inference.order}
        others: dict[str, dict[str, str]] = {}
        for name, text in trained.items():
            source, _, template = name.rpartition("/")
            if name not in templates:
                others.setdefault(source, {})[template] = text
        for source, texts in others.items():
            stored = [known[f"{source}/{i}"] for i in texts if f"{source}/{i}" in known]
            text_only = {i: text for i, text in texts.items() if f"{source}/{i}" not in known}
            parsed = prompts_of(source, of_texts(source, text_only)) if text_only else []
            templates |= {one.name: one for one in [*stored, *parsed]}
        examples = {
            name: [(one["prompt"], one["completion"]) for one in use.examples]
            for name, use in inference.templates.items()
        }
        return cls(model, templates, examples)

    def refuse_unknown(self, template: str | None) -> None:
        """Raise TunesmithError if the model does not know ``template``; None is allowed."""
        if template is not None and template not in self.templates:
            raise TunesmithError(
                f"predict: {self.model} knows no template {template!r}; it knows: {', '.join(self.templates) or 'none'}"
            )

    def render_text(self, text: str, template: str | None = None) -> RenderedPrompt:
        """Render a text with the named template, or with the first one that needs a single column or is a conversation.

        In a conversation, the text is the only message.

        Raises:
            TunesmithError: the text is blank, the template is unknown, or every template needs more columns.
        """
        if not text.strip():
            raise TunesmithError("predict: the text must not be empty; give one to generate from")
        self.refuse_unknown(template)
        if not self.templates:
            return RenderedPrompt(None, text, [])
        candidates = [self.templates[template]] if template else list(self.templates.values())
        single = next((prompt for prompt in candidates if prompt.conversational or len(prompt.columns) == 1), None)
        if single is None:
            raise TunesmithError(
                f"predict: template {candidates[0].name} needs the columns {', '.join(candidates[0].columns)}; give "
                "rows with --input"
            )
        if single.conversational:
            rendered = prompt_of([{"role": "user", "content": text}], None, "the text")
        else:
            rendered = single.render({single.columns[0]: text}, "the text")
        return self._with_examples(single, rendered, "the text")

    def render_row(self, row: Row, where: str, template: str | None = None) -> RenderedPrompt:
        """Render a row that has the columns of a template, or take its ``messages`` or its rendered ``prompt``.

        The template is ``template``; else the one that the row names (in ``template``, or in ``source`` and
        ``template_id`` as in the evaluation set); else the first whose columns the row has. If the row is rendered
        already, the template only decides which examples precede it. A row with ``messages`` (and ``tools``) is a
        conversation, unless it names a template of prompts; an assistant message at its end is not shown.

        Args:
            where: file and line of the row, for errors.

        Raises:
            TunesmithError: the row has no text or lacks columns, or the template is unknown.
        """
        self.refuse_unknown(template)
        named = template or self._named(row)
        if self._is_conversation(row, named):
            return self._conversation(row, where, named)
        rendered = self._rendered(row)
        if rendered is not None or not self.templates:
            if rendered is None:
                raise TunesmithError(
                    f"{where}: {self.model} knows no template, so a row needs `prompt` or `messages`; it has "
                    f"{', '.join(row)}"
                )
            prompt = self.templates[named] if named else next(iter(self.templates.values()), None)
            return self._with_examples(prompt, {"prompt": rendered}, where)
        candidates = [self.templates[named]] if named else list(self.templates.values())
        chosen = next((prompt for prompt in candidates if not prompt.lacks(row)), None)
        if chosen is None:
            raise TunesmithError(
                f"{where}: template {candidates[0].name} needs the columns {', '.join(candidates[0].columns)}; the row "
                f"lacks {', '.join(candidates[0].lacks(row))} and has {', '.join(row) or 'none'}; add them, or a "
                "`prompt` or `messages`"
            )
        return self._with_examples(chosen, chosen.render(row, where), where)

    def _is_conversation(self, row: Row, named: str | None) -> bool:
        """Whether the row's ``messages`` are its conversation, and no column of a template of prompts."""
        if not plain(without_nan(row.get(MESSAGES))).strip():
            return False
        if named:
            return self.templates[named].conversational
        return not any(MESSAGES in one.columns for one in self.templates.values() if not one.conversational)

    def _conversation(self, row: Row, where: str, named: str | None) -> RenderedPrompt:
        """Render ``messages`` with a template that takes them and may add a system message; else as they are."""
        candidates = [self.templates[named]] if named else list(self.templates.values())
        chosen = next((one for one in candidates if one.takes_messages and not one.lacks(row)), None)
        if chosen is not None:
            return self._with_examples(chosen, chosen.render(row, where), where)
        rendered = prompt_of(without_nan(row[MESSAGES]), without_nan(row.get("tools")), where)
        return self._with_examples(candidates[0] if candidates else None, rendered, where)

    def _named(self, row: Row) -> str | None:
        names = (row.get("template"), f"{row.get('source')}/{row.get('template_id')}")
        return next((name for name in names if isinstance(name, str) and name in self.templates), None)

    def _rendered(self, row: Row) -> str | None:
        """The row's rendered prompt; None if it has none, or if a template has a column of that name.

        In a table every row has every column, so a row with an empty prompt may still have a template's columns.
        """
        own = any(RENDERED_PROMPT in prompt.columns for prompt in self.templates.values())
        if own or RENDERED_PROMPT not in row:
            return None
        text = plain(without_nan(row[RENDERED_PROMPT]))
        usable = any(not prompt.lacks(row) for prompt in self.templates.values())
        return None if not text.strip() and usable else text

    def _with_examples(self, prompt: Prompt | None, rendered: Row, where: str) -> RenderedPrompt:
        if not rendered["prompt"].strip():
            column = f" in {', '.join(prompt.columns)}" if prompt else ""
            raise TunesmithError(
                f"{where}: a row must have a text; it is empty{column}; fill it in, or leave the row out"
            )
        name = prompt.name if prompt else None
        examples = self.examples.get(name or "", [])
        return RenderedPrompt(name, rendered["prompt"], examples, rendered.get("messages"), rendered.get("tools"))


def refuse_other_weights(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise TunesmithError if the weights in ``folder`` have another hash than their manifest records."""
    recorded = manifest.get("weights_sha256")
    if not recorded:
        return
    now = files_hash(folder)
    if now != recorded:
        raise TunesmithError(
            f"{folder}: the weights must have sha256 {recorded[:12]} (manifest.json); they have {now[:12]}; the files "
            "were changed, damaged or swapped: restore them from the model's MLflow run"
        )


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that generates as it was evaluated: with its templates, examples and generation settings."""

    predictor: Predictor
    inference: Inference
    prompts: PromptRenderer

    @classmethod
    def load(
        cls,
        folder: Path,
        inference: Inference | None = None,
        root: Path | None = None,
        shared: SharedBase | None = None,
    ) -> EvaluatedModel:
        """Load a model folder.

        Args:
            inference: how the model was evaluated; by default ``inference.json`` in the folder.
            folder, root, shared: as for ``Predictor.load``.

        Raises:
            TunesmithError: as ``Predictor.load``; the tokenizer renders prompts differently than in evaluation; the
                weights have another hash than in the manifest; or the model generates differently than its canary.
        """
        manifest = read_manifest(folder)
        refuse_other_weights(folder, manifest)
        inference = inference or Inference.of_folder(folder, manifest)
        if inference.threads:
            device.use_threads(inference.threads)
        predictor = Predictor.load(folder, inference.generation, root, shared)
        predictor.refuse_other_fingerprint(inference.fingerprint)
        if (folder / CANARY).exists():  # of a registered model
            canary.refuse_other_model(predictor, inference, files.read_json(folder / CANARY))
        prompts = PromptRenderer.of(inference.experiment, inference, manifest.get("templates") or {})
        return cls(predictor, inference, prompts)

    def generate(
        self,
        prompts: list[RenderedPrompt],
        generation: GenerationParams | None = None,
        sampling: SamplingParams | None = None,
    ) -> list[Generated]:
        """Generate one completion per prompt, in the same order.

        Args:
            generation: settings in place of those of the evaluation.
            sampling: how to draw the completions; None generates as ``generation`` says.
        """
        predictor = replace(self.predictor, generation=generation or self.predictor.generation)
        return predictor.generate_encoded(_encoded(predictor, prompts), sampling)

    def stream(self, prompts: list[RenderedPrompt]) -> Iterator[tuple[int, Generated]]:
        """As ``generate``: yield (index of the prompt, its completion) as the completions end."""
        return self.predictor.stream_encoded(_encoded(self.predictor, prompts))


def _encoded(predictor: Predictor, prompts: list[RenderedPrompt]) -> list[list[int]]:
    """The prompts as tokens; examples that do not fit beside the longest output are left out."""
    longest = predictor.longest_prompt
    return [fitted(predictor.renderer, one.row(), one.examples, longest)[0] for one in prompts]
