"""``tunesmith predict``: a trained model answers a text or a file of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from tasks import device, files
from tasks.errors import TunesmithError
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.predict import Predictor
from tasks.ingest.readers import read
from tasks.params import load, read_yaml
from tasks.paths import Paths
from tasks.template.environment import ENVIRONMENT, names_in


def predict_text(root: Path, experiment: str, text: str, template: str | None) -> str:
    """The answer to one text, put into a template that the model was trained with.

    Raises:
        TunesmithError: no such model, or the template needs several columns.
    """
    predictor = _predictor(root, experiment)
    return predictor.complete([_prompt_of_text(predictor, text, template)])[0]


def predict_file(root: Path, experiment: str, source: Path, target: Path, template: str | None) -> int:
    """Answer every row of ``source`` and write the rows with ``completion`` and ``finished`` to ``target``.

    A row with ``prompt`` is asked as it is; others give the columns of the template (names as in the source).
    Returns the number of rows.
    """
    rows = list(read(source, "jsonl"))
    predictor = _predictor(root, experiment)
    prompts = [_prompt_of_row(root, predictor, row, f"{source}:{line}", template) for line, row in rows]
    answers = predictor.generate(prompts)
    with files.replacing(target) as temporary, temporary.open("w", encoding="utf-8") as file:
        for (_, row), answer in zip(rows, answers, strict=True):
            said = row | {"completion": answer.text, "finished": answer.finished}
            file.write(json.dumps(said, ensure_ascii=False, default=str) + "\n")
    return len(rows)


def _predictor(root: Path, experiment: str) -> Predictor:
    paths = Paths(root)
    resolved = paths.experiment(experiment) / "evaluate.yaml"
    if not resolved.exists():
        known = ", ".join(sorted(p.name for p in paths.resolved.glob("*"))) or "none yet"
        raise TunesmithError(
            f"predict: no experiment {experiment!r} was built; there are: {known}; `tunesmith run` builds"
        )
    params = load(EvaluateParams, resolved)
    device.use_threads(params.threads)
    return Predictor.load(paths.model(experiment), params.generation, root)


def _template(predictor: Predictor, asked: str | None) -> tuple[str, str] | None:
    """(name, text) of the template asked for, or the first that the model knows; a base model knows none."""
    known: dict[str, str] = predictor.manifest["templates"]
    if asked is not None and asked not in known:
        raise TunesmithError(f"predict: the model knows no template {asked!r}; it knows: {', '.join(known) or 'none'}")
    name = asked or next(iter(known), None)
    return (name, known[name]) if name else None


def _variables(text: str) -> list[str]:
    return sorted(names_in(text))


def _prompt_of_text(predictor: Predictor, text: str, asked: str | None) -> str:
    template = _template(predictor, asked)
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
    template = _template(predictor, asked)
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
