"""Tokens a second, peak memory and validation loss of training: this project beside Trainer and TRL.

    pip install trl
    python -m bench.train --data FOLDER [--method lora|full] [--variant V …] [--rows 256] [--seed 0]
    python -m bench.train --data FOLDER --count

``FOLDER`` holds ``train.jsonl`` (``dialogue``, ``summary``). Every variant trains the embedded model one epoch on the
same rows, at the same rank, rate and, on average, eight rows a batch, in a process of its own, one after the other:

    trainer     transformers.Trainer at its defaults
    sft         TRL's SFTTrainer at its defaults: bf16, activations computed again
    sft_tuned   SFTTrainer with batches of rows of like length, activations held
    tunesmith   this project, precision ``auto``

``--accumulation`` is for a machine on which eight rows at once are too many for the first three, ``--max-length`` for
one on which eight as long as the longest are.

The first three train the model as transformers and peft make it, the last with the parts that this project exchanges.

Tokens are those of the rows, padding not counted. The floor is what the floating-point operations of a step would take
at the ceiling that a matrix product reaches here in that precision: those of products, of which attention makes whole
squares, in the model as transformers and peft have it, with logits where something is learnt alone. ``--count`` prints
them and the floor for every method but ``qlora``, and trains nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIANTS = ("trainer", "sft", "sft_tuned", "tunesmith")
EIGHT_ROWS, WATCHED = 8, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default: all")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--max-length", type=int, default=None, help="leave out rows of more tokens")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--accumulation", type=int, default=1, choices=(1, 2, 4, 8), help="batches a step, of the first three"
    )
    parser.add_argument("--training", type=json.loads, default={}, help="of tunesmith: JSON laid over its defaults")
    parser.add_argument("--count", action="store_true", help="operations a token of every method, and the floor")
    parser.add_argument("--here", action="store_true", help="train one variant in this process and print JSON")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(_measure(args.variant[0], args)))
        return
    if args.count:
        _count(args)
        return
    results = {}
    for variant in args.variant or VARIANTS:
        command = [sys.executable, "-m", "bench.train", "--here", "--data", args.data, "--method", args.method]
        command += ["--variant", variant, "--rows", args.rows, "--threads", args.threads]
        command += ["--seed", args.seed, "--accumulation", args.accumulation]
        command += ["--training", json.dumps(args.training)]
        command += ["--max-length", args.max_length] if args.max_length else []
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{variant}: {done.stderr}")
        results[variant] = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(results[variant]), file=sys.stderr, flush=True)
    show(results)


def show(results: dict[str, dict[str, Any]]) -> None:
    """The table of what ``--here`` printed for each variant."""
    first = next(iter(results.values()))
    versions = {name: version for one in results.values() for name, version in one["versions"].items()}
    length = f" of at most {first['max_length']} tokens" if first["max_length"] else ""
    rows = f"{first['method']}, {first['rows']} rows{length}"
    print(f"{first['machine']}, {first['threads']} threads, {versions}; {rows}")
    print("| variant | tokens/s | of the floor | tunesmith is | peak MB beside the weights | validation loss |")
    print("| --- | --- | --- | --- | --- | --- |")
    ours = results.get("tunesmith")
    for variant, one in results.items():
        times = f"{ours['tokens_per_second'] / one['tokens_per_second']:.2f} x" if ours else ""
        floor = f"{one['floor_fraction']:.0%}" if one["floor_fraction"] else ""
        cells = (variant, f"{one['tokens_per_second']:.0f}", floor, times, f"{one['growth'] / 1e6:,.0f}", one["loss"])
        print(f"| {' | '.join(map(str, cells))} |")


def _measure(variant: str, args: argparse.Namespace) -> dict[str, Any]:
    from importlib.metadata import version

    import torch
    import transformers

    from bench.common import embedded, machine, params_of
    from tasks.core import device
    from tasks.memory.growth import MemoryGrowth
    from tasks.model.likelihood import likelihood

    torch.set_num_threads(args.threads)
    base, renderer = embedded()
    rows, watched = _rows(args, renderer)
    average = sum(map(len, rows)) / len(rows)
    loop = {"token_budget": int(EIGHT_ROWS * average * 1.1)} | args.training
    params = params_of(args.method, {"seed": args.seed, "training": loop})
    transformers.set_seed(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        made = {"trainer": _trainer, "sft": _sft, "sft_tuned": _sft_tuned, "tunesmith": _tunesmith}[variant]
        shared = _arguments(params, args.accumulation, Path(folder))
        model, train = made(base, renderer, params, rows, watched[:2], shared)
        with MemoryGrowth(model) as growth:
            start = time.perf_counter()
            train()
            seconds = time.perf_counter() - start
    pad = renderer.tokenizer.pad_token_id
    loss = likelihood(model, watched, "causal", pad, 2048, device.autocast("fp32")).loss
    operations = _operations_per_token(base, params, rows, renderer) if variant == "tunesmith" else None
    tokens = sum(map(len, rows))
    dtype = torch.bfloat16 if device.use_bf16("auto") else torch.float32
    ceiling = _ceiling(dtype) if operations else None
    return {
        "variant": variant,
        "method": args.method,
        "rows": args.rows,
        "max_length": args.max_length,
        "threads": args.threads,
        "seed": args.seed,
        "tokens_per_second": tokens / seconds,
        "seconds": round(seconds, 1),
        "growth": growth.peak,
        "loss": round(loss, 4),
        "operations_a_token": operations,
        "ceiling": ceiling,
        "floor_fraction": operations * tokens / seconds / ceiling if operations and ceiling else None,
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")}
        if variant.startswith("sft")
        else {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def _rows(args: argparse.Namespace, renderer: Any) -> tuple[list[Any], list[Any]]:
    """Those that are trained on, and those that are watched."""
    from bench.common import rows_of

    longest = args.max_length or float("inf")
    every = [row for row in rows_of(args.data / "train.jsonl", renderer) if len(row) <= longest]
    if len(every) < args.rows + WATCHED:
        raise SystemExit(
            f"{args.data}/train.jsonl: must have {args.rows} rows and {WATCHED} to watch; it has {len(every)} "
            f"(--max-length {args.max_length}); lower --rows or raise --max-length"
        )
    return every[: args.rows], every[args.rows : args.rows + WATCHED]


Made = tuple[Any, Callable[[], Any]]


def _plain(base: Any, params: Any) -> Any:
    """Without what this project makes faster in the model itself."""
    from tasks.tuning.prepare import trainable

    return trainable(base, params, 100)  # steps, of which AdaLoRA needs some


def _arguments(params: Any, accumulation: int, folder: Path) -> dict[str, Any]:
    """What all variants share; everything else is the other's default."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": 1,
        "learning_rate": params.training.learning_rate,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": params.seed,
        "per_device_train_batch_size": EIGHT_ROWS // accumulation,  # without accumulation the default of both
        "gradient_accumulation_steps": accumulation,
    }


