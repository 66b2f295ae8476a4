"""A row as tokens, and which of them are labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

IGNORED = -100
"""Label of a token that is not learned."""


@dataclass(frozen=True)
class Encoded:
    """One row as tokens.

    Attributes:
        prompt: the tokens before the first learned one.
        completion: the tokens from the first learned one to the last; nothing follows it.
        learned: for each token of ``completion``, whether it is learned; None if all are. A conversation with several
            learned turns has the user's turns between them.
    """

    prompt: list[int]
    completion: list[int]
    learned: list[bool] | None = None

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)

    @property
    def labels(self) -> list[int]:
        """The labels of ``completion``: its tokens, and IGNORED where a token is not learned."""
        if self.learned is None:
            return self.completion
        return [
            token if is_learned else IGNORED for token, is_learned in zip(self.completion, self.learned, strict=True)
        ]

    @property
    def supervised(self) -> int:
        """Number of learned tokens."""
        return len(self.completion) if self.learned is None else sum(self.learned)

    @property
    def turns(self) -> list[tuple[int, int]]:
        """Start and end of each run of learned tokens in ``completion``; a turn is one run."""
        if self.learned is None:
            return [(0, len(self.completion))] if self.completion else []
        runs, start = [], 0
        for is_learned, members in groupby(self.learned):
            end = start + len(list(members))
            if is_learned:
                runs.append((start, end))
            start = end
        return runs
