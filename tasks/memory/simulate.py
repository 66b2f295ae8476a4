"""A training step on tensors without storage: what it would take, for any architecture, method and size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tasks.memory.storage_counter import StorageCounter
from tasks.model.unwrap import unwrapped
from tasks.tuning.loss import summed_cross_entropy

PARTS = ("gradients", "optimizer", "activations", "logits", "temporary", "heap")
"""``heap`` is no tensor: what a CPU's resident set holds above them."""


@dataclass(frozen=True)
class Batch:
    """The shape of a batch: ``rows`` of ``width`` input tokens, of which ``supervised`` in all are learnt; an
    encoder-decoder also has ``labels`` a row. Where no row is ``padded`` attention takes a path that holds less."""

    rows: int
    width: int
    supervised: int
    labels: int = 0
    padded: bool = True


@dataclass(frozen=True)
class Step:
    """What a training step takes, in bytes.

    Attributes:
        weights: of the model, adapters included.
        trainable: parameters that are trained.
        total: parameters in all.
        peak: beside the weights, at the moment when it is most, by ``PARTS``.
        held: what each part takes by itself at most, whether that is at the peak or not.
    """

    weights: int
    trainable: int
    total: int
    peak: dict[str, int]
    held: dict[str, int]

    @property
    def increment(self) -> int:
        return sum(self.peak.values())


def training_step(
    prepare: Callable[[], Any],
    batch: Batch,
    kind: str,
    bf16: bool,
    device: str = "cpu",
    change: Callable[[Any], None] = lambda model: None,
) -> Step:
    """The second step of a training, in which the optimizer's states exist already.

    ``prepare`` makes the model with what is trained; it is called where tensors hold nothing. ``device`` is the kind
    whose kernels count. ``change`` may exchange modules of the model before it is used.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            model = prepare().train()
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device(device), _not_packed():
            materialise(model)
            change(model)
            return _simulate(model, batch, kind, bf16)


def _not_packed() -> Any:
    """Whether rows are packed ``transformers`` finds by the values of positions, which are unknown here: it would
    make a mask to be safe."""
    return mock.patch("transformers.masking_utils.find_packed_sequence_indices", lambda positions: None)


def materialise(model: Any) -> None:
    """Fake tensors of this device in the place of meta tensors: only kernels of a device tell what they need."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for group in (module._parameters, module._buffers):
            for name, tensor in group.items():
                if tensor is None or not tensor.is_meta:
                    continue
                if id(tensor) not in made:  # tied weights stay one
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                    parameter = isinstance(tensor, torch.nn.Parameter)
                    made[id(tensor)] = torch.nn.Parameter(empty, tensor.requires_grad) if parameter else empty
                group[name] = made[id(tensor)]


def _simulate(model: Any, batch: Batch, kind: str, bf16: bool) -> Step:
    weights = storage_bytes(tensors_of(model))
    trained = [p for p in model.parameters() if p.requires_grad]
    sizes = sum(p.numel() for p in trained), sum(p.numel() for p in model.parameters())
    counter = StorageCounter()
    for parameter in trained:
        parameter.register_post_accumulate_grad_hook(lambda p: counter.belongs([p.grad], "gradients"))
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    inputs = _inputs(batch, kind)
    with counter:
        _step(model, optimizer, trained, inputs, batch, kind, bf16, counter)
        counter.belongs(_states(optimizer), "optimizer")
        counter.restart()
        _step(model, optimizer, trained, inputs, batch, kind, bf16, counter)
    return Step(
        weights=weights,
        trainable=sizes[0],
        total=sizes[1],
        peak={part: counter.peak[part] for part in PARTS},
        held={part: counter.most[part] for part in PARTS},
    )


def _step(
    model: Any,
    optimizer: torch.optim.Optimizer,
    trained: list[Any],
    inputs: dict[str, Any],
    batch: Batch,
    kind: str,
    bf16: bool,
    counter: StorageCounter,
) -> None:
    with torch.autocast(inputs["input_ids"].device.type, dtype=torch.bfloat16, enabled=bf16):
        with counter.part("activations"), output_layer_at(model, batch.supervised, counter):
            logits = model(**inputs).logits
        with counter.part("logits"):
            targets = torch.zeros(batch.supervised, dtype=torch.long)
            loss = summed_cross_entropy(logits, targets) / batch.supervised
    del logits
    loss.backward()
    del loss
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _inputs(batch: Batch, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"input_ids": torch.zeros(batch.rows, batch.width, dtype=torch.long)}
    if batch.padded:  # a mask of ones alone is found to be none by its values, which are unknown here
        found["attention_mask"] = torch.ones(batch.rows, batch.width, dtype=torch.long)
        found["attention_mask"][0, -1] = 0
    if kind == "seq2seq":
        return found | {"decoder_input_ids": torch.zeros(batch.rows, batch.labels, dtype=torch.long)}
    return found | {"use_cache": False}


@contextmanager
def output_layer_at(model: Any, supervised: int, counter: StorageCounter) -> Iterator[None]:
    """The output layer sees so many positions; which ones is unknown where tensors hold nothing."""
    part = counter.part("logits")

    def before(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        part.__enter__()
        return (args[0].flatten(0, -2)[:supervised].clone(),)

    def after(module: Any, args: Any, output: Any) -> None:
        part.__exit__(None, None, None)

    layer = unwrapped(model).get_output_embeddings()
    handles = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def tensors_of(model: Any) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Each storage once: tied weights are one."""
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def _states(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
