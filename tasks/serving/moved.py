"""Old names of modules that stored models import.

MLflow stores a registered model with its own copy of ``serving_model.py``, which imports modules by the names that they
had when the model was stored. If the process has already imported today's code, those names are looked up here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

MOVED = {
    "tasks.errors": "tasks.core.errors",
    "tasks.stage": "tasks.core.stage",
    "tasks.evaluate.answer": "tasks.serving.stored_interface",
    "tasks.evaluate.as_evaluated": "tasks.serving.stored_interface",
}
"""Name of a module when models were stored → its name today."""


class _MovedModules(MetaPathFinder, Loader):
    """Imports today's module under its old name. Both names give one module, so that ``except`` catches its errors."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own_spec  # the import system has set one with the old name


def install() -> None:
    """Make the old names of ``MOVED`` importable. They are tried last, so that they hide no module of today."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
