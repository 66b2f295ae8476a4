"""Load a base model in 4 or 8 bits (bitsandbytes), and convert the quantised weights back to floating point."""

from __future__ import annotations

from typing import Any

import torch

from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.model.base_models import BaseModel, load_model
from tasks.tuning.method_params import QuantisationParams


def load_quantised(base: BaseModel, quantisation: QuantisationParams, compute: torch.dtype) -> Any:
    """Load the base model with quantised linear layers; the output layer and layers that need fp32 stay in fp32.

    Matrices are multiplied in ``compute``.

    Raises:
        TunesmithError: bitsandbytes is not installed.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise TunesmithError("method qlora needs the package bitsandbytes; `make` installs it from the lock") from None
    from transformers import BitsAndBytesConfig

    if quantisation.bits == 8:
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantisation.kind,
            bnb_4bit_use_double_quant=quantisation.double,
            bnb_4bit_compute_dtype=compute,
        )
    model = load_model(base, torch.float32, quantization_config=config, device_map={"": str(device.device())})
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # With AVX512-BF16, bitsandbytes packs the weights at the first validation into a form whose product has no
            # gradient: layers before it would train no further.
            module.support_avx512bf16_for_cpu = False
            module.compute_type_is_set = True  # else the dtype of the first input replaces ``compute``
    return model


def dequantised(quantised: Any, plain: Any) -> Any:
    """Copy the dequantised weights of ``quantised`` into ``plain``, the base model in floating point.

    Merging into quantised weights would round the adapter to 4 bits: another model than the one that was trained.
    """
    import bitsandbytes as bnb
    from transformers.pytorch_utils import Conv1D

    for name, module in quantised.named_modules():
        stored: Any = getattr(module, "weight", None)
        if isinstance(module, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(stored.data, stored.quant_state)
        elif isinstance(module, bnb.nn.Linear8bitLt):
            weight = stored.data.float() * (stored.SCB.float()[:, None] / 127)
        else:
            continue
        module = plain.get_submodule(name)
        if isinstance(module, Conv1D):  # GPT-2; transformers transposes it before it quantises
            weight = weight.T.contiguous()
        assert weight.shape == module.weight.shape, name
        module.weight.data = weight.to(module.weight.dtype).cpu()
    return plain
