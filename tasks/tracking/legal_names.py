"""Names of metrics as MLflow accepts them."""

from __future__ import annotations

import re

from tasks.core.files import digest

LONGEST = 250
"""Characters of a name (``mlflow.utils.validation.MAX_ENTITY_KEY_LENGTH`` of MLflow 3.17)."""

_ILLEGAL = re.compile(r"[^/\w.\- :]")
"""What ``validate_param_and_metric_name`` of MLflow 3.17 refuses. A task's name may hold any character."""


def legal_name(name: str) -> str:
    """``name``, or one like it that MLflow accepts, with the first digits of a hash: names that differ stay apart.

    MLflow treats names as paths of files, so ``a//b``, ``a/./b`` and ``a/../b`` are refused too.
    """
    parts = [part if part.strip(".") else "_" for part in _ILLEGAL.sub("_", name).split("/")]
    legal = "/".join(parts)
    if legal == name and len(name) <= LONGEST:
        return name
    suffix = f"-{digest(name)[:8]}"
    return legal[: LONGEST - len(suffix)] + suffix
