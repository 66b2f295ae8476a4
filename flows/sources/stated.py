"""What ``params/sources.yaml`` states about a source."""

from __future__ import annotations

from pathlib import Path

from tasks.core.params import load, parse, value_at
from tasks.core.paths import Paths
from tasks.ingest.params import IngestParams
from tasks.resolve.check import mapping
from tasks.template.library import library_of, load_set
from tasks.template.params import TemplateParams


def stated_ingest(root: Path, name: str) -> IngestParams | None:
    """``sources.name.ingest``; None if ``sources`` does not have the source yet."""
    path = Paths(root).params / "sources.yaml"
    sources = mapping(path, "sources")
    if name not in sources:
        return None
    return parse(IngestParams, value_at(sources, f"{name}.ingest") or {}, path, f"sources.{name}.ingest")


def stated_template(root: Path, name: str) -> TemplateParams | None:
    """``sources.name.template``; None if ``sources`` does not have the source yet."""
    path = Paths(root).params / "sources.yaml"
    return load(TemplateParams, path, "sources", name, "template") if name in mapping(path, "sources") else None


def used_columns(root: Path, name: str) -> set[str] | None:
    """Columns that the parameters of the source need in every row; None if it has none yet."""
    params = stated_template(root, name)
    if params is None:
        return None
    templates = load_set(params.set, library_of(root))
    optional = [column for column in templates.optional if column not in params.columns]
    needed = [c for c in templates.columns if c not in params.values and c not in optional]
    sources = mapping(Paths(root).params / "sources.yaml", "sources")
    required = value_at(sources, f"{name}.ingest.required") or []
    return {*required, *(params.columns.get(c, c) for c in needed), *filter(None, [params.group, params.time])}
