"""Tune a tuned model further: build the base model from a registered version."""
