"""Parameters in ``build/experiments/X/train.yaml``, of experiments that train and of those that do not.

Nothing here imports torch.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from tasks.core.params import Params, parse, read_yaml
from tasks.model.base_models import BaseModelParams
from tasks.tuning import methods

LEAST_BUDGET = 16
"""The smallest token budget of a batch."""


class LoopParams(Params):
    """``training``: the training loop, which is the same for every method.

    Attributes:
        learning_rate: peak of the schedule.
        epochs: passes over the training rows.
        max_steps: steps after which training ends, even within an epoch; None trains all epochs.
        schedule: course of the learning rate after the warm-up.
        warmup_fraction: share of all steps in which the learning rate rises.
        weight_decay: weight decay of AdamW.
        max_grad_norm: norm to which gradients are clipped.
        token_budget: maximum of tokens per batch, with padding, without the virtual tokens of a soft prompt.
        packing: put the rows of a batch into one sequence without padding, so that more fit into ``token_budget``. It
            is switched off with a warning if the model would not predict each row as it does alone.
        activation_checkpointing: compute activations again in the backward pass: less memory, more time.
        accumulation: batches per optimizer step.
        early_stopping_patience: epochs without a better validation loss after which training stops; None never stops.
        precision: ``bf16`` is autocast: trained weights and the optimizer stay fp32, frozen matrices are stored in
            bf16. ``auto`` is ``bf16`` if the processor supports it.
        log_every: steps between two points of the loss curve.
        checkpoint_steps: steps between two checkpoints, besides the one after each epoch; None takes only those.
        checkpoints_kept: recent checkpoints to keep besides the best; if the newest is damaged, training resumes from
            the one before.
    """

    learning_rate: float = Field(gt=0)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    token_budget: int = Field(default=2048, ge=LEAST_BUDGET)
    packing: bool = False
    activation_checkpointing: bool = False
    accumulation: int = Field(default=1, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    log_every: int = Field(default=5, ge=1)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    checkpoints_kept: int = Field(default=2, ge=1)


class LauncherParams(Params):
    """``launcher``: several processes that train one model; see ``docs/distributed.md``.

    Attributes:
        processes: number of processes on all nodes together, each with its own batches; 1 trains in the process of the
            stage.
        strategy: with ``ddp`` each process holds the whole model; with ``fsdp`` a share of every weight, gradient and
            moment.
        nodes: machines over which the processes are spread evenly.
    """

    processes: int = Field(default=1, ge=1)
    strategy: Literal["ddp", "fsdp"] = "ddp"
    nodes: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _spread_evenly(self) -> Self:
        if self.processes % self.nodes:
            raise ValueError(
                f"processes must be a multiple of nodes, since each node runs equally many; {self.processes} is no "
                f"multiple of {self.nodes}; change one of them"
            )
        return self


class ExperimentParams(Params):
    """The parameters that experiments of every method have.

    Attributes:
        method: name of a module of ``tasks/tuning/methods``.
        mixture: name in ``params/mixtures.yaml``.
        base_model: the model that is trained or evaluated.
        max_length: maximum of tokens per training row; part of the rendering fingerprint.
        beyond_context: allow a ``max_length`` above the base model's context, for models that compute positions.
        max_dropped: share of training rows that may be dropped for their length; beyond it the stage fails.
        truncate: side from which the prompt of a row that is too long is cut; None drops such a row.
        chat_date: date (YYYY-MM-DD) that a chat template gets when it reads the clock; part of the rendering
            fingerprint then. None is 2024-07-26.
        threads: CPU threads, divided among the processes of a node; recorded, since sums depend on it.
        seed: seed of initial weights, the order of rows and dropout.
    """

    method: str
    mixture: str
    base_model: BaseModelParams
    max_length: int = Field(default=1024, ge=8)
    beyond_context: bool = False
    max_dropped: float = Field(default=0.05, ge=0, le=1)
    truncate: Literal["left", "right"] | None = None
    chat_date: str | None = None
    threads: int = Field(default=2, ge=1)
    seed: int = 0

    @field_validator("chat_date", mode="before")
    @classmethod
    def _is_a_date(cls, value: Any) -> str | None:
        try:
            return None if value is None else date.fromisoformat(str(value)).isoformat()
        except ValueError:
            raise ValueError(f"must be a date as 2024-07-26; it is {value!r}") from None

    @property
    def processes(self) -> int:
        """Number of processes that train together, on all nodes."""
        return 1

    @property
    def processes_per_node(self) -> int:
        """Number of these processes on each node."""
        return 1


class UntrainedParams(ExperimentParams):
    """Parameters of an experiment that evaluates the base model as it is."""


class TrainedParams(ExperimentParams):
    """Parameters of an experiment that trains. The type of a method adds a field for each of its parameter blocks.

    Attributes:
        training: the training loop.
        launcher: the processes that train; None for a single one.
    """

    training: LoopParams
    launcher: LauncherParams | None = None

    @classmethod
    def blocks(cls) -> dict[str, type[Params]]:
        """The parameter blocks that only some methods have: name → type."""
        own = {name: field for name, field in cls.model_fields.items() if name not in TrainedParams.model_fields}
        return {name: cast("type[Params]", field.annotation) for name, field in own.items()}

    @property
    def processes(self) -> int:
        return self.launcher.processes if self.launcher else 1

    @property
    def processes_per_node(self) -> int:
        return self.launcher.processes // self.launcher.nodes if self.launcher else 1

    @property
    def sharded(self) -> bool:
        """Whether each process holds a share of every weight."""
        return self.launcher is not None and self.launcher.strategy == "fsdp"

    @field_validator("launcher", mode="after")
    @classmethod
    def _drop_a_launcher_of_one(cls, launcher: LauncherParams | None) -> LauncherParams | None:
        """Give the training the key that it has without the block."""
        return None if launcher is None or launcher.processes == 1 else launcher

    @model_validator(mode="after")
    def _shard_only_what_can_be(self) -> Self:
        if self.sharded and not methods.named(self.method).shardable:
            shardable = [name for name in methods.names() if methods.named(name).shardable]
            raise ValueError(
                f"launcher.strategy: fsdp must have one of the methods {', '.join(shardable)}; this is {self.method}. "
                "Use strategy ddp: each process then holds the whole model, of which this method trains few weights"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _complete_blocks(cls, data: Any) -> Any:
        """Fill missing blocks with their defaults, so that a model's record is complete."""
        return {**{block: {} for block in cls.blocks()}, **data} if isinstance(data, dict) else data


class _MethodName(Params):
    method: str

    @field_validator("method", mode="after")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in methods.names():
            raise ValueError(f"must be one of {', '.join(methods.names())}; it is {name!r}")
        return name


def parse_params(data: Any, file: Path | str, key: str = "") -> ExperimentParams:
    """Validate ``data`` (the value at ``key`` of ``file``) as the parameters of an experiment with its method.

    Raises:
        TunesmithError: ``data`` is wrong; the error has one line per problem.
    """
    named = {name: value for name, value in data.items() if name == "method"} if isinstance(data, dict) else data
    method = parse(_MethodName, named, file, key).method
    params: ExperimentParams = parse(methods.named(method).params, data, file, key)
    return params


def parse_trained(data: Any, file: Path | str, key: str = "") -> TrainedParams:
    """As ``parse_params``, for a method that trains."""
    params = parse_params(data, file, key)
    assert isinstance(params, TrainedParams), f"{file}: method {params.method} trains nothing"
    return params


def load_params(path: Path) -> ExperimentParams:
    """Read an experiment's ``train.yaml``.

    Raises:
        TunesmithError: as ``parse_params``.
    """
    return parse_params(read_yaml(path), path)
