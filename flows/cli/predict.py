"""``tunesmith predict``: completions of a text or of a file's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal import console, note, say, workspace, write
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths


def predict(
    text: Annotated[str | None, typer.Argument(help="A text, such as a dialogue.")] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option(help="Experiment (lora by default), or models:/NAME@ALIAS; may be repeated."),
    ] = None,
    champion: Annotated[bool, typer.Option("--champion", help="Use the registered champion.")] = False,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", help="CSV, TSV, JSONL, JSON or Parquet file with the source's columns, or with `prompt`."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File for the input's rows with `template`, `completion` and `finished`; its ending sets the format."
        ),
    ] = None,
    template: Annotated[str | None, typer.Option(help="Template to use, as SOURCE/ID.")] = None,
) -> None:
    """Generate the completion of a text, or of every row of a file, with the settings of the evaluation."""
    root = workspace()
    from flows.commands.predict import predict_file, predict_text
    from flows.commands.registered import champion_address

    names = [champion_address(Paths(root))] if champion else []
    names = list(dict.fromkeys([*names, *(experiment or ([] if champion else ["lora"]))]))
    if text is not None and source is None:
        for name, completion in predict_text(root, names, text, template, say, note).items():
            write(completion if len(names) == 1 else f"{name}: {completion}")
    elif source is not None and text is None:
        if output is None:
            raise TunesmithError("predict: --input needs --output, the file to write")
        count = predict_file(root, names, source, output, template, say, note)
        console.print(f"{output}: {counted(count, 'row')}")
    else:
        raise TunesmithError("predict: give either a text, or --input and --output")
