"""The library ``evaluate`` without its evaluators, which would import transformers and torch; no metric needs them."""

from __future__ import annotations

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules
_imported = _modules.get("transformers")
_modules["transformers"] = None  # importing it now raises ImportError, as if it were not installed
try:
    import evaluate
finally:
    del _modules["transformers"]
    if _imported is not None:
        _modules["transformers"] = _imported

__all__ = ["evaluate"]
