"""``none``: the base model is evaluated as it is."""

from __future__ import annotations

from tasks.tuning.method import Method
from tasks.tuning.params import UntrainedParams

METHOD = Method(params=UntrainedParams, make_trainable=None, restore=None, merges=False)
