"""Batches by token budget, and the likelihood of completions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tasks.model.batches import bucket, collate, token_budget_batches
from tasks.model.encoded import IGNORED, Encoded
from tasks.model.likelihood import likelihood, supervised_logits

LENGTHS = random.Random(3).choices(range(1, 121), k=200)
FP32 = torch.autocast("cpu", enabled=False)


def test_bucket() -> None:
    assert [bucket(n) for n in (1, 15, 16, 17, 32, 33)] == [16, 16, 16, 32, 32, 48]


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("budget", [16, 100, 256, 4096])
def test_batches_are_a_partition_within_the_budget(seed: int | None, budget: int) -> None:
    batches = token_budget_batches(LENGTHS, budget, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(LENGTHS)))
    for batch in batches:
        width = max(LENGTHS[index] for index in batch)
        assert width * len(batch) <= budget or len(batch) == 1
    # A larger number of batches would waste the budget: neighbours by length could not be joined.
    assert budget < 4096 or len(batches) < 8


def test_batch_count_is_independent_of_the_seed_and_order_is_not() -> None:
    by_seed = [token_budget_batches(LENGTHS, 256, seed) for seed in range(20)]
    assert {len(batches) for batches in by_seed} == {len(token_budget_batches(LENGTHS, 256))}
    assert len({str(batches) for batches in by_seed}) == 20
    assert token_budget_batches(LENGTHS, 256, 4) == by_seed[4]
    # Not only the order of batches changes: rows of equal length meet others.
    assert {frozenset(b) for b in by_seed[0]} != {frozenset(b) for b in by_seed[1]}


def test_no_rows_no_batches() -> None:
    assert token_budget_batches([], 64) == token_budget_batches([], 64, seed=1) == []


def test_collate_masks_of_a_decoder() -> None:
    """The pad token is 2, as is the end token: only the lengths say what is padding."""
    batch = collate([Encoded([5, 6, 7], [8, 2]), Encoded([2], [9, 2])], "causal", pad=2)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 2], [2, 9, 2, 2, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, -100, -100, 8, 2], [-100, 9, 2, -100, -100]]


def test_collate_masks_of_an_encoder_decoder() -> None:
    batch = collate([Encoded([5, 6, 7], [8, 2]), Encoded([5], [9, 9, 2])], "seq2seq", pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[8, 2, -100], [9, 9, 2]]


@pytest.fixture(scope="module", params=["llama", "llama with LoRA", "t5"])
def subject(request: pytest.FixtureRequest, tiny_llama: Path, tiny_t5: Path) -> tuple[Any, str]:
    """A model and its kind."""
    torch.manual_seed(0)
    if request.param == "t5":
        return AutoModelForSeq2SeqLM.from_pretrained(tiny_t5).eval(), "seq2seq"
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    if "LoRA" in request.param:
        config = LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
        model = get_peft_model(model, config)
    return model.eval(), "causal"


def some_rows(count: int = 9) -> list[Encoded]:
    draw = random.Random(1)
    return [
        Encoded([draw.randrange(3, 350) for _ in range(draw.randint(1, 40))], [*draw.sample(range(3, 350), n), 0])
        for n in range(1, count + 1)
    ]


def full_logits(model: Any, batch: dict[str, torch.Tensor], kind: str) -> torch.Tensor:
    """Logits of every label, in the plain way."""
    output = model(**batch).logits
    return output if kind == "seq2seq" else torch.nn.functional.pad(output[:, :-1], (0, 0, 1, 0))


@torch.no_grad()
def test_supervised_logits_are_the_full_ones_at_the_labels(subject: tuple[Any, str]) -> None:
    model, kind = subject
    batch = collate(some_rows(), kind, pad=0)
    logits, targets, rows = supervised_logits(model, batch, kind)
    where = batch["labels"] != IGNORED
    torch.testing.assert_close(logits, full_logits(model, batch, kind)[where], atol=1e-5, rtol=1e-5)
    assert targets.tolist() == batch["labels"][where].tolist()
    assert rows.tolist() == where.nonzero()[:, 0].tolist()


@torch.no_grad()
def test_the_hook_is_gone_afterwards(subject: tuple[Any, str]) -> None:
    model, kind = subject
    batch = collate(some_rows(2), kind, pad=0)
    supervised_logits(model, batch, kind)
    assert model(**batch).logits.shape[:2] == batch["labels"].shape


@torch.no_grad()
def test_loss_equals_that_of_transformers(subject: tuple[Any, str]) -> None:
    model, kind = subject
    rows = some_rows()
    result = likelihood(model, rows, kind, 0, 4096, FP32)
    assert result.loss == pytest.approx(model(**collate(rows, kind, pad=0)).loss.item(), abs=1e-5)
    assert result.tokens == [len(row.completion) for row in rows]
    assert not model.training


def test_likelihood_is_independent_of_the_budget(subject: tuple[Any, str]) -> None:
    """Padding, and rows beside it, change nothing of a row."""
    model, kind = subject
    rows = some_rows()
    alone, together = (likelihood(model, rows, kind, 0, budget, FP32) for budget in (1, 100_000))
    assert together.nll == pytest.approx(alone.nll, abs=1e-4, rel=1e-5)
    assert together.loss == pytest.approx(alone.loss, abs=1e-5)
    assert together.exact == alone.exact


def test_exact_equals_greedy_generation(subject: tuple[Any, str]) -> None:
    model, kind = subject
    rows, expected = [], []
    for row in some_rows():
        prompt = torch.tensor([row.prompt])
        greedy = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=4,
            do_sample=False,
            eos_token_id=None,
        )[0, 1 if kind == "seq2seq" else len(row.prompt) :].tolist()
        for completion in (
            greedy,
            [*greedy[:-1], (greedy[-1] + 1) % 300],
            [*greedy[:2], 1, greedy[3]],
            row.completion,
        ):
            rows.append(Encoded(row.prompt, completion))
            expected.append(completion == greedy)
    result = likelihood(model, rows, kind, 0, 500, FP32)
    assert result.exact == expected
    assert 9 <= sum(expected) < len(expected)
    assert result.accuracy == pytest.approx(sum(expected) / len(expected))


def test_training_mode_is_restored(tiny_llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).train()
    likelihood(model, some_rows(2), "causal", 0, 64, FP32)
    assert model.training
