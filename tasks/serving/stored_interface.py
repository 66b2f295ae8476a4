"""The interface that stored models of earlier versions use: ``Answerer``, ``of_row`` and ``answer``.

MLflow stores a registered model with its own copy of ``serving_model.py``. If the process has already imported today's
code, the imports of that copy lead here (``tasks.serving.moved``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.evaluate.evaluated_model import EvaluatedModel, PromptRenderer, RenderedPrompt
from tasks.inference.generate import Generated
from tasks.text.rows import Row


@dataclass(frozen=True)
class Questions:
    """``PromptRenderer`` by its earlier interface."""

    prompts: PromptRenderer

    def of_row(self, row: Row, where: str) -> RenderedPrompt:
        """See ``PromptRenderer.render_row``."""
        return self.prompts.render_row(row, where)


@dataclass(frozen=True)
class Answerer:
    """``EvaluatedModel`` by its earlier interface."""

    model: EvaluatedModel

    @classmethod
    def load(cls, folder: Path, root: Path | None = None) -> Answerer:
        """See ``EvaluatedModel.load``."""
        return cls(EvaluatedModel.load(folder, root=root))

    @property
    def questions(self) -> Questions:
        return Questions(self.model.prompts)

    def answer(self, questions: list[RenderedPrompt]) -> list[Generated]:
        """See ``EvaluatedModel.generate``."""
        return self.model.generate(questions)
