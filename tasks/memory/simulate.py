"""Simulate a training step on tensors without storage, for any architecture, method and size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import masking_utils

from tasks.memory.storage_counter import StorageCounter
from tasks.model.unwrap import unwrapped
from tasks.tuning.loss import summed_cross_entropy

PARTS = ("gradients", "optimizer", "activations", "logits", "temporary", "heap")
"""Parts of a step. ``heap`` is not a tensor, but what the resident set of a CPU process holds above its tensors."""


@dataclass(frozen=True)
class Batch:
    """Shape of a batch.

    Attributes:
        rows: rows of the batch.
        width: input tokens per row, padding included.
        supervised: supervised tokens of all rows together.
        labels: decoder tokens per row; 0 for a decoder-only model.
        padded: whether a row has padding. Without padding attention needs no mask and holds less.
    """

    rows: int
    width: int
    supervised: int
    labels: int = 0
    padded: bool = True


@dataclass(frozen=True)
class Step:
    """Memory of a training step, in bytes.

    Attributes:
        weights: the model's weights, adapters included.
        trainable: number of trained parameters.
        total: number of all parameters.
        peak: bytes besides the weights by ``PARTS``, at the moment with the highest sum.
        held: highest bytes of each part, each at its own moment.
    """

    weights: int
    trainable: int
    total: int
    peak: dict[str, int]
    held: dict[str, int]

    @property
    def increment(self) -> int:
        """Bytes besides the weights at the peak."""
        return sum(self.peak.values())

    @property
    def total_bytes(self) -> int:
        """Bytes at the peak, weights included."""
        return self.weights + self.increment

    @property
    def tensors(self) -> int:
        """Bytes of all tensors at the peak, weights included: the least that the step needs."""
        return self.total_bytes - self.peak["heap"]


def training_step(
    prepare: Callable[[], Any],
    batch: Batch,
    kind: str,
    bf16: bool,
    device: str = "cpu",
    change: Callable[[Any], None] = lambda model: None,
) -> Step:
    """Simulate the second step of a training, when the optimizer's states exist already.

    Args:
        prepare: makes the model with its trained parts; called where tensors have no storage.
        batch: shape of the batch.
        kind: ``causal`` or ``seq2seq``.
        bf16: whether the step runs under bf16 autocast.
        device: kind of device whose kernels the step uses.
        change: may exchange modules of the model before the step.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            model = prepare().train()
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device(device), _no_packed_rows():
            materialise(model)
            change(model)
            return second_step(model, batch, kind, bf16)


@contextmanager
def _no_packed_rows() -> Iterator[None]:
    """Let ``transformers`` treat batches without a mask as unpacked.

    ``transformers`` detects packed rows by the values of the positions (``masking_utils.py``, 5.x). Fake tensors have
    no values, so it would always build the mask of packed rows.
    """
    original = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda position_ids: None
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = original


def materialise(model: Any) -> None:
    """Replace meta tensors by fake tensors of the current device: only a device's kernels tell what they allocate."""
    replaced: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is None or not tensor.is_meta:
                    continue
                if id(tensor) not in replaced:  # tied weights stay one tensor
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                    is_parameter = isinstance(tensor, torch.nn.Parameter)
                    replaced[id(tensor)] = torch.nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
                tensors[name] = replaced[id(tensor)]


def second_step(model: Any, batch: Batch, kind: str, bf16: bool) -> Step:
    """Take two training steps of ``model`` and return the memory of the second, on tensors with or without storage."""
    weights = storage_bytes(tensors_of(model))
    trained = [p for p in model.parameters() if p.requires_grad]
    sizes = sum(p.numel() for p in trained), sum(p.numel() for p in model.parameters())
    counter = StorageCounter()
    for parameter in trained:
        parameter.register_post_accumulate_grad_hook(lambda p: counter.assign([p.grad], "gradients"))
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    inputs = _inputs(batch, kind)
    with counter:
        _step(model, optimizer, trained, inputs, batch, bf16, counter)
        counter.assign(_states(optimizer), "optimizer")
        counter.restart()
        _step(model, optimizer, trained, inputs, batch, bf16, counter)
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
    inputs: dict[str, Any] = {"input_ids": torch.zeros(batch.rows, batch.width, dtype=torch.long)}
    if batch.padded:  # transformers drops a mask of ones by its values, which fake tensors do not have
        inputs["attention_mask"] = torch.ones(batch.rows, batch.width, dtype=torch.long)
        inputs["attention_mask"][0, -1] = 0
    if kind == "seq2seq":
        return inputs | {"decoder_input_ids": torch.zeros(batch.rows, batch.labels, dtype=torch.long)}
    return inputs | {"use_cache": False}


@contextmanager
def output_layer_at(model: Any, supervised: int, counter: StorageCounter) -> Iterator[None]:
    """Restrict the output layer to ``supervised`` positions, and count what it allocates as ``logits``.

    Without values it is unknown which positions these are, so it takes the first ones.
    """
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
    """Parameters and buffers of ``model``."""
    return [*model.parameters(), *model.buffers()]


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind ``tensors``; tied weights share one."""
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def _states(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor)]
