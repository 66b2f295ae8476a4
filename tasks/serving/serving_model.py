"""The registered model. MLflow stores this file, not a pickle; it takes rows or prompts and returns completions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd  # not for type checking alone: MLflow reads the annotation of `predict` when the model runs
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServingModel(PythonModel):
    """Generates as the model was evaluated: with its templates, examples and generation settings.

    ``predict`` takes a data frame with the columns of a source, which the stored templates render, with ``messages``
    and ``tools`` of conversations, or with the column ``prompt``, which holds rendered prompts. Its ``params`` may
    change the settings of generation (``tasks.serving.generation``). If the base model is a folder of a workspace, the
    environment variable ``TUNESMITH_ROOT`` names that workspace; by default it is the current folder.
    """

    def load_context(self, context: PythonModelContext) -> None:
        # MLflow runs this file also when it saves the model, where no weights are wanted.
        from tasks.core.stage import quieten_bitsandbytes

        quieten_bitsandbytes()
        from tasks.evaluate.evaluated_model import EvaluatedModel
        from tasks.model.signatures import verify

        root = Path(os.environ.get("TUNESMITH_ROOT") or Path.cwd())
        folder = Path(context.artifacts["model"]).resolve()
        verify(folder)
        self.model = EvaluatedModel.load(folder, root=root)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, object] | None = None
    ) -> list[str]:
        from tasks.core.errors import TunesmithError
        from tasks.serving.generation import generation_of

        # MLflow drops the columns that the signature lacks. If none is left, it drops the rows too.
        records = model_input.to_dict("records") if len(model_input.columns) else [{}]
        rows = [{str(name): _plain(value) for name, value in row.items()} for row in records]
        try:
            prompts = [self.model.prompts.render_row(row, f"row {n}") for n, row in enumerate(rows, start=1)]
            completions = self.model.generate(prompts, *generation_of(self.model.inference.generation, params or {}))
        except TunesmithError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return [completion.text for completion in completions]


def _plain(value: Any) -> Any:
    """``value`` as plain Python: a list for an array, and None for a missing value of pandas."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if not isinstance(value, list | dict) and pd.isna(value) else value


mlflow.models.set_model(ServingModel())
