"""Parameters of the evaluation set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.params import Params


class RetentionParams(Params):
    """``evaluation_set.retention``: rows of other tasks, which show what tuning makes a model forget.

    Attributes:
        sources: every experiment also predicts the test rows of these sources.
        limit: most rows per source; None keeps all. With 100 rows, no task can be shown to be kept.
    """

    sources: list[str] = Field(default_factory=list)
    limit: int | None = Field(default=1000, ge=1)


class RetiredParams(Params):
    """``evaluation_set.retired``: rows of earlier test sets, which give a second opinion and decide nothing.

    Attributes:
        limit: most rows per source; None keeps all, 0 none.
    """

    limit: int | None = Field(default=100, ge=0)


class EvaluationSetParams(Params):
    """``evaluation_set`` of ``params/evaluation.yaml``: the rows on which every experiment is evaluated.

    Attributes:
        sources: their test rows are scored; their validation rows choose the candidate.
        limit: most test rows, and most validation rows, per source; None keeps all. A conversation counts as one.
        turns: which assistant messages of a conversation models generate: the ``last``, or ``every`` one
            (``tasks.evaluation_set.turns``).
        seed: seed of the choice of rows under a limit.
        retention: rows of other tasks, which show what tuning makes a model forget.
        retired: rows of earlier test sets of ``sources``.
    """

    sources: list[str] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    turns: Literal["last", "every"] = "last"
    seed: int = 0
    retention: RetentionParams = RetentionParams()
    retired: RetiredParams = RetiredParams()
