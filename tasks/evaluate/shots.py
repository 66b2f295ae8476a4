"""Examples in the prompt: which ones, how many fit, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import unit_interval
from tasks.text.rows import Row

Example = tuple[str, str]
"""(prompt, completion)."""

Variant = tuple[str, str, str]
"""(source, task, template_id)."""


@dataclass(frozen=True)
class Shots:
    """The examples of each wording.

    Attributes:
        count: wanted in each prompt.
        of: (source, task, template_id) → rows of ``examples.parquet``, as many as ``count``.
    """

    count: int
    of: dict[Variant, list[Row]]

    def of_row(self, row: Row) -> list[Example]:
        return [(one["prompt"], one["completion"]) for one in self.of[_wording(row)]] if self.count else []

    def shown(self) -> dict[str, list[dict[str, str]]]:
        """``SOURCE/TEMPLATE`` → its examples (``row_id``, ``prompt``, ``completion``), for the report."""
        return {
            f"{source}/{template}": [{key: row[key] for key in ("row_id", "prompt", "completion")} for row in rows]
            for (source, _, template), rows in self.of.items()
        }


def choose(test: list[Row], examples: list[Row], count: int, seed: int) -> Shots:
    """``count`` of ``examples`` (training rows) for each wording of ``test``: the same for all its rows, so that their
    common beginning is computed once.

    Those of the wording itself come first, then others of the same source and task; each by a hash with ``seed``.

    Raises:
        TunesmithError: a wording has fewer examples than ``count``.
    """
    found: dict[Variant, list[Row]] = {}
    if not count:
        return Shots(0, found)
    for wording in dict.fromkeys(map(_wording, test)):
        source, task, template = wording
        known = [row for row in examples if (row["source"], row["task"]) == (source, task) and row["completion"]]
        # A row may be asked for in several wordings; it is one example.
        known.sort(key=lambda row: (row["template_id"] != template, unit_interval(seed, "shots", row["row_id"])))
        single: dict[str, Row] = {}
        for row in known:
            single.setdefault(row["row_id"], row)
        if len(single) < count:
            raise TunesmithError(
                f"evaluation.shots: {count} examples of training rows are wanted in each prompt; source {source} has "
                f"{len(single)} for task {task!r}; lower `shots`, or split more rows into train"
            )
        found[wording] = list(single.values())[:count]
    return Shots(count, found)


def _wording(row: Row) -> Variant:
    return row["source"], row["task"], row["template_id"]


def prompts(renderer: Any, test: list[Row], shots: Shots, longest: int | None) -> tuple[list[list[int]], list[int]]:
    """Tokens of each row's prompt, and how many examples stand in it: as many as fit ``longest`` tokens.

    The first examples leave first. A prompt that does not fit without any is left as it is, for the caller to refuse.
    """
    each = [fitted(renderer, row["prompt"], shots.of_row(row), longest) for row in test]
    return [tokens for tokens, _ in each], [kept for _, kept in each]


def fitted(renderer: Any, prompt: str, examples: list[Example], longest: int | None) -> tuple[list[int], int]:
    """Tokens of one prompt with as many of the last ``examples`` as fit into ``longest``, and their number."""
    encoded = renderer.prompt(prompt, examples)
    while examples and longest is not None and len(encoded) > longest:
        examples = examples[1:]
        encoded = renderer.prompt(prompt, examples)
    return encoded, len(examples)


def cost(tokens: list[list[int]], kept: list[int], shots: Shots, context: int | None) -> dict[str, Any]:
    """``shots`` of ``metrics.json``: how many examples were wanted, how many rows had fewer for lack of room, mean and
    most tokens of a prompt, their share of the context window, and the examples themselves."""
    lengths = [len(prompt) for prompt in tokens]
    mean = sum(lengths) / len(lengths)
    return {
        "count": shots.count,
        "rows_with_fewer": sum(number < shots.count for number in kept),
        "prompt_tokens": {"mean": mean, "most": max(lengths)},
        "context": context,
        "context_share": {"mean": mean / context, "most": max(lengths) / context} if context else None,
        "examples": shots.shown(),
    }
