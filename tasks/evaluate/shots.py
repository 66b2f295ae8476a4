"""Choose the examples of a prompt, fit them into the context, and measure what they cost."""

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
    """The examples of each prompt variant.

    Attributes:
        count: number of examples per prompt.
        of: prompt variant → its ``count`` rows of ``examples.parquet``.
    """

    count: int
    of: dict[Variant, list[Row]]

    def of_row(self, row: Row) -> list[Example]:
        return [(one["prompt"], one["completion"]) for one in self.of[_variant(row)]] if self.count else []

    def shown(self) -> dict[str, list[dict[str, str]]]:
        """``SOURCE/TEMPLATE`` → its examples (``row_id``, ``prompt``, ``completion``), for the report."""
        return {
            f"{source}/{template}": [{key: row[key] for key in ("row_id", "prompt", "completion")} for row in rows]
            for (source, _, template), rows in self.of.items()
        }


def choose(test: list[Row], examples: list[Row], count: int, seed: int) -> Shots:
    """Choose ``count`` of ``examples`` (training rows) for each prompt variant of ``test``.

    All rows of a variant get the same examples, so that the model processes their common prefix once. Training rows of
    the variant itself are preferred, then others of the same source and task. A hash with ``seed`` decides the order.

    Raises:
        TunesmithError: a variant has fewer examples than ``count``.
    """
    chosen: dict[Variant, list[Row]] = {}
    if not count:
        return Shots(0, chosen)
    for variant in dict.fromkeys(map(_variant, test)):
        source, task, template = variant
        candidates = [row for row in examples if (row["source"], row["task"]) == (source, task) and row["completion"]]
        candidates.sort(key=lambda row: (row["template_id"] != template, unit_interval(seed, "shots", row["row_id"])))
        single: dict[str, Row] = {}
        for row in candidates:
            single.setdefault(row["row_id"], row)  # a row in several variants is one example
        if len(single) < count:
            raise TunesmithError(
                f"evaluation.shots: each prompt needs {count} training rows as examples; source {source} has "
                f"{len(single)} for task {task!r}; lower `shots`, or split more rows into train"
            )
        chosen[variant] = list(single.values())[:count]
    return Shots(count, chosen)


def rows_with_examples(rows: list[Row], examples: list[Row], count: int) -> list[int]:
    """The numbers of the ``rows`` for which ``choose`` has ``count`` examples."""
    ids: dict[tuple[str, str], set[str]] = {}
    for one in examples:
        if one["completion"]:
            ids.setdefault((one["source"], one["task"]), set()).add(one["row_id"])
    return [number for number, row in enumerate(rows) if len(ids.get((row["source"], row["task"]), ())) >= count]


def _variant(row: Row) -> Variant:
    return row["source"], row["task"], row["template_id"]


def prompts(renderer: Any, test: list[Row], shots: Shots, longest: int | None) -> tuple[list[list[int]], list[int]]:
    """Encode each row's prompt with as many examples as fit into ``longest`` tokens.

    The first examples are left out first. A prompt that does not fit even without examples stays whole; the caller
    refuses it.

    Returns:
        The tokens of each prompt, and the number of examples in each.
    """
    each = []
    for row in test:
        try:
            each.append(fitted(renderer, row, shots.of_row(row), longest))
        except TunesmithError as error:
            where = f"{row['source']}/{row['row_id']} ({row['source_file']}:{row['source_line']})"
            raise TunesmithError(f"{where}: {error}") from None
    return [tokens for tokens, _ in each], [kept for _, kept in each]


def fitted(renderer: Any, row: Row, examples: list[Example], longest: int | None) -> tuple[list[int], int]:
    """Encode a row's prompt with as many of the last ``examples`` as fit into ``longest``: (tokens, their number)."""
    encoded = renderer.prompt_row(row, examples)
    while examples and longest is not None and len(encoded) > longest:
        examples = examples[1:]
        encoded = renderer.prompt_row(row, examples)
    return encoded, len(examples)


def cost(tokens: list[list[int]], kept: list[int], shots: Shots, context: int | None) -> dict[str, Any]:
    """Measure what the examples cost, for ``shots`` of ``metrics.json``.

    Returns:
        ``count`` (examples per prompt), ``rows_with_fewer`` (rows whose prompt has no room for all), ``prompt_tokens``
        and ``context_share``, their share of the ``context`` window (both ``mean`` and ``most``), and ``examples``.
    """
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
