"""What a stage of ``dvc.yaml`` depends on, derived from the source code: the files that it imports, and their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parent.parent

NEARLY_ALL = 0.8
"""Share of a folder's files from which ``dvc.yaml`` lists the folder and not its files."""

NO_DEPENDENCY = (
    *("tasks/tracking/", "tasks/gate/", "tasks/registry/", "tasks/register/", "tasks/memory/", "tasks/ancestry/"),
    "tasks/model/signatures.py",
    "tasks/__init__.py",
)
"""Code that changes no output of a stage: the ledger is a projection of files, the plan of memory only refuses, a base
model is an input that its hash names, signatures only refuse, and ``tasks/__init__.py`` serves stored models."""

_SET = "tasks/template/library/${item.template.set}.yaml"
_METHOD = "tasks/tuning/methods/${item.method}.py"

DATA = {
    "tasks/template/library.py": [_SET],
    "tasks/evaluate/canary.py": ["tasks/evaluate/canary_prompts.txt"],
    "tasks/ingest/demo/__init__.py": ["tasks/ingest/demo"],
    "tasks/metrics/negation.py": ["tasks/metrics/negation.yaml"],
    "tasks/metrics/quantities.py": ["tasks/metrics/quantities.yaml"],
    "tasks/metrics/load.py": ["tasks/metrics"],
    "tasks/benchmark/harness/suites.py": ["tasks/benchmark/harness/processing.py", "tasks/benchmark/harness/suites"],
    "tasks/benchmark/helm/scenarios.py": ["tasks/benchmark/helm/scenarios.yaml", "tasks/benchmark/helm/sets"],
    "tasks/benchmark/helm/toxicity.py": ["tasks/benchmark/helm/profanity"],
    "tasks/benchmark/helm/word_lists.py": ["tasks/benchmark/helm/words"],
}
"""Files and folders that a module reads beside its code."""

UNREAD = {"tasks.benchmark": {_SET}, "tasks.evaluate.predict": {_SET}}
"""Files of ``DATA`` that a stage does not read: the scenarios of the suite ``risk`` have sets of their own, and the
templates of the test rows lie beside them."""


_METHODS = "tasks/tuning/methods"

ONE_METHOD = {"tasks.train", "tasks.sweep", "tasks.evaluate.predict"}
"""Stages that import the module of their experiment's method alone. ``tasks.tuning.methods`` imports modules by name;
any other stage that imports it may import them all."""


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


def imported_files(module: str) -> set[str]:
    """Files (and folders of data) that ``python -m module`` reads, relative to the project.

    Empty ``__init__.py`` files are left out.
    """
    entry = module_file(f"{module}.__main__") or module_file(module)
    assert entry is not None, module
    seen, queue = {entry}, [entry]
    while queue:
        file = queue.pop()
        for name in imported(file) | (methods() if file == ROOT / _METHODS / "__init__.py" else set()):
            path = module_file(name)
            if path and path not in seen and not path.relative_to(ROOT).as_posix().startswith(NO_DEPENDENCY):
                seen.add(path)
                queue.append(path)
    names: set[str] = set()
    for path in seen:
        name = path.relative_to(ROOT).as_posix()
        names |= set(DATA.get(name, []))
        if path.stat().st_size:
            names.add(name)
    if module in ONE_METHOD:
        names -= {f"{name.replace('.', '/')}.py" for name in methods()}
        names.add(_METHOD)
    return names - UNREAD.get(module, set())


def methods() -> set[str]:
    """Names of the modules of all methods."""
    names = (path.stem for path in (ROOT / _METHODS).glob("*.py") if path.stem != "__init__")
    return {f"{_METHODS.replace('/', '.')}.{name}" for name in names}


def dependencies(module: str) -> list[str]:
    """The entries under ``deps`` that lie in ``tasks/``, sorted, for the stage ``python -m module``."""
    return folded(imported_files(module), files_of(ROOT / "tasks"))


def files_of(folder: Path) -> list[str]:
    """All files under ``folder`` that hold something, relative to the project."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return [path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts]


def folded(names: Collection[str], files: Collection[str]) -> list[str]:
    """``names`` with each folder in place of its files where they are ``NEARLY_ALL`` of them.

    This holds for all files under the folder, and for those directly in it: a large folder of data beside the code
    makes no room of it. A folder with a file that depends on the experiment (``${…}``) is never listed: it holds the
    files of the others too.

    Args:
        names: files and folders that a stage reads.
        files: all files of the project's code.
    """
    rooms = (parent for file in files for parent in Path(file).parents if len(parent.parts) > 1)  # not ``tasks`` itself
    folders = sorted({room.as_posix() for room in rooms})
    listed: list[str] = []
    for folder in folders:
        if _covered(folder, listed) or any("${" in name and _covered(name, [folder]) for name in names):
            continue
        under = [file for file in files if _covered(file, [folder])]
        direct = [file for file in under if Path(file).parent == Path(folder)]
        if len(under) > 1 and all(_nearly_all(group, names) for group in (under, direct)):
            listed.append(folder)
    return sorted([*listed, *(name for name in names if not _covered(name, listed))])


def _nearly_all(files: Collection[str], names: Collection[str]) -> bool:
    return sum(_covered(file, names) for file in files) >= NEARLY_ALL * len(files)


def _covered(name: str, by: Collection[str]) -> bool:
    """Whether a file or folder is one of ``by`` or lies in one of them."""
    return any(name == other or name.startswith(f"{other}/") for other in by)


HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "safetensors"}
"""Libraries of models: importing them takes seconds."""


def loaded(code: str) -> set[str]:
    """The modules that a fresh Python has imported after ``code``."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
