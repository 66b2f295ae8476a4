"""The registered model, stored by MLflow as this file (no pickle): prompts in, completions out."""

from __future__ import annotations

from pathlib import Path

import mlflow.models
import pandas as pd  # not for type checking alone: MLflow reads the annotation of `predict` when the model runs
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServingModel(PythonModel):
    """``predict`` takes a frame with the column ``prompt`` (text as the template renders it)."""

    def load_context(self, context: PythonModelContext) -> None:
        # MLflow runs this file also when it saves the model, where no weights are wanted.
        from tasks.evaluate.predict import Predictor

        self.predictor = Predictor.load(Path(context.artifacts["model"]).resolve())

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, object] | None = None
    ) -> list[str]:
        return list(self.predictor.complete([str(prompt) for prompt in model_input["prompt"]]))


mlflow.models.set_model(ServingModel())
