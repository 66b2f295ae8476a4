"""Model cards: Markdown with the hub's metadata, ``model-index``, and the newer ``.eval_results`` beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.compare.cells import OF_TEXTS, Entry, about, baseline_entry, change, label, number, outcome, scale, score
from tasks.core.counted import counted
from tasks.report.data import base_models
from tasks.report.facts import Facts, Source, Trained
from tasks.report.scores import warnings
from tasks.tracking.metric_names import short
from tasks.tuning import methods, peft_adapters

CARD, RESULTS = "README.md", ".eval_results/tunesmith.yaml"
"""Files of a card: the names that the hub reads."""

_TEMPLATE = "card.md.jinja"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SHOWN = ("rouge1_f", "rouge2_f", "rougeL_f", "bleu", "accuracy", "macro_f1", "exact_match", "token_f1", "entity_f1")


def card(name: str, facts: Facts) -> str:
    """The card of the experiment ``name``."""
    entry, files = _entry(name, facts), facts.trained[name]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "page"),
        autoescape=False,  # Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(
        metadata=_metadata(name, facts).to_yaml(line_break="\n"),
        name=name,
        entry=entry,
        model={"trainable_parameters": None, "total_parameters": None} | about(entry),
        manifest=files.manifest,
        training={"git_commit": None} | files.training,
        base=", ".join(base_models(Facts({}, [], trained={name: files}))),
        mixture=files.manifest["params"].get("mixture", "–"),
        rows=((files.manifest.get("contract") or {}).get("train") or {}).get("rows"),
        scores=_scores(entry, facts),
        baseline=facts.comparison["baseline"]["name"],
        test=f"{facts.comparison['rows']} test rows of {', '.join(_sources(facts))}",
        verdict=_verdict(entry, facts),
        decisions=_decisions(name, facts),
        limits=limits(name, facts),
        sources=_trained_on(name, facts),
    )


def eval_results(name: str, facts: Facts) -> str:
    """``.eval_results/tunesmith.yaml``: the primary metric of the model in each task, in the hub's newer format."""
    metric = facts.comparison["metric"]
    entries = [
        EvalResultEntry(
            dataset_id=source,
            task_id=task,
            value=round(scale(metric) * scores[metric]["value"], 2),
            notes=f"{label(metric)}, {score({'metrics': scores}, metric, scale(metric))}",
        )
        for (source, task), scores in _task_scores(name, facts).items()
        if (scores.get(metric) or {}).get("value") is not None
    ]
    if not entries:
        return "[]\n"
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)


def _decisions(name: str, facts: Facts) -> list[str]:
    """The gate's decision on the model, and a later one that made it the champion or replaced it."""
    decision, later = facts.decision, facts.since
    lines = []
    if decision and decision["candidate"] == name:
        by_person = decision["verdict"] in ("promoted", "restored", "rejected")
        lines.append(f"{'Decision' if by_person else 'Gate'}: {decision['summary']}.")
        lines += [f"The gate: {reason}." for reason in decision["reasons"] if reason.startswith("failed: ")]
    key = facts.trained[name].manifest.get("key")
    if later and key in (later["key"], (later.get("previous_champion") or {}).get("key")):
        lines.append(f"Since then ({later['time']}): {later['summary']}.")
    return lines


def _metadata(name: str, facts: Facts) -> ModelCardData:
    entry, manifest = _entry(name, facts), facts.trained[name].manifest
    base = str((manifest.get("base_model") or {}).get("spec", ""))
    labelled = "accuracy" in entry["metrics"]
    return ModelCardData(
        model_name=name,
        base_model=base if _HUB_ID.fullmatch(base) else None,
        library_name=_library(str(entry["method"])),
        pipeline_tag="text-classification" if labelled else "text-generation",
        datasets=_sources(facts),
        tags=["tunesmith", str(entry["method"])],
        eval_results=[
            EvalResult(
                task_type="text-classification" if labelled else "text-generation",
                task_name=task,
                dataset_type=source,
                dataset_name=source,
                dataset_split="test",
                metric_type=short(metric),
                metric_name=label(metric),
                metric_value=round(scale(metric) * scores[metric]["value"], 2),
            )
            for (source, task), scores in _task_scores(name, facts).items()
            for metric in _shown(facts)
            if (scores.get(metric) or {}).get("value") is not None
        ],
    )


