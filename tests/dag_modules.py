"""The modules of this project that a stage imports, derived from the source code."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The ledger is a projection of files: nothing that it does changes what a stage writes. The plan of memory stands in
# ``runs/`` alone, and refuses.
NO_DEPENDENCY = ("tasks/tracking/", "tasks/register/", "tasks/memory/", "tasks/__init__.py")

# Data files that a module reads beside its code.
DATA = {
    "tasks/template/library.py": ["tasks/template/library/${item.template.set}.yaml"],
    "tasks/ingest/demo/__init__.py": ["tasks/ingest/demo"],
    "tasks/metrics/text.py": ["tasks/metrics/words.yaml"],
    "tasks/metrics/load.py": ["tasks/metrics"],
    "tasks/benchmark/harness/suites.py": ["tasks/benchmark/harness/processing.py", "tasks/benchmark/harness/suites"],
    "tasks/benchmark/helm/scenarios.py": ["tasks/benchmark/helm/scenarios.yaml", "tasks/benchmark/helm/sets"],
    "tasks/benchmark/helm/toxicity.py": ["tasks/benchmark/helm/profanity"],
    "tasks/benchmark/helm/word_lists.py": ["tasks/benchmark/helm/words"],
    "tasks/compare/report.py": ["tasks/compare/report.html.jinja"],
}


# Of ``DATA``, what a stage does not read: the scenarios of the suite ``risk`` have sets of their own, and the templates
# of the test rows lie beside them.
_SET = "tasks/template/library/${item.template.set}.yaml"
UNREAD = {"tasks.benchmark": {_SET}, "tasks.evaluate.predict": {_SET}}


def module_file(name: str) -> Path | None:
    """The file of the module ``name`` if it is this project's."""
    base = ROOT / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def imported(path: Path) -> set[str]:
    """Names of the modules that a file imports, also inside functions; type-checking imports do not count."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in {"tasks", "flows"}}


def dependencies(module: str) -> list[str]:
    """Files (and folders of data) that ``python -m module`` depends on, relative to the project, sorted.

    Empty ``__init__.py`` files are left out.
    """
    entry = module_file(f"{module}.__main__") or module_file(module)
    assert entry is not None, module
    seen, queue = {entry}, [entry]
    while queue:
        for name in imported(queue.pop()):
            path = module_file(name)
            if path and path not in seen and not path.relative_to(ROOT).as_posix().startswith(NO_DEPENDENCY):
                seen.add(path)
                queue.append(path)
    found: set[str] = set()
    for path in seen:
        name = path.relative_to(ROOT).as_posix()
        found |= set(DATA.get(name, []))
        if path.stat().st_size:
            found.add(name)
    found -= UNREAD.get(module, set())
    folders = [f"{name}/" for name in found if (ROOT / name).is_dir()]
    return sorted(name for name in found if not any(name.startswith(folder) for folder in folders))
