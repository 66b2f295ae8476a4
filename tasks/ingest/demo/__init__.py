"""Invented customer-service chats with reference summaries, the data of the demonstration."""

from tasks.ingest.demo.rows import generate

__all__ = ["generate"]
