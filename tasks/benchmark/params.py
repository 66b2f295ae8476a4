"""Parameters of benchmarks. This module imports neither torch nor lm-eval."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.params import Params, parse, read_yaml
from tasks.core.paths import Paths
from tasks.metrics.params import IntervalParams

SUITES = ("glue", "superglue", "mmlu", "bigbench", "risk")

Suite = Literal["glue", "superglue", "mmlu", "bigbench", "risk"]
Size = Literal["full", "lite"]


class BenchmarkSettings(Params):
    """``benchmark.settings``: how benchmarks are run, the same for every experiment.

    Attributes:
        size: ``full`` evaluates every row, ``lite`` evaluates ``rows`` rows per task.
        rows: rows per task in size ``lite``, stratified by label.
        seed: seed of the drawn rows, the examples in prompts, and the guessers that scores are compared with.
        shots: task or suite → examples in the prompt, instead of the published number.
        files: task → its file, or split → file (relative to the data folder), if it is not in a folder of the suite.
        revisions: hub data set → commit hash; by default the newest, which the result records.
        batch_size: requests per batch; part of the result, since rounding depends on it.
        chat_template: wrap prompts in the model's chat template. Published scores do not.
        precision: as in ``evaluate.generation``.
        threads: as in ``evaluate``.
        intervals: bootstrap over independent groups of rows.
    """

    size: Size = "lite"
    rows: int = Field(default=100, ge=1)
    seed: int = 0
    shots: dict[str, int] = Field(default_factory=dict)
    files: dict[str, str | dict[str, str]] = Field(default_factory=dict)
    revisions: dict[str, str] = Field(default_factory=dict)
    batch_size: int = Field(default=4, ge=1)
    chat_template: bool = False
    precision: Literal["auto", "bf16", "fp32"] = "fp32"
    threads: int = Field(default=2, ge=1)
    intervals: IntervalParams = IntervalParams()


class PlannedBenchmark(Params):
    """``benchmark.experiments.X``: what the stage ``benchmark@X`` runs.

    Attributes:
        suites: names of suites.
        data: folder of the data files, relative to the workspace; the stage depends on it.
    """

    suites: list[Suite] = Field(min_length=1)
    data: str


class BenchmarkParams(Params):
    """``benchmark`` of ``params/evaluation.yaml``."""

    settings: BenchmarkSettings = BenchmarkSettings()
    experiments: dict[str, PlannedBenchmark] = Field(default_factory=dict)


def read_params(paths: Paths) -> BenchmarkParams:
    """``benchmark`` of ``params/evaluation.yaml``; the defaults if a workspace has no such section."""
    file = paths.params / "evaluation.yaml"
    return parse(BenchmarkParams, read_yaml(file).get("benchmark") or {}, file, "benchmark")
