"""Models of other kinds under lm-eval: an encoder-decoder, and virtual tokens before the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from tasks.benchmark.harness.model import wrap
from tasks.benchmark.harness.run_task import measure
from tasks.benchmark.prepare import prepare
from tasks.inference.generate import generate
from tasks.inference.params import GenerationParams
from tests.benchmark.benchmark_rows import SETTINGS


def test_an_encoder_decoder_runs_the_tasks(data: Path, tiny_t5: Path) -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_t5)
    lm = wrap(model, tokenizer, "seq2seq", SETTINGS)
    measured = measure(lm, prepare(["glue"], data, SETTINGS)[0].built["sst2"], SETTINGS)
    sample = measured.samples[0]
    prompt, continuation = sample["arguments"][0]
    inputs = tokenizer(prompt, return_tensors="pt").input_ids
    labels = tokenizer(continuation, return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        logs = functional.log_softmax(model(input_ids=inputs, labels=labels).logits, dim=-1)
    expected = logs.gather(2, labels[..., None]).sum()
    assert sample["filtered_resps"][0][0] == pytest.approx(float(expected), rel=1e-4)


SOFT = {
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
}


@pytest.mark.parametrize("kind", SOFT)
def test_virtual_tokens_come_right_before_the_prompt(kind: str, data: Path, tiny_llama: Path, lm: Any) -> None:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    plain = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    model = get_peft_model(plain, SOFT[kind]).eval()
    soft = wrap(model, tokenizer, "causal", SETTINGS)
    assert soft.batch_size == 1
    built = {n: b for one in prepare(["glue", "bigbench"], data, SETTINGS) for n, b in one.built.items()}
    first_sample = measure(soft, built["sst2"], SETTINGS).samples[0]
    prompt, continuation = first_sample["arguments"][0]
    ids, answer = (torch.tensor([tokenizer.encode(text, add_special_tokens=False)]) for text in (prompt, continuation))
    with torch.no_grad():
        logits = model(input_ids=torch.cat([ids, answer], dim=1)).logits[:, -answer.shape[1] - 1 : -1]
    expected = functional.log_softmax(logits, dim=-1).gather(2, answer[..., None]).sum()
    assert first_sample["filtered_resps"][0][0] == pytest.approx(float(expected), rel=1e-4)
    base = measure(lm, built["sst2"], SETTINGS).samples[0]
    assert first_sample["filtered_resps"][0][0] != base["filtered_resps"][0][0]
    sample = measure(soft, built["boolean_expressions"], SETTINGS).samples[0]
    prompts = [tokenizer.encode(sample["arguments"][0][0], add_special_tokens=False)]
    ours = generate(model, tokenizer, prompts, "causal", GenerationParams(max_new_tokens=32, precision="fp32"))[0].text
    for stop in ("</s>", "Q", "\n\n"):
        ours = ours.split(stop)[0]
    assert sample["resps"][0][0].strip()[:12] == ours.strip()[:12]
