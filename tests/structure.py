"""Rules of the code's structure, read from its syntax trees. Each function returns the violations, one line each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

ROOMS = (
    *(
        "core",
        "text",
        "metrics",
        "model",
        "tuning",
        "ancestry",
        "inference",
        "memory",
        "ingest",
        "template",
        "split",
        "mix",
    ),
    *("evaluation_set", "evaluate", "resolve", "compare", "tracking", "train", "sweep"),
    *("benchmark", "preferences", "serving", "gate", "registry", "register", "report", "lineage", "drift"),
)
"""The rooms of ``tasks/``, lowest first: a room imports itself and rooms before it, so no circle can close."""

Sources = Mapping[str, str]
"""Path of a Python file, relative to the project → its text."""


def read_sources(root: Path, *folders: str) -> dict[str, str]:
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def wrong_rooms(root: Path) -> list[str]:
    """What stands directly under ``tasks/`` and is no room, and rooms that are missing."""
    entries = {path.name for path in (root / "tasks").iterdir()} - {"__pycache__"}
    expected = {*ROOMS, "__init__.py"}
    unexpected = [f"tasks/{name}: not a room of the list" for name in sorted(entries - expected)]
    return unexpected + [f"tasks/{name}: missing" for name in sorted(expected - entries)]


def wrong_imports(sources: Sources) -> list[str]:
    """Imports that run up the order of rooms, and imports of the layers above; those inside functions count too."""
    violations = []
    for path, text in sources.items():
        for module, line in _imports(path, ast.parse(text)):
            reason = _forbidden(path, module)
            if reason:
                violations.append(f"{path}:{line}: imports {module}: {reason}")
    return violations


def _forbidden(path: str, module: str) -> str | None:
    folders, names = path.split("/")[:-1], module.split(".")
    if folders[0] == "tasks":
        if names[0] in ("prefect", "flows"):
            return "tasks import neither Prefect nor flows"
        if folders[1:] and names[0] == "tasks" and _rank(names) > _rank(folders):
            return f"{names[1]} is above {folders[1]} in the order of rooms"
    elif names[0] == "flows" and names[1:2] in (["commands"], ["cli"]) and _layer(names) > _layer(folders):
        return f"flows/{names[1]} is above {'/'.join(folders)}"
    return None


def _layer(names: list[str]) -> int:
    """flows/*.py are the lowest layer of ``flows``, then its commands, then the command line."""
    return {"commands": 1, "cli": 2}.get(names[1], 0) if len(names) > 1 else 0


def _rank(names: list[str]) -> int:
    """Position of ``tasks.ROOM…`` in the order of rooms; below all of them for anything else."""
    return ROOMS.index(names[1]) if len(names) > 1 and names[1] in ROOMS else -1


def _imports(path: str, tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names of imported modules, with lines; of ``from a import b`` also ``a.b``, since b may be a module."""
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            if "." in module or module not in ("tasks", "flows"):
                yield module, node.lineno
            if module.split(".")[0] in ("tasks", "flows"):
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((str(a.value), node.lineno) for a in node.args if isinstance(a, ast.Constant))


FORBIDDEN_NAMES = {"found", "said", "asked", "place", "there", "begun"}
"""Words for a value that say nothing about it; the field has a term for each."""


def wrong_names(sources: Sources) -> list[str]:
    """Variables, parameters, attributes, functions, classes and files with one of ``FORBIDDEN_NAMES``."""
    violations = [f"{path}: the file" for path in sources if Path(path).stem in FORBIDDEN_NAMES]
    for path, text in sources.items():
        lines = [(node.lineno, name) for node in ast.walk(ast.parse(text)) for name in _names(node)]
        violations += [f"{path}:{line}: {name}" for line, name in sorted(lines) if name in FORBIDDEN_NAMES]
    return violations


def _names(node: ast.AST) -> Iterator[str]:
    """The names that a node of the tree defines or, of an attribute, uses."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(asname=str(name)) | ast.MatchAs(name=str(name)) | ast.ExceptHandler(name=str(name)):
            yield name


METHOD_ROOMS = ("tasks/tuning/methods/", "tasks/resolve/")
"""Only here is the name of a method compared; all other code asks the method's record."""


def comparisons_of_methods(sources: Sources) -> list[str]:
    """Comparisons of something named ``method`` with one or several names, outside ``METHOD_ROOMS``."""
    violations = []
    for path, text in sources.items():
        if not path.startswith(METHOD_ROOMS):
            nodes = [node for node in ast.walk(ast.parse(text)) if _compares_method(node)]
            violations += [f"{path}:{node.lineno}: compares a method's name" for node in nodes]
    return violations


def _compares_method(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, comparators=others):
            operands = [left, *others]
            return any(map(_is_method, operands)) and any(map(_is_text, operands))
        case ast.Match(subject=subject, cases=cases):
            patterns = [pattern for case in cases for pattern in ast.walk(case.pattern)]
            values = [pattern.value for pattern in patterns if isinstance(pattern, ast.MatchValue)]
            return _is_method(subject) and any(map(_is_text, values))
    return False


def _is_method(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="method") | ast.Attribute(attr="method") | ast.Subscript(slice=ast.Constant(value="method")):
            return True
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="method"), *_]):
            return True
    return False


def _is_text(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return any(map(_is_text, elements))
    return False
