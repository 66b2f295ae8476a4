"""Parameters of mixtures and of the evaluation set."""

from __future__ import annotations

from pydantic import Field

from tasks.params import Params


class Share(Params):
    """What a mixture takes of one source: at most ``limit`` training rows; None takes all."""

    limit: int | None = Field(default=None, ge=1)


class MixtureParams(Params):
    """``mixtures.M``.

    Attributes:
        sources: source → share. Validation rows are taken whole.
        seed: of the order of the rows, and of which rows a limit keeps.
    """

    sources: dict[str, Share] = Field(min_length=1)
    seed: int = 0


class EvaluationSetParams(Params):
    """``evaluation_set`` of ``params/evaluation.yaml``: the rows that every experiment meets.

    Attributes:
        sources: whose test rows (scores) and validation rows (choice of the candidate) are used.
        limit: most test rows a source, and most validation rows a source; None keeps all.
        seed: of which rows a limit keeps.
    """

    sources: list[str] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
