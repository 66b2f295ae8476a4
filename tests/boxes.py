"""A workspace with a task that a tiny model learns in a minute: on which shelf does a box belong?

Only the box's colour decides. Boxes come in groups of four, one per colour, with the same contents. Three boxes of a
group are training rows, one is a test row. So the training row that is most similar to a test row has another shelf,
and both trivial baselines fail.
"""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path
from typing import Any

from tests.tiny import save_llama
from tests.workspaces import commit, dvc, edit, lay_out

SHELVES = {"red": "north", "blue": "south", "green": "east", "white": "west"}
SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma")
SET = """
name: boxes
task: shelf
description: Which shelf a box goes to.
columns: {box: what is in the box, shelf: the shelf}
required: [box, shelf]
templates:
  - id: shelf
    prompt: "Where does it go? {{ box }}"
    references: shelf
    answer_choices: [north, south, east, west]
"""
METHODS: dict[str, dict[str, Any]] = {
    "tiny": {"method": "full", "training": {"learning_rate": 1e-2}},
    "embedded": {"method": "lora", "training": {"learning_rate": 1e-3, "token_budget": 512}},
}
EPOCHS = {"tiny": {"weak": 4, "strong": 10}, "embedded": {"weak": 1, "strong": 3}}


def rows() -> dict[str, list[dict[str, str]]]:
    """240 training rows and 80 test rows, in random order."""
    draw = random.Random(0)
    parts: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    names = draw.sample(["".join(syllables) for syllables in product(SYLLABLES, repeat=4)], 240)
    for number in range(80):
        things = names[3 * number : 3 * number + 3]
        for index, (colour, shelf) in enumerate(SHELVES.items()):
            part = "test" if index == number % len(SHELVES) else "train"
            parts[part].append({"box": f"{' '.join(things)} {colour}", "shelf": shelf})
    for part in parts.values():
        draw.shuffle(part)
    return parts


def build(root: Path, model: str) -> None:
    """A workspace of the one source ``boxes``, in git and DVC."""
    lay_out(root)
    (root / "tasks/template/library/own").mkdir(exist_ok=True)
    (root / "tasks/template/library/own/boxes.yaml").write_text(SET)
    (root / "data/sources/boxes").mkdir(parents=True)
    for part, own in rows().items():
        (root / f"data/sources/boxes/{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    split = {"by": "file", "files": {"train": ["train"], "test": ["test"]}, "validation_fraction": 0.1}
    source = {"ingest": {}, "template": {"set": "own/boxes"}, "split": split}
    edit(root, "sources", lambda p: p.update(sources={"boxes": source}, generated={}))
    edit(root, "mixtures", lambda p: p.update(mixtures={"boxes": {"sources": {"boxes": {}}}}))
    # No minimum of rows per label: the weak model may never generate one of the four shelves.
    edit(root, "registration", lambda p: p["registration"].update(min_label_rows=None))
    edit(root, "evaluation", lambda p: p["evaluation_set"].update(sources=["boxes"]))
    edit(root, "evaluation", lambda p: p["evaluate"].update(generation={"max_new_tokens": 6}))
    if model == "tiny":
        corpus = [f"Where does it go? {row['box']} {row['shelf']}" for row in rows()["train"]]
        save_llama(root / "base", corpus)
        (root / "base/.gitignore").write_text("*\n")
        edit(root, "training", lambda p: p.update(base_models={"tiny": "./base"}))
        edit(root, "training", lambda p: p["defaults"].update(base_model={"name": "./base"}, threads=1))
    weak = experiment(model, training(model, "weak"))
    experiments = {"base": {"method": "none", "mixture": "boxes"}, "weak": weak}
    edit(root, "experiments", lambda p: p.update(experiments=experiments))
    dvc(root, "add", "--quiet", "data/sources/boxes")
    commit(root)


def training(model: str, name: str) -> dict[str, Any]:
    """The training of the ``weak`` or the ``strong`` experiment."""
    return {**METHODS[model]["training"], "epochs": EPOCHS[model][name]}


def experiment(model: str, own: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An experiment with the training ``own``."""
    return {"method": METHODS[model]["method"], "mixture": "boxes", "training": own, **more}
