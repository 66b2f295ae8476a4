"""The command line ``tunesmith``: one module per command.

A module here holds a command's options and prints its results. ``flows/commands`` does the work. It is imported only
when the command runs: it loads torch, Prefect or MLflow, and ``tunesmith --help`` should not wait for them.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from flows.cli.backup import backup, restore
from flows.cli.benchmark import benchmark
from flows.cli.champion import approve, challenge, champion, promote, reject, rollback
from flows.cli.clean import clean
from flows.cli.compare import compare
from flows.cli.contamination import contamination
from flows.cli.data import app as data
from flows.cli.deploy import deploy
from flows.cli.doctor import doctor
from flows.cli.experiments import app as experiments
from flows.cli.explain import explain
from flows.cli.forget import forget
from flows.cli.helm import helm
from flows.cli.merge import merge
from flows.cli.plan import plan
from flows.cli.predict import predict
from flows.cli.preferences import app as preferences
from flows.cli.report import report
from flows.cli.reproduce import reproduce
from flows.cli.run import run
from flows.cli.schedule import schedule
from flows.cli.sign import sign
from flows.cli.status import status
from flows.cli.sweep import sweep
from flows.cli.sync import sync
from flows.cli.templates import app as templates
from flows.cli.testset import app as testset
from flows.cli.trigger import trigger
from flows.cli.ui import ui
from flows.cli.worker import worker
from flows.terminal import log_to_stderr
from tasks.core.errors import TunesmithError
from tasks.core.stage import Terminated, quieten_bitsandbytes, readable_errors

_HELP = """Turn raw text data into evaluated, registered instruction-tuned language models.

Prefect runs the pipeline, DVC versions its files, MLflow keeps runs and models. Start with `tunesmith doctor`.
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=_HELP, pretty_exceptions_enable=False)
app.add_typer(data, name="data")
app.add_typer(experiments, name="experiments")
app.add_typer(templates, name="templates")
app.add_typer(preferences, name="preferences")
app.add_typer(testset, name="testset")
for command in (
    doctor,
    plan,
    run,
    sweep,
    status,
    compare,
    report,
    predict,
    champion,
    approve,
    reject,
    promote,
    rollback,
    challenge,
    explain,
    reproduce,
    sign,
    forget,
    merge,
    contamination,
    benchmark,
    helm,
    schedule,
    deploy,
    worker,
    trigger,
    ui,
    sync,
    backup,
    restore,
    clean,
):
    app.command()(command)


def main() -> None:
    """Run the command line. An error that the user can correct is printed in one line per problem, with exit code 1."""
    log_to_stderr()
    for noisy in ("httpx", "alembic", "mlflow", "dvc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    quieten_bitsandbytes()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A script's `tunesmith run &` inherits an ignored SIGINT, which must still end the command and its children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with _one_line_errors():
        app()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        with readable_errors():
            yield
    except TunesmithError as error:
        for line in str(error).splitlines():
            Console(stderr=True, soft_wrap=True).print(f"error: {line}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except Terminated:
        sys.stderr.write("stopped by SIGTERM; what was finished stays\n")
        sys.exit(143)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was finished stays\n")
        sys.exit(130)
