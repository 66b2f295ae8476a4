"""Parameters of mixtures, and of the check for contamination."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tasks.core.errors import TunesmithError
from tasks.core.params import Params, load, read_yaml
from tasks.text.near_duplicates import NearDuplicateParams


class Share(Params):
    """What a mixture takes of one source.

    Attributes:
        limit: most training rows of each of its tasks; None takes all.
        weight: of ``weighting: explicit``: the source's part of the mixture, in proportion to those of the others.
    """

    limit: int | None = Field(default=None, ge=1)
    weight: float | None = Field(default=None, gt=0)


class HoldOut(Params):
    """What a mixture neither trains on nor watches, so that evaluation can ask for what was never seen.

    Attributes:
        tasks: names of whole tasks.
        templates: wordings, as ``SOURCE/ID``.
    """

    tasks: list[str] = Field(default_factory=list)
    templates: list[str] = Field(default_factory=list)


class MixtureParams(Params):
    """``mixtures.M``.

    A *component* is one task of one source: weights are given to components.

    Attributes:
        sources: source → share.
        weighting: ``all`` takes every row, or of ``rows`` rows as many of a component as its size says;
            ``proportional`` is FLAN's examples-proportional mixing with a maximum (Wei et al. 2022, section 2.4): a
            component weighs as many rows as it has, at most ``cap``; ``temperature`` is T5's (Raffel et al. 2020,
            section 3.5.2): that size to the power of ``1 / temperature``; ``equal`` gives all the same; ``explicit``
            gives each source its ``weight``, spread over its tasks by their size.
        cap: of ``proportional`` and ``temperature``: the size beyond which a component weighs no more.
        temperature: of ``temperature``; 1 is proportional, a high one nearly equal.
        rows: training rows in all; None takes as many as the weights allow without repeating a row.
        validation_limit: most validation rows of each component; None takes all.
        hold_out: tasks and templates that are left out.
        seed: of the order of the rows, and of which rows are drawn.
    """

    sources: dict[str, Share] = Field(min_length=1)
    weighting: Literal["all", "proportional", "temperature", "equal", "explicit"] = "all"
    cap: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=1)
    rows: int | None = Field(default=None, ge=1)
    validation_limit: int | None = Field(default=None, ge=1)
    hold_out: HoldOut = HoldOut()
    seed: int = 0

    @model_validator(mode="after")
    def _weights_fit_the_weighting(self) -> MixtureParams:
        weighted = [name for name, share in self.sources.items() if share.weight is not None]
        if self.weighting == "explicit" and (without := [name for name in self.sources if name not in weighted]):
            raise ValueError(f"sources.{without[0]}.weight: `weighting: explicit` needs the weight of every source")
        if self.weighting != "explicit" and weighted:
            raise ValueError(f"sources.{weighted[0]}.weight: only `weighting: explicit` uses weights; remove it")
        if self.cap is not None and self.weighting not in ("proportional", "temperature"):
            raise ValueError(f"cap: `weighting: {self.weighting}` uses no cap; remove it")
        if (self.temperature is None) == (self.weighting == "temperature"):
            raise ValueError("temperature: must be given with `weighting: temperature`, and only there")
        return self


class ContaminationParams(Params):
    """``contamination`` of ``params/mixtures.yaml``: what counts as a test row that was in training.

    Attributes:
        near_duplicates: when two texts are nearly the same.
        min_words: references of fewer words, such as labels, are not compared.
        common: an n-gram in more different training texts than this, and in more different evaluation texts, is a
            set phrase and does not count.
        dirty_share: an evaluation row is dirty where more of its n-grams than this share stand in training.
        max_dirty: the step stops where more of the rows of an evaluation set are dirty.
        max_left_out: the step stops where more of a source's training rows are left out because they equal or nearly
            equal an evaluation row.
    """

    near_duplicates: NearDuplicateParams = NearDuplicateParams()
    min_words: int = Field(default=8, ge=1)
    common: int = Field(default=10, ge=1)
    dirty_share: float = Field(default=0.5, ge=0, le=1)
    max_dirty: float = Field(default=0.05, ge=0, le=1)
    max_left_out: float = Field(default=0.2, ge=0, le=1)


def load_contamination(file: Path) -> ContaminationParams:
    """The section ``contamination`` of ``params/mixtures.yaml``.

    Raises:
        TunesmithError: it is missing (DVC refuses to run ``mix`` then), or holds a wrong key or value.
    """
    if "contamination" not in read_yaml(file):
        raise TunesmithError(
            f"{file}: contamination: this key is required; add `contamination: {{}}`, which means its defaults"
        )
    return load(ContaminationParams, file, "contamination")
