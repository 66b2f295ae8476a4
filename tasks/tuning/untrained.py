"""Whether a method trains. It needs no record of a method, so that rooms which only report need none either."""

UNTRAINED = "none"
"""The method of experiments that evaluate the base model as it is."""


def is_trained(method: str) -> bool:
    """Return whether experiments with ``method`` train a model."""
    return method != UNTRAINED
