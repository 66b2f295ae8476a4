"""A workspace whose test rows use two templates. Evaluated are three experiments: untrained, few-shot, LoRA."""

from __future__ import annotations

import pytest

from tasks.core import files
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.metrics.names import SIGNS
from tasks.metrics.scoring import write_scoring
from tasks.model.registered import files_hash
from tasks.registry.registry import Registry
from tasks.template.library import Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.run import scoring_of
from tasks.template.stored import stored
from tasks.template.validate import Report
from tasks.text.rows import RENDERED, Row
from tasks.tracking.client import VARIABLE, open_store
from tasks.tracking.sync import sync
from tasks.tracking.tag_names import NAME, WEIGHTS
from tests.evaluate.evaluation import EVALUATE, evaluate, write_params
from tests.train.training_workspace import PAIRS, mark_dirty, train
from tests.workspaces import own_artifacts

TEMPLATES = TemplateSet(
    name="chats",
    task="summary",
    description="",
    columns={"dialogue": "", "summary": "", "language": "", "note": ""},
    optional=["note"],
    required=["dialogue"],
    templates=[
        Template(id="noted", prompt="{{dialogue}}\nNote: {{note}}", completion="{{summary}}"),
        Template(id="short", prompt="In {{language}}, in short: {{dialogue}}", completion="{{summary}}"),
        Template(id="plain", prompt="{{dialogue}}", completion="{{summary}}"),
    ],
)
PARAMS = TemplateParams(
    set="chats", columns={"dialogue": "chat"}, values={"language": "English"}, use=["short", "plain"], assign="all"
)
"""The source calls the dialogue ``chat``, and has no column for the language."""

EXPERIMENTS = {"base": 0, "lora": 0, "base_2": 2}
"""Name → examples in the prompt."""


def raw() -> list[Row]:
    """Rows as the source has them."""
    return [{"chat": chat, "summary": summary} for chat, summary in PAIRS if summary.lower() not in chat.lower()]


def rendered() -> list[Row]:
    rows = [
        {"source_file": "all"} | row | {"row_id": f"r{n}", "source_line": n} for n, row in enumerate(raw(), start=1)
    ]
    return [dict.fromkeys(RENDERED.names) | row for row in render(rows, "chats", TEMPLATES, PARAMS, Report())]


def evaluated_workspace(paths: Paths) -> Paths:
    """``paths`` (of the fixture ``trained``) with ``EXPERIMENTS`` evaluated."""
    rows = rendered()
    for part in ("test", "validation", "examples"):
        files.write_rows(paths.evaluation_set / f"{part}.parquet", rows, RENDERED)
    templates = {"chats": stored(TEMPLATES, PARAMS, "chats").model_dump()}
    files.write_json(paths.evaluation_set / "templates.json", templates)
    write_scoring(paths.scoring("chats"), scoring_of("chats", TEMPLATES, PARAMS))
    mark_dirty(paths)
    for name in ("base", "base_2"):  # of weights that generate text: those of the tiny base give special tokens alone
        train(paths, name, {"method": "none", "base_model": {"name": "models/full"}})
    paths.params.mkdir()
    write_yaml(paths.params / "experiments.yaml", {"experiments": {name: {} for name in EXPERIMENTS}})
    for name, shots in EXPERIMENTS.items():
        write_params(paths, name, EVALUATE | {"shots": shots})
        evaluate(name, paths)
    return paths


def completions(paths: Paths, name: str, template: str | None = None) -> list[str]:
    """The completions of ``predictions.parquet``, of one template or of all."""
    rows = files.read_rows(paths.report(name) / "predictions.parquet")
    return [row["completion"] for row in rows if template in (None, row["template_id"])]


def register(paths: Paths) -> Paths:
    """Make ``lora`` version 1 and the champion, and ``base_2`` version 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        own_artifacts(paths.root)
        tracker = open_store(paths.root)
        runs = {synced.experiment: synced.run_id for synced in sync(paths, tracker)}
        registry = Registry(tracker, "tunesmith", "champion")
        registry.ensure()
        version = registry.add(runs["lora"], _tags(paths, "lora"), "")
        registry.promote(version, {"reasons": []}, registry.champion())
        registry.add(runs["base_2"], _tags(paths, "base_2"), "")
    return paths


def _tags(paths: Paths, name: str) -> dict[str, str]:
    return {NAME: name, WEIGHTS: files_hash(paths.model(name))}


PARTS = ("precision", "recall", "f")
NAMES = {f"{kind}_{part}" for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum") for part in PARTS} | {
    *("bleu", *SIGNS, "new_tokens", "finished")
}
