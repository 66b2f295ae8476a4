"""Parameters of the evaluation set. Light."""

from __future__ import annotations

from pydantic import Field

from tasks.core.params import Params


class RetentionParams(Params):
    """``evaluation_set.retention``: what models could do before they were tuned.

    Attributes:
        sources: whose test rows every experiment answers beside the test rows proper.
        limit: most rows a source; None keeps all.
    """

    sources: list[str] = Field(default_factory=list)
    limit: int | None = Field(default=100, ge=1)


class EvaluationSetParams(Params):
    """``evaluation_set`` of ``params/evaluation.yaml``: the rows that every experiment meets.

    Attributes:
        sources: whose test rows (scores) and validation rows (choice of the candidate) are used.
        limit: most test rows a source, and most validation rows a source; None keeps all.
        seed: of which rows a limit keeps.
        retention: rows of other tasks, which tell what tuning made a model lose.
    """

    sources: list[str] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    retention: RetentionParams = RetentionParams()
