"""The methods of peft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoraConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
    prepare_model_for_kbit_training,
)
from transformers.pytorch_utils import Conv1D

from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.model.base_models import BaseModel, load_tokenizer
from tasks.tuning.method_params import EXPERIMENTS, PromptTuningParams, Targets
from tasks.tuning.methods.bottleneck import ATTENTION
from tasks.tuning.methods.quantised import load_quantised
from tasks.tuning.params import TrainParams

_ATTENTION = ATTENTION | {"self_attention", "linear_attn"}
"""Modules whose linear layers are those of an attention; some of them add the residual stream, and no bottleneck may
stand behind them."""


def _task(base: BaseModel) -> TaskType:
    return TaskType.SEQ_2_SEQ_LM if base.kind == "seq2seq" else TaskType.CAUSAL_LM


def _adapted(model: Any, config: Any, base: BaseModel, key: str, targets: list[str] | str | None) -> Any:
    """``model`` with the adapter of ``config``; ``key`` is the parameter that ``targets`` comes from."""
    modules = dict(model.named_modules())
    linear = (name.split(".")[-1] for name, module in modules.items() if isinstance(module, torch.nn.Linear))
    known = ", ".join(sorted(set(linear)))
    # peft is content when one of several names is found.
    for target in targets if isinstance(targets, list) else []:
        if not any(f".{name}".endswith(f".{target}") for name in modules):
            raise TunesmithError(
                f"{EXPERIMENTS}: {key}: {target} must be a layer of {base.spec}; its linear layers: {known}"
            )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise TunesmithError(
            f"{EXPERIMENTS}: {key}: {targets} does not fit {base.spec}; name some of its linear layers: {known} "
            f"({str(error).split('.')[0]})"
        ) from None


def _targets(model: Any, given: Targets, key: str) -> list[str] | str | None:
    """What peft is told, which knows ``all-linear`` and None, but not ``attention``."""
    if given != "attention":
        return given
    linear = [name.split(".") for name, m in model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)]
    found = set()
    for parts in linear:
        # From the attention's own name on, since GPT-2 has a `c_proj` in the feed-forward, too.
        within = [place for place, part in enumerate(parts[:-1]) if part in _ATTENTION]
        found |= {".".join(parts[place:]) for place in within[:1]}
    if not found:
        raise TunesmithError(
            f"{EXPERIMENTS}: {key}: attention must have a name that is known here; {type(model).__name__} has none of "
            f"{', '.join(sorted(_ATTENTION))}; write all-linear, or some of its linear layers: "
            f"{', '.join(sorted({parts[-1] for parts in linear}))}"
        )
    return sorted(found)


def _lora(model: Any, base: BaseModel, params: TrainParams, steps: int) -> Any:
    given = params.lora
    assert given is not None
    targets = _targets(model, given.targets, "lora.targets")
    config = LoraConfig(
        task_type=_task(base),
        r=given.rank,
        lora_alpha=given.alpha,
        lora_dropout=given.dropout,
        target_modules=targets,
        use_rslora=given.rslora,
        use_dora=given.dora,
    )
    return _adapted(model, config, base, "lora.targets", targets)


def qlora(base: BaseModel, params: TrainParams) -> Any:
    """LoRA on a base in 4 or 8 bits."""
    assert params.training is not None and params.quantisation is not None
    how = params.quantisation
    compute = torch.bfloat16 if device.use_bf16(params.training.precision) else torch.float32
    model = load_quantised(base, how.bits, how.kind, how.double, compute)
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return _lora(model, base, params, 0)


def _adalora(model: Any, base: BaseModel, params: TrainParams, steps: int) -> Any:
    given = params.adalora
    assert given is not None
    final = int(given.final * steps)
    if steps - final < 2:
        raise TunesmithError(
            f"{EXPERIMENTS}: method adalora must prune before the last steps; this training has {steps} in all; train "
            "on more rows or epochs, or lower adalora.final"
        )
    targets = _targets(model, given.targets, "adalora.targets")
    config = AdaLoraConfig(
        task_type=_task(base),
        init_r=given.initial_rank,
        target_r=given.target_rank,
        lora_alpha=given.alpha,
        lora_dropout=given.dropout,
        target_modules=targets,
        total_step=steps,
        tinit=int(given.warmup * steps),
        tfinal=final,
        deltaT=given.every,
        orth_reg_weight=given.orthogonality,
    )
    return _adapted(model, config, base, "adalora.targets", targets)


def _ia3(model: Any, base: BaseModel, params: TrainParams, steps: int) -> Any:
    given = params.ia3
    assert given is not None
    inner = given.feedforward if given.targets is None else given.feedforward or []
    config = IA3Config(task_type=_task(base), target_modules=given.targets, feedforward_modules=inner)
    return _adapted(model, config, base, "ia3.targets", given.targets)


def _prompt_tuning(model: Any, base: BaseModel, params: TrainParams, steps: int) -> Any:
    given = params.prompt_tuning
    assert given is not None
    _refuse_too_many(model, params, given.virtual_tokens)
    # An encoder-decoder gets them before the encoder's input alone.
    config = PromptTuningConfig(
        task_type=_task(base), num_virtual_tokens=given.virtual_tokens, num_transformer_submodules=1
    )
    found: Any = get_peft_model(model, config)
    with torch.no_grad():
        found.prompt_encoder["default"].embedding.weight.copy_(_beginning(model, base, params, given))
    return found


def _beginning(model: Any, base: BaseModel, params: TrainParams, given: PromptTuningParams) -> torch.Tensor:
    """What virtual tokens begin with, virtual tokens by width, as the model's own words come to its first layer: some
    models multiply them in the embedding."""
    words = model.get_input_embeddings()
    known, where = words.weight.shape[0], words.weight.device
    if given.initial == "random":
        spread = words(torch.arange(min(known, 4096), device=where)).std()
        return torch.randn(given.virtual_tokens, words.weight.shape[1], device=where) * spread
    if given.initial == "vocabulary":
        return words(torch.randint(known, (given.virtual_tokens,), device=where))
    tokens = load_tokenizer(base)(given.text, add_special_tokens=False)["input_ids"]
    if not tokens:
        raise TunesmithError(
            f"{EXPERIMENTS}: {params.method}.text must be at least one token; it is {given.text!r}, of which the "
            "tokenizer makes none; write a text, or set `initial: vocabulary`"
        )
    repeated = tokens * -(-given.virtual_tokens // len(tokens))
    return words(torch.tensor(repeated[: given.virtual_tokens], device=where))


def _refuse_too_many(model: Any, params: TrainParams, virtual: int) -> None:
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and params.max_length + virtual > context:
        raise TunesmithError(
            f"{EXPERIMENTS}: max_length and virtual_tokens must fit the model's context of {context} tokens; they are "
            f"{params.max_length} and {virtual}; lower one of them"
        )


def _prefix_tuning(model: Any, base: BaseModel, params: TrainParams, steps: int) -> Any:
    given = params.prefix_tuning
    assert given is not None
    _refuse_too_many(model, params, given.virtual_tokens)
    config: Any = PrefixTuningConfig(
        task_type=_task(base), num_virtual_tokens=given.virtual_tokens, prefix_projection=given.projection is not None
    )
    config.encoder_hidden_size = given.projection
    if (width := getattr(model.config, "d_kv", None)) is not None:  # T5's heads need not fill its width
        config.token_dim = width * model.config.num_heads
    return get_peft_model(model, config)


def _p_tuning(model: Any, base: BaseModel, params: TrainParams, steps: int) -> Any:
    given = params.p_tuning
    assert given is not None
    _refuse_too_many(model, params, given.virtual_tokens)
    config = PromptEncoderConfig(
        task_type=_task(base),
        num_virtual_tokens=given.virtual_tokens,
        num_transformer_submodules=1,
        encoder_reparameterization_type=given.network,
        encoder_hidden_size=given.hidden,
    )
    found: Any = get_peft_model(model, config)
    if given.initial != "random":
        with torch.no_grad():
            _solve(found.prompt_encoder["default"], _beginning(model, base, params, given).float())
    return found


def _solve(network: Any, wanted: torch.Tensor) -> None:
    """Set the last layer so that the network says ``wanted`` (virtual tokens by width), by the least weights."""
    last = network.mlp_head[-1]
    reached: list[torch.Tensor] = []
    with last.register_forward_pre_hook(lambda _, inputs: reached.append(inputs[0])):
        network(torch.arange(len(wanted), device=wanted.device))
    last.weight.copy_((torch.linalg.pinv(reached[0]) @ (wanted - last.bias)).T)


METHODS: dict[str, Callable[[Any, BaseModel, TrainParams, int], Any]] = {
    "lora": _lora,
    "adalora": _adalora,
    "ia3": _ia3,
    "prompt_tuning": _prompt_tuning,
    "prefix_tuning": _prefix_tuning,
    "p_tuning": _p_tuning,
}
"""(base model in fp32, what it is, parameters, optimizer steps) → the model with what is trained."""
