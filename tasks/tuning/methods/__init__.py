"""The methods, a module for each. The name of the module is the name of the method, and its ``METHOD`` the record."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from tasks.tuning.method import Method


def names() -> list[str]:
    """List the methods by name; none of their modules is imported."""
    return sorted(module.name for module in iter_modules(__path__))


def named(name: str) -> Method[Any]:
    """Import the module of the method ``name``, which is one of ``names()``, and no other's."""
    method: Method[Any] = import_module(f"{__name__}.{name}").METHOD
    return method