def limits(name: str, facts: Facts) -> list[str]:
    """What the model was not shown to do, in sentences."""
    entry, files, comparison = _entry(name, facts), facts.trained[name], facts.comparison
    tasks = ", ".join(dict.fromkeys(task for _, task in _tasks(facts)))
    lines = [
        f"It was evaluated on {counted(comparison['rows'], 'test row')} of {', '.join(_sources(facts))} ({tasks}). "
        "Nothing is known about other data.",
        *(message for message in warnings(comparison)[0] if message.startswith(f"{name} ")),
        *_kept_lines(entry),
        *_missing_labels(name, comparison),
        *_length_lines(files),
    ]
    dirty = (entry["groups"].get("contamination") or {}).get("dirty")
    if dirty:
        rows = max((metric["n"] for metric in dirty.values()), default=0)
        lines.append(f"{counted(rows, 'test row')} may have been seen in training.")
    return lines


def _kept_lines(entry: Entry) -> list[str]:
    undecided = [task for task, kept in entry.get("retention", {}).items() if kept["verdict"] == "undecided"]
    if not entry.get("retention"):
        return ["Tasks that it was not tuned on were not measured, so it is unknown what it forgot."]
    return [f"There are too few rows to show whether it kept {', '.join(undecided)}."] if undecided else []


def _missing_labels(name: str, comparison: dict[str, Any]) -> list[str]:
    lines = []
    for task, of in (comparison.get("labels") or {}).items():
        recall = (of["systems"].get(name) or {}).get("recall") or []
        never = [label_of for label_of, value in zip(of["labels"], recall, strict=True) if value == 0] if recall else []
        if never:
            lines.append(
                f"On the test rows of {task}, it never generates these labels where they are right: {', '.join(never)}."
            )
    return lines


def _length_lines(files: Trained) -> list[str]:
    most = files.manifest["params"].get("max_length")
    return [f"It was trained on rows of at most {most} tokens, prompt and completion together."] if most else []


def _verdict(entry: Entry, facts: Facts) -> str:
    metric, baseline = facts.comparison["metric"], facts.comparison["baseline"]["name"]
    if not (entry["differences"] or {}).get(metric):
        return ""
    return f"{label(metric)} {change(entry, metric)} against {baseline}: {outcome(entry, metric)}"


def _scores(entry: Entry, facts: Facts) -> list[tuple[str, str, str]]:
    """(metric, ours, the baseline's) of each metric that the model has."""
    base = baseline_entry(facts.comparison)
    known = [metric for metric in _shown(facts) if (entry["metrics"].get(metric) or {}).get("value") is not None]
    rows = [(label(m), str(score(entry, m, scale(m))), str(score(base, m, scale(m))) if base else "–") for m in known]
    ours, theirs = (
        number((one["metrics"].get("validation_loss_per_byte") or {}).get("value") if one else None, digits=4)
        for one in (entry, base)
    )
    return [*rows, ("validation loss (nats/byte)", ours, theirs)]


def _shown(facts: Facts) -> list[str]:
    """The primary metric first; if all rows ask for labels, without scores of texts."""
    metrics = dict.fromkeys([facts.comparison["metric"], *_SHOWN])
    return [metric for metric in metrics if not (facts.comparison.get("only_labels") and metric in OF_TEXTS)]


def _entry(name: str, facts: Facts) -> Entry:
    entry: Entry = next(one for one in facts.comparison["systems"] if one["name"] == name)
    return entry


def _tasks(facts: Facts) -> list[tuple[str, str]]:
    """(source, task) of the test rows, in order."""
    rows = next((system.rows for system in facts.systems if system.rows), [])
    return list(dict.fromkeys((row["source"], row["task"]) for row in rows))


def _sources(facts: Facts) -> list[str]:
    return list(dict.fromkeys(source for source, _ in _tasks(facts)))


def _task_scores(name: str, facts: Facts) -> dict[tuple[str, str], dict[str, Any]]:
    """(source, task) → the model's scores on the test rows of that task."""
    tasks = _tasks(facts)
    if len(tasks) == 1:
        return {tasks[0]: _entry(name, facts)["metrics"]}
    of_tasks = next((system.groups.get("task", {}) for system in facts.systems if system.name == name), {})
    return {(source, task): of_tasks.get(f"{source}/{task}", {}) for source, task in tasks}


def _trained_on(name: str, facts: Facts) -> list[Source]:
    """The sources of the model's mixture."""
    mixture = facts.trained[name].manifest["params"].get("mixture")
    known = {source for one in facts.mixtures if one.name == mixture for source in one.report.get("sources", {})}
    return [source for source in facts.sources if source.name in known]


def _library(method: str) -> str | None:
    """The hub's name of the library that loads the model; None for a format of Tunesmith's own."""
    saved = methods.named(method)
    if saved.saves_whole_model:
        return "transformers"
    return "peft" if saved.save is peft_adapters.save else None
