"""The study of a sweep: Optuna's samplers and pruners, with a parent run in MLflow and a child run per trial.

What a trial samples depends on the seed, the number of ended trials and their results alone. So a sweep that is
repeated on an empty store samples the same values.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from mlflow.optuna.storage import MlflowStorage
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from tasks.core.files import digest
from tasks.sweep.params import Dimension, SweepParams
from tasks.sweep.space import Start, Values, grid, label, unlabelled, whole
from tasks.tracking.client import VARIABLE, Tracker

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)

SWEEP, TRIAL = "tunesmith.sweep", "tunesmith.trial"
"""Tags of the runs of a sweep and of its trials."""

NAMED, REASON = "trial", "reason"
"""Attributes of a trial in Optuna: the name of its stage, and why it was pruned."""

IMPORTANCE_TRIALS = 10
"""Completed trials from which the importance of keys is shown."""


class OrderedStorage(MlflowStorage):
    """``MlflowStorage`` whose trials come in their order, which samplers and pruners may depend on.

    It keeps ended trials, which do not change: reading one takes several calls, and a sampler reads all of them.
    """

    def __init__(self, experiment_id: str) -> None:
        super().__init__(experiment_id)
        self._ended: dict[Any, FrozenTrial] = {}

    def get_trial(self, trial_id: Any) -> FrozenTrial:
        if trial_id in self._ended:
            return self._ended[trial_id]
        trial: FrozenTrial = super().get_trial(trial_id)
        if trial.state.is_finished():
            self._ended[trial_id] = trial
        return trial

    def get_all_trials(
        self, study_id: Any, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return sorted(super().get_all_trials(study_id, deepcopy, states), key=lambda trial: trial.number)

    def create_new_trial(self, study_id: Any, template_trial: FrozenTrial | None = None) -> Any:
        trial_id = super().create_new_trial(study_id, template_trial)
        self.flush_all_batches()  # a run without its parent would be lost if this process were killed
        return trial_id


class Study:
    """The study of one version of a sweep.

    Attributes:
        study: of Optuna.
        run_id: of the parent run in MLflow.
    """

    def __init__(self, params: SweepParams, start: Start, key: str, tracker: Tracker) -> None:
        """Open the study of ``key``, the digest of all that its results depend on; create it if there is none."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._params, self._start, self._client = params, start, tracker.client
        self._space = {name: _distribution(name, one, start) for name, one in params.space.items()}
        with _uri(tracker.uri):
            self._storage = OrderedStorage(tracker.experiment_id)
        name = f"sweep {params.name} {key[:8]}"
        run_id = self._storage.get_study_id_by_name_if_exists(name)
        if run_id is None:
            run_id = str(self._storage.create_new_study([StudyDirection.MINIMIZE], name))
            self._client.set_tag(run_id, SWEEP, params.name)
            for parameter in ("like", "sampler", "pruner", "seed"):
                self._client.log_param(run_id, parameter, getattr(params, parameter))
        self.run_id = run_id
        self.study = optuna.Study(name, self._storage, pruner=_pruner(params))

    def ended(self) -> list[FrozenTrial]:
        """The completed and pruned trials, in order."""
        return self.study.get_trials(deepcopy=False, states=ENDED)

    def recover(self) -> None:
        """Queue the trials that a killed process left running; one with an incomplete sample is marked as failed."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            whole_sample = trial.params.keys() == self._space.keys()
            state = TrialState.WAITING if whole_sample else TrialState.FAIL
            self._storage.set_trial_state_values(trial._trial_id, state)

    def ask(self) -> tuple[Trial, Values]:
        """The next trial and its values: a queued one first."""
        index = len(self.ended())
        self.study.sampler = _sampler(self._params, index)
        queued = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if self._params.sampler == "grid" and not queued:
            point = grid(self._params, self._start)[index]
            self.study.enqueue_trial({key: label(value) for key, value in point.items()})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an upper end that the steps do not reach
            trial = self.study.ask(self._space)
        self._storage.flush_all_batches()
        return trial, self.values(trial.params)

    def name(self, trial: Trial, name: str) -> None:
        """Note the name of the trial's stage, also as the name of its run."""
        trial.set_user_attr(NAMED, name)
        for tag in ("mlflow.runName", TRIAL):
            self._client.set_tag(str(trial._trial_id), tag, name)

    def report(self, trial: Trial, epoch: int, loss: float) -> bool:
        """Report the validation loss after ``epoch``, if it was not before; return whether the trial goes on."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resumed trial reports an epoch again
            trial.report(loss, epoch)
        self._storage.flush_all_batches()  # the training continues after this epoch, also after a kill
        return not trial.should_prune()

    def complete(self, trial: Trial, loss: float) -> None:
        self.study.tell(trial, loss)

    def prune(self, trial: Trial, reason: str) -> None:
        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.PRUNED)

    def queue(self, trial: Trial) -> None:
        """Queue a trial that was interrupted."""
        self._storage.flush_all_batches()
        self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def set_status(self, status: str) -> None:
        """Set the status of the parent run: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self._storage.flush_all_batches()
        if status == "RUNNING":
            self._client.update_run(self.run_id, status)
        else:
            self._client.set_terminated(self.run_id, status)

    def note(self, metrics: dict[str, float], tags: dict[str, str]) -> None:
        """Log results of the sweep to the parent run."""
        for name, value in metrics.items():
            self._client.log_metric(self.run_id, name, value)
        for name, text in tags.items():
            self._client.set_tag(self.run_id, name, text)

    def values(self, params: dict[str, Any]) -> Values:
        """The values of a trial, in the order of the space."""
        values = unlabelled(params, self._params)
        return {key: values[key] for key in self._space if key in values}

    def importances(self) -> dict[str, float] | None:
        """Key → its share of the variation of the loss, the largest first; None with too few completed trials.

        None also if all trials have the same loss.
        """
        complete = [trial for trial in self.ended() if trial.state == TrialState.COMPLETE]
        if len(complete) < IMPORTANCE_TRIALS or len({trial.value for trial in complete}) < 2:
            return None
        return dict(optuna.importance.get_param_importances(self.study))


@contextmanager
def _uri(uri: str) -> Iterator[None]:
    """Set the store for ``MlflowStorage``, which accepts none, without MLflow's global state."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _distribution(key: str, dimension: Dimension, start: Start) -> BaseDistribution:
    if dimension.choices is not None:
        return CategoricalDistribution([label(choice) for choice in dimension.choices])
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None and high is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if whole(key, start):
            return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
        return FloatDistribution(float(low), float(high), log=dimension.log, step=step)


def _sampler(params: SweepParams, index: int) -> optuna.samplers.BaseSampler:
    """A sampler for one trial: a sampler that drew for earlier ones would depend on when the sweep was interrupted."""
    seed = int(digest([params.seed, "trial", index])[:8], 16)
    if params.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=params.startup_trials, constant_liar=False)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(params: SweepParams) -> optuna.pruners.BasePruner:
    if params.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(params.startup_trials, n_warmup_steps=params.warmup_epochs)
