"""``Method``: the record of everything that differs between methods of tuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tasks.tuning import peft_adapters

if TYPE_CHECKING:
    from tasks.model.base_models import BaseModel
    from tasks.tuning.method_params import QuantisationParams
    from tasks.tuning.params import ExperimentParams
    from tasks.tuning.pruning import Pruning

P = TypeVar("P", bound="ExperimentParams")


def load_exact(base: BaseModel, params: ExperimentParams) -> Any:
    """Load the base model in fp32."""
    import torch

    from tasks.model.base_models import load_model

    return load_model(base, torch.float32)


@dataclass(frozen=True)
class Method(Generic[P]):
    """Everything that is particular to one method. All other code reads this record; only
    ``tasks.tuning.untrained`` compares a method's name.

    The defaults describe an adapter of peft that is merged into the weights of the base model. Functions import torch,
    transformers and peft when they are called, because ``resolve`` and ``--help`` import the records of all methods.

    Attributes:
        params: type of an experiment's parameters; its own fields are the method's parameter blocks.
        make_trainable: (base model, what it is, parameters, optimizer steps of the whole training) → the model whose
            trained weights require gradients. None: the method trains nothing.
        load_base: loads the base model for training.
        save: (model, parameters, folder): writes what was trained.
        saves_whole_model: ``save`` writes all weights; with the tokenizer, the folder is a model of its own.
        restore: (base model in fp32, folder) → the tuned model. None: nothing is put onto the base model, since nothing
            was trained or the folder holds all weights.
        remove: removes from a model what ``restore`` added besides the weights of the base model.
        load_merge_base: (base model, recorded parameters) → the model that ``restore`` needs, if it is not the base
            model as stored.
        weights_file: the safetensors file that ``restore`` reads.
        merges: ``restore`` changes weights of the base model.
        add_layers: (model, parameters): adds the layers that stay besides those of the base model.
        virtual_tokens: number of trained vectors before the input.
        embeds_virtual_tokens: these vectors are embeddings, comparable to those of words.
        quantisation: how the base model is quantised; None if it is not.
        needs_exact_base: frozen weights must stay fp32 even if training computes in bf16.
        for_planning: parameters with the same memory plan that need no files of the base model.
        pruning: makes the callback that prunes a model during training.
        shardable: FSDP has been tried with this method.
        optimizer_on_gpu: ``optim`` of ``transformers.TrainingArguments``.
        checkpoint_numbers: fp32 numbers per trained parameter in a checkpoint: itself and the two moments of AdamW.
        libraries: packages whose version can change a number, besides those of every method.
        lighter: methods that need less memory, the most similar first; advised when a training does not fit.
    """

    params: type[P]
    make_trainable: Callable[[Any, BaseModel, P, int], Any] | None
    load_base: Callable[[BaseModel, P], Any] = load_exact
    save: Callable[[Any, P, Path], None] = peft_adapters.save
    saves_whole_model: bool = False
    restore: Callable[[Any, Path], Any] | None = peft_adapters.load_merged
    remove: Callable[[Any], None] = lambda model: None
    load_merge_base: Callable[[BaseModel, dict[str, Any]], Any] | None = None
    weights_file: str = peft_adapters.WEIGHTS
    merges: bool = True
    add_layers: Callable[[Any, P], None] = lambda model, params: None
    virtual_tokens: Callable[[P], int] = lambda params: 0
    embeds_virtual_tokens: bool = False
    quantisation: Callable[[P], QuantisationParams | None] = lambda params: None
    needs_exact_base: Callable[[P], bool] = lambda params: False
    for_planning: Callable[[P], P] = lambda params: params
    pruning: Callable[[Any], Pruning | None] = lambda model: None
    shardable: bool = False
    optimizer_on_gpu: str = "adamw_torch_fused"
    checkpoint_numbers: int = 3
    libraries: tuple[str, ...] = ()
    lighter: tuple[str, ...] = ("qlora",)

    @property
    def shares_base(self) -> bool:
        """Whether the tuned model can be put onto a base model in memory that others use as well."""
        return not self.saves_whole_model and self.load_merge_base is None
