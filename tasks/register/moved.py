"""Old names of modules that stored models import.

MLflow stores a registered model with its own copy of ``serving_model.py``, which imports modules by the names that they
had when the model was stored. In a process that imported the code of today first, those names lead here.
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
    "tasks.evaluate.answer": "tasks.register.stored_interface",
    "tasks.evaluate.as_evaluated": "tasks.register.stored_interface",
}
"""Name of a module when models were stored → its name today."""


class _MovedModules(MetaPathFinder, Loader):
    """Imports the module of today under its old name: one module, so that ``except`` knows its errors."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own_spec  # the import system put the old name there


def install() -> None:
    """Let the old names of ``MOVED`` be imported; they come last, so that no module of today is hidden."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