def _trainer(
    base: Any, renderer: Any, params: Any, rows: list[Any], watched: list[Any], shared: dict[str, Any]
) -> Made:
    import torch
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    data = [
        {"input_ids": row.prompt + row.completion, "labels": [-100] * len(row.prompt) + row.completion} for row in rows
    ]
    arguments = TrainingArguments(**shared, use_cpu=not torch.cuda.is_available())
    trainer = Trainer(_plain(base, params), arguments, DataCollatorForSeq2Seq(renderer.tokenizer), data)
    return trainer.model, trainer.train


def _sft(
    base: Any, renderer: Any, params: Any, rows: list[Any], watched: list[Any], shared: dict[str, Any], **more: Any
) -> Made:
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(
        [
            {
                "input_ids": row.prompt + row.completion,
                "completion_mask": [0] * len(row.prompt) + [1] * len(row.completion),
            }
            for row in rows
        ]
    )
    arguments = SFTConfig(
        **shared,
        use_cpu=not torch.cuda.is_available(),
        completion_only_loss=True,
        max_length=None,
        **more,
    )
    trainer = SFTTrainer(_plain(base, params), args=arguments, train_dataset=data, processing_class=renderer.tokenizer)
    return trainer.model, trainer.train


def _sft_tuned(*given: Any) -> Made:
    return _sft(*given, gradient_checkpointing=False, train_sampling_strategy="group_by_length")


def _tunesmith(
    base: Any, renderer: Any, params: Any, rows: list[Any], watched: list[Any], shared: dict[str, Any]
) -> Made:
    from bench.common import trainer_of
    from tasks.core import device

    device.keep_freed_memory()
    device.limit_kernel_caches()
    trainer = trainer_of(params, base, renderer, rows, watched, Path(shared["output_dir"]))
    return trainer.model, lambda: trainer.fit(None)


def _count(args: argparse.Namespace) -> None:
    import torch

    from bench.common import embedded, machine, params_of
    from tasks.core import device
    from tasks.tuning import methods
    from tasks.tuning.untrained import is_trained

    torch.set_num_threads(args.threads)
    base, renderer = embedded()
    rows, _ = _rows(args, renderer)
    ceilings = {name: _ceiling(dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    shown = ", ".join(f"{name} {ceiling / 1e9:,.0f} GFLOP/s" for name, ceiling in ceilings.items())
    print(f"{machine()}, {args.threads} threads on {device.device().type}, torch {torch.__version__}; {shown}")
    print("| method | GFLOP a token | floor in fp32, tokens/s | floor in bf16, tokens/s |")
    print("| --- | --- | --- | --- |")
    for method in filter(is_trained, methods.names()):
        params = params_of(method, {})
        if methods.named(method).quantisation(params) is None:  # bitsandbytes hides its products from the counter
            operations = _operations_per_token(base, params, rows, renderer)
            floors = (f"{ceiling / operations:,.0f}" for ceiling in ceilings.values())
            print(f"| {' | '.join((method, f'{operations / 1e9:.3f}', *floors))} |", flush=True)


def _operations_per_token(base: Any, params: Any, rows: list[Any], renderer: Any) -> float:
    """Operations per token of a forward and a backward pass, counted by PyTorch on eight rows of the middle length.

    The model is that of transformers and peft, with attention written out: the counter knows neither PyTorch's
    attention for a CPU nor the in-place products (``addmm_``) of this project's layers.
    """
    from torch.nn import functional
    from torch.utils.flop_counter import FlopCounterMode

    from tasks.model.batches import collate
    from tasks.model.likelihood import supervised_logits
    from tasks.model.unwrap import unwrapped

    model = _plain(base, params)
    unwrapped(model).set_attn_implementation("eager")
    middle = sorted(rows, key=len)[len(rows) // 2 - EIGHT_ROWS // 2 :][:EIGHT_ROWS]
    device = next(model.parameters()).device
    pad = renderer.tokenizer.pad_token_id
    batch = {key: value.to(device) for key, value in collate(middle, "causal", pad).items()}
    counter = FlopCounterMode(display=False)
    with counter:
        logits, targets, _ = supervised_logits(model.train(), batch, "causal")
        functional.cross_entropy(logits.float(), targets).backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()) / sum(map(len, middle))


def _ceiling(dtype: Any) -> float:
    """Operations a second of the best of ten products of large square matrices."""
    import torch

    from tasks.core import device

    size = 8192 if torch.cuda.is_available() else 2048
    a, b = (torch.randn(size, size, device=device.device()).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        (a @ b)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


if __name__ == "__main__":
    main()
