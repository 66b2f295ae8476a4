"""``tunesmith sweep``: search a space, check the winner on rows that the search did not see, write it as an experiment.

A completed trial is a stage of DVC (``trial@NAME``). The study, with its pruned trials, is in MLflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.commands.build import reproduce
from flows.commands.sweep_trial import Outcome, logger, run_trial
from flows.commands.sweep_winner import write_winner
from flows.preflight import preflight
from flows.subprocesses import allow, stop_all
from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluate.params import EvaluateParams
from tasks.metrics.params import load_verdicts
from tasks.resolve.bases import refuse_missing_bases
from tasks.sweep.channel import Decide
from tasks.sweep.outputs import Result
from tasks.sweep.params import SweepParams
from tasks.sweep.space import Start, Values, load_sweep, shown, trial_count
from tasks.sweep.study import NAMED, REASON, Study
from tasks.sweep.trials_file import add_trial, keep_trials, trial_name, trials_path
from tasks.sweep.verdict import Check, check
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tuning.params import parse_trained

Show = Callable[[str], None]


@dataclass(frozen=True)
class Ended:
    """A trial that ended.

    Attributes:
        number: from 1.
        loss: validation loss of the kept checkpoint; None if the trial was pruned.
        state: ``completed``, or why it was pruned.
        stage: name of its stage.
    """

    number: int
    values: Values
    loss: float | None
    state: str
    stage: str


@dataclass(frozen=True)
class Summary:
    """The outcome of a sweep.

    Attributes:
        like: the starting experiment, and ``start``, its validation loss on the search part.
        trials: in order.
        best: number of the winner.
        importances: of ``Study.importances``.
        check: of the winner, on the check part.
        lines: what was written, and what to run next.
    """

    like: str
    start: float
    trials: list[Ended]
    best: int
    importances: dict[str, float] | None
    check: Check
    lines: list[str]


@dataclass(frozen=True)
class _Sweep:
    """A sweep whose starting experiment is trained.

    Attributes:
        reference: of the starting experiment.
        results: name → result of each trial that completed in this process; DVC need not be asked for it again.
    """

    params: SweepParams
    start: Start
    paths: Paths
    reference: Result
    results: dict[str, Result]

    def train(self, values: Values, decide: Decide) -> Outcome:
        """Train the trial with ``values``, or take its result."""
        trial = self.start.trial(self.params, values)
        name = trial_name(trial)
        if name in self.results:
            return Outcome(self.results[name], None)
        outcome = run_trial(self.paths, trial, decide)
        if outcome.result is not None:
            self.results[name] = outcome.result
        return outcome


def run_sweep(paths: Paths, file: Path, write_anyway: bool, show: Show) -> Summary:
    """Run the sweep of ``file`` to its end, resuming an interrupted one.

    Args:
        write_anyway: write the winner also if the check does not show that it is better.
        show: called with a line per ended trial.

    Raises:
        TunesmithError: the file or the parameters are wrong, or a stage failed.
    """
    preflight(paths)
    params, start = load_sweep(file, paths)
    refuse_missing_bases(paths, [params.like])
    allow()
    try:
        with workspace_lock(paths.root, f"tunesmith sweep {params.name}"):
            tracker = open_store(paths.root)
            base = "no_base" if start.base == "none" else f"base@{start.base}"
            reproduce(paths.root, [f"mix@{start.train['mixture']}", base], logger.warning)
            reference = _reference(paths, params, start, show)
            sweep = _Sweep(params, start, paths, reference, {trial_name(start.trial(params, {})): reference})
            with readable_mlflow(tracker.uri):
                study = Study(params, start, _key(sweep), tracker)
                with _status(study):
                    _search(sweep, study, show)
                    return _finish(sweep, study, write_anyway)
    finally:
        stop_all()


def _reference(paths: Paths, params: SweepParams, start: Start, show: Show) -> Result:
    """Train the starting experiment as a trial, with the same validation rows as every other."""
    outcome = run_trial(paths, start.trial(params, {}), lambda epoch, loss: True)
    if outcome.result is None:
        raise TunesmithError(
            f"{params.like}: the starting experiment diverged; lower its training.learning_rate in "
            "params/experiments.yaml, or name another experiment under `like`"
        )
    show(f"start: {params.like} unchanged, loss {outcome.result.loss:.4f}")
    return outcome.result


def _key(sweep: _Sweep) -> str:
    """Digest of all that the results depend on, code and data included; the number of trials may grow."""
    address = f"trial@{trial_name(sweep.start.trial(sweep.params, {}))}"
    inputs = Stage.start(address, sweep.paths.root).inputs
    return digest([inputs, sweep.params.model_dump(exclude={"trials"})])


@contextmanager
def _status(study: Study) -> Iterator[None]:
    """Set the status of the parent run by how the block ends."""
    study.set_status("RUNNING")
    try:
        yield
    except BaseException as error:
        study.set_status("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    study.set_status("FINISHED")


def _search(sweep: _Sweep, study: Study, show: Show) -> None:
    total = trial_count(sweep.params, sweep.start)
    study.recover()
    if ended := len(study.ended()):
        show(f"{ended} of {total} trials ended in earlier runs")
    while len(study.ended()) < total:
        trial, values = study.ask()
        try:
            _run_one(sweep, study, trial, values)
        except BaseException:
            study.queue(trial)
            raise
        show(_line(sweep, study, total))


def _run_one(sweep: _Sweep, study: Study, trial: Any, values: Values) -> None:
    spec = sweep.start.trial(sweep.params, values)
    name = trial_name(spec)
    study.name(trial, name)
    try:
        parse_trained(spec.train, trials_path(sweep.paths), f"trials.{name}.train")
    except TunesmithError as error:  # values that the method accepts one by one, but not together
        study.prune(trial, f"refused: {error}")
        return
    outcome = sweep.train(values, lambda epoch, loss: study.report(trial, epoch, loss))
    if outcome.result is None:
        study.prune(trial, str(outcome.reason))
        return
    for evaluation in outcome.result.evaluations:
        study.report(trial, evaluation["epoch"], evaluation["validation_loss"])
    study.complete(trial, outcome.result.loss)


def _ended(study: Study) -> list[Ended]:
    return [
        Ended(
            number,
            study.values(trial.params),
            None if (reason := trial.user_attrs.get(REASON)) else trial.value,
            reason or "completed",
            trial.user_attrs.get(NAMED, ""),
        )
        for number, trial in enumerate(study.ended(), start=1)
    ]


def _best(trials: list[Ended]) -> Ended | None:
    return min((t for t in trials if t.loss is not None), key=lambda t: (t.loss, t.number), default=None)


def _line(sweep: _Sweep, study: Study, total: int) -> str:
    """The last ended trial in one line."""
    trials = _ended(study)
    last, best = trials[-1], _best(trials)
    loss = "" if last.loss is None else f"loss {last.loss:.4f}, "
    lead = "none completed yet" if best is None else f"best {best.loss:.4f} (trial {best.number})"
    return f"trial {last.number}/{total}: {shown(last.values)}: {loss}{last.state}; {lead}"


def _finish(sweep: _Sweep, study: Study, write_anyway: bool) -> Summary:
    """Check the winner, write it, and keep the entries of completed trials only."""
    params, start, paths = sweep.params, sweep.start, sweep.paths
    trials = _ended(study)
    best = _best(trials)
    if best is None or best.loss is None:
        raise TunesmithError(
            f"{params.name}: all {len(trials)} trials were pruned, so there is no winner; narrow the space, for "
            "example to lower learning rates"
        )
    completed = {add_trial(paths, start.trial(params, trial.values)) for trial in trials if trial.loss is not None}
    keep_trials(paths, params.name, {*completed, trial_name(start.trial(params, {}))})
    outcome = sweep.train(best.values, lambda epoch, loss: True)
    if outcome.result is None:
        raise TunesmithError(
            f"trial@{best.stage}: it completed before, but trained again it ended early: {outcome.reason}"
        )
    intervals = load(EvaluateParams, paths.params / "evaluation.yaml", "evaluate").intervals
    verdicts = load_verdicts(paths.params / "evaluation.yaml")
    checked = check(outcome.result.checked, sweep.reference.checked, intervals, verdicts)
    study.note(
        {"best_value": best.loss, "start_value": sweep.reference.loss, "check_difference": checked.difference.value},
        {"tunesmith.verdict": checked.line(), "tunesmith.winner": best.stage},
    )
    lines = write_winner(paths, params, start.with_values(best.values), checked, write_anyway)
    return Summary(params.like, sweep.reference.loss, trials, best.number, study.importances(), checked, lines)
