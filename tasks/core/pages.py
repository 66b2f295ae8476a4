"""HTML pages from templates: one definition of what is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def pages(folder: Path) -> Environment:
    """Templates of ``folder``. Every text that they are given is escaped: models and data sets wrote it."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
