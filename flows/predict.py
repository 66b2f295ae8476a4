"""``tunesmith predict``: trained models answer a text or a file of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from tasks import device, files
from tasks.errors import TunesmithError
from tasks.evaluate.generate import Generated
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.predict import Predictor
from tasks.ingest.readers import read
from tasks.params import load, read_yaml
from tasks.paths import Paths
from tasks.template.environment import ENVIRONMENT, names_in
from tasks.tuned import SharedBase


def predict_text(
    root: Path, experiments: Sequence[str], text: str, template: str | None, say: Callable[[str], None]
) -> dict[str, str]:
    """Experiment → its answer to one text, put into a template that the model was trained with; a model that was
    trained on none is asked as the first of the others that was.

    Raises:
        TunesmithError: no such model, or the template needs several columns.
    """
    said, prompt, shared = {}, None, SharedBase() if len(experiments) > 1 else None
    for name in _trained_first(root, experiments, template):
        say(f"loading {name}")
        predictor = _predictor(root, name, shared)
        asked = prompt if prompt is not None and not predictor.manifest["templates"] else None
        asked = asked or _prompt_of_text(predictor, text, template)
        prompt = prompt or asked
        said[name] = predictor.complete([asked])[0]
    return {name: said[name] for name in experiments}


def predict_file(
    root: Path,
    experiments: Sequence[str],
    source: Path,
    target: Path,
    template: str | None,
    say: Callable[[str], None],
) -> int:
    """Answer every row of ``source`` and write the rows with ``completion`` and ``finished`` to ``target``; of several
    experiments a row each, with ``experiment``.

    A row with ``prompt`` is asked as it is; others give the columns of the template (names as in the source), and a
    model that knows none is asked as the first of the others. Returns the number of rows of ``source``.
    """
    rows = list(read(source, "jsonl"))
    said: dict[str, list[Generated]] = {}
    prompts: list[str] | None = None
    shared = SharedBase() if len(experiments) > 1 else None
    if shared and (line := next((line for line, row in rows if "experiment" in row), None)):
        raise TunesmithError(
            f"{source}:{line}: with several experiments the column `experiment` must be free for their names; the row "
            "has one; rename it, or ask one experiment at a time"
        )
    needed = template if any("prompt" not in row for _, row in rows) else None
    for name in _trained_first(root, experiments, needed):
        say(f"loading {name}")
        predictor = _predictor(root, name, shared)
        if prompts is None or predictor.manifest["templates"]:
            asked = [_prompt_of_row(root, predictor, row, f"{source}:{line}", template) for line, row in rows]
        else:
            asked = prompts
        prompts = prompts or asked
        said[name] = predictor.generate(asked)
    with files.replacing(target) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, (_, row) in enumerate(rows):
            for name in experiments:
                answer = said[name][number]
                whose = {"experiment": name} if len(experiments) > 1 else {}
                written = row | whose | {"completion": answer.text, "finished": answer.finished}
                file.write(json.dumps(written, ensure_ascii=False, default=str) + "\n")
    return len(rows)


def _trained_first(root: Path, experiments: Sequence[str], template: str | None) -> list[str]:
    """Those that know templates before those that do not. What cannot be asked is refused before a model is loaded:
    an experiment that was not built, and a template that one of the trained ones does not know."""
    known: dict[str, dict[str, str]] = {}
    for name in experiments:
        _resolved(root, name)
        path = Paths(root).model(name) / "manifest.json"
        known[name] = files.read_json(path)["templates"] if path.exists() else {}
    for name, templates in known.items():
        if templates or not any(known.values()):
            _template(name, templates, template)
    return sorted(experiments, key=lambda name: not known[name])


def _resolved(root: Path, experiment: str) -> Path:
    paths = Paths(root)
    resolved = paths.experiment(experiment) / "evaluate.yaml"
    if not resolved.exists():
        known = ", ".join(sorted(p.name for p in paths.resolved.glob("*"))) or "none yet"
        raise TunesmithError(
            f"predict: no experiment {experiment!r} was built; there are: {known}; `tunesmith run` builds"
        )
    return resolved


def _predictor(root: Path, experiment: str, shared: SharedBase | None = None) -> Predictor:
    paths = Paths(root)
    params = load(EvaluateParams, _resolved(root, experiment))
    device.use_threads(params.threads)
    return Predictor.load(paths.model(experiment), params.generation, root, shared)


def _template(experiment: str, known: dict[str, str], asked: str | None) -> tuple[str, str] | None:
    """(name, text) of the template asked for, or the first that the model knows; a base model knows none."""
    if asked is not None and asked not in known:
        raise TunesmithError(
            f"predict: {experiment} knows no template {asked!r}; it knows: {', '.join(known) or 'none'}"
        )
    name = asked or next(iter(known), None)
    return (name, known[name]) if name else None


def _variables(text: str) -> list[str]:
    return sorted(names_in(text))


def _prompt_of_text(predictor: Predictor, text: str, asked: str | None) -> str:
    template = _template(predictor.manifest["experiment"], predictor.manifest["templates"], asked)
    if template is None:
        return text
    variables = _variables(template[1])
    if len(variables) != 1:
        raise TunesmithError(
            f"predict: template {template[0]} needs the columns {', '.join(variables)}; give rows with --input"
        )
    return ENVIRONMENT.from_string(template[1]).render({variables[0]: text}).strip()


def _prompt_of_row(root: Path, predictor: Predictor, row: dict[str, Any], place: str, asked: str | None) -> str:
    if "prompt" in row:
        return str(row["prompt"])
    template = _template(predictor.manifest["experiment"], predictor.manifest["templates"], asked)
    if template is None:
        raise TunesmithError(f"{place}: an untrained model needs rows with `prompt`; the row has {', '.join(row)}")
    source = template[0].split("/")[0]
    sources = read_yaml(Paths(root).params / "sources.yaml").get("sources") or {}
    names = sources.get(source, {}).get("template", {}).get("columns") or {}
    renamed = {wanted: row[column] for wanted, column in names.items() if column in row}
    try:
        return ENVIRONMENT.from_string(template[1]).render(row | renamed).strip()
    except UndefinedError as error:
        raise TunesmithError(
            f"{place}: template {template[0]} needs the columns {', '.join(_variables(template[1]))} ({error}); "
            f"the row has {', '.join(row)}; add them, or a `prompt`"
        ) from None
