"""Whether a method trains. This module reads no method's record, so that packages that only report need none either."""

UNTRAINED = "none"
"""The method of experiments that evaluate the base model as it is."""


def is_trained(method: str) -> bool:
    """Return whether experiments with ``method`` train a model."""
    return method != UNTRAINED
