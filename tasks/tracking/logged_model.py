"""The LoggedModel of a run: the model as MLflow's pages of models show it, with its metrics per data set.

It holds no weights. The model's files are artifacts of the run, ``runs:/ID/model``: registered versions point there,
also those of earlier versions, and neither a file nor an address has to move. ``README.md`` of the LoggedModel names
that address.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from tasks.tracking.experiment_files import ExperimentFiles
from tasks.tracking.run_params import as_text
from tasks.tracking.tag_names import KEY, NAME

_README = """\
The files of this model are artifacts of its run, in the folder `model`:

- `runs:/{run_id}/model`: the adapter or the full weights, `manifest.json`, and how the model generates
- `models:/NAME/VERSION`: the same files, if the gate accepted the model
"""


def ensure_model(client: MlflowClient, experiment: ExperimentFiles, run: Run) -> LoggedModel:
    """The LoggedModel of the run; create it, or complete it if its creation was interrupted."""
    model = model_of(client, run)
    if model is None:
        model = client.create_logged_model(
            run.info.experiment_id,
            name=experiment.name,
            source_run_id=run.info.run_id,
            tags={NAME: experiment.name, KEY: experiment.key},
            params={name: as_text(value) for name, value in experiment.params().items()},
            model_type=experiment.manifest["method"],
        )
    if str(model.status) != "READY":
        with tempfile.TemporaryDirectory() as folder:
            readme = Path(folder) / "README.md"
            readme.write_text(_README.format(run_id=run.info.run_id), encoding="utf-8")
            client.log_model_artifact(model.model_id, str(readme))
        # The output makes the model appear on the run's page and in the column "Models" of the runs table. MLflow's
        # store refuses it a second time.
        outputs = run.outputs.model_outputs if run.outputs else []
        if model.model_id not in {output.model_id for output in outputs}:
            client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
        model = client.finalize_logged_model(model.model_id, "READY")
    return model


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """The run, also a deleted one; None if `mlflow gc` has removed it, or a version was registered without a run."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def model_of(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The LoggedModel of the run; None if it has none, as runs of untrained models and of earlier versions."""
    condition = f"source_run_id = '{run.info.run_id}'"
    models = client.search_logged_models([run.info.experiment_id], condition)
    return next(iter(models), None)


def link_version(client: MlflowClient, run_id: str, name: str, version: str) -> None:
    """Show on the LoggedModel of the run that it is ``version`` of the registered model ``name``.

    MLflow's SQL store keeps no ``model_id`` of a version, and its server refuses one beside a source in a run. The tag
    that ``mlflow.register_model`` sets is what the pages read.
    """
    run = find_run(client, run_id)
    model = None if run is None else model_of(client, run)
    if model is None:
        return
    versions: list[dict[str, Any]] = json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    entry = {"name": name, "version": str(version)}
    if entry not in versions:
        client.set_logged_model_tags(model.model_id, {MLFLOW_MODEL_VERSIONS: json.dumps([*versions, entry])})
