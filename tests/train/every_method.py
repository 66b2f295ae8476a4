"""Parameters of every method for the tiny models, so that it learns there within a few steps."""

from __future__ import annotations

from typing import Any

TEXT = {"initial": "text", "text": "Summarize: my lamp", "virtual_tokens": 6}

METHODS: dict[str, dict[str, Any]] = {
    "full": {"training": {"learning_rate": 5e-3}},
    "selective": {"selective": {"layer_norms": True, "last_layers": 1}, "training": {"learning_rate": 5e-3}},
    "lora": {"lora": {"rank": 4, "dropout": 0.1, "targets": "all-linear"}, "training": {"learning_rate": 2e-2}},
    "adalora": {
        "adalora": {"initial_rank": 4, "target_rank": 2, "targets": "all-linear"},
        "training": {"learning_rate": 5e-2},
    },
    "vera": {"vera": {"rank": 16, "targets": "all-linear"}, "training": {"learning_rate": 1e-1}},
    "adapter": {"adapter": {"size": 8}, "training": {"learning_rate": 2e-2}},
    "ia3": {"training": {"learning_rate": 0.2}},
    "prompt_tuning": {"prompt_tuning": TEXT, "training": {"learning_rate": 5e-2}},
    "prefix_tuning": {"prefix_tuning": {"virtual_tokens": 5}, "training": {"learning_rate": 5e-2}},
    "p_tuning": {"p_tuning": {**TEXT, "hidden": 32}, "training": {"learning_rate": 2e-2}},
    "qlora": {"lora": {"rank": 4, "targets": "all-linear"}, "training": {"learning_rate": 2e-2}},
}
METHODS = {name: {"method": name, **patch} for name, patch in METHODS.items()}

SOFT = ("prompt_tuning", "prefix_tuning", "p_tuning")
