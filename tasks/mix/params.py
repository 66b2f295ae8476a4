"""Parameters of mixtures and of the contamination check."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tasks.core.errors import TunesmithError
from tasks.core.params import Params, load, read_yaml
from tasks.text.near_duplicates import NearDuplicateParams


class Share(Params):
    """The rows that a mixture takes of one source.

    Attributes:
        limit: most training rows per task; None takes all.
        weight: for ``weighting: explicit``, the source's weight, relative to those of the others.
    """

    limit: int | None = Field(default=None, ge=1)
    weight: float | None = Field(default=None, gt=0)


class HoldOut(Params):
    """Rows that a mixture leaves out of training and validation, so that evaluation can use unseen ones.

    Attributes:
        tasks: names of whole tasks.
        templates: names of templates, as ``SOURCE/ID``.
    """

    tasks: list[str] = Field(default_factory=list)
    templates: list[str] = Field(default_factory=list)


class MixtureParams(Params):
    """``mixtures.M``.

    A *component* is one task of one source: weights are given to components.

    Attributes:
        sources: source → share.
        weighting: ``all`` takes every row; with ``rows``, components are weighted by their size. ``proportional`` is
            FLAN's examples-proportional mixing with a maximum (Wei et al. 2022, section 2.4): the weight of a component
            is its number of rows, at most ``cap``. ``temperature`` is T5's mixing (Raffel et al. 2020, section 3.5.2):
            that weight to the power of ``1 / temperature``. ``equal`` gives all components the same weight.
            ``explicit`` gives each source its ``weight``, divided among its tasks by their size.
        cap: for ``proportional`` and ``temperature``, the highest number of rows that counts for a weight.
        temperature: for ``temperature``; 1 is proportional, a high value nearly equal.
        rows: number of training rows; None takes as many as the weights allow without repeating a row.
        validation_limit: most validation rows per component; None takes all.
        hold_out: tasks and templates that are left out.
        seed: seed of the draw and of the order of the rows.
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
    """``contamination`` of ``params/mixtures.yaml``: when a test row counts as seen in training.

    Attributes:
        near_duplicates: when two texts are near-duplicates.
        contained_share: a training text matches an evaluation text if it contains this share of its words, in runs of 8
            or more. These must be at least 13 words, or the whole text.
        min_words: references with fewer words, such as labels, are not compared.
        common: an n-gram in more than this number of training texts, and of evaluation texts, is a set phrase and does
            not count. Training texts are those of all sources of the mixture, and evaluation texts those of every
            source; each different text counts once.
        dirty_share: an evaluation row is dirty if a larger share of its n-grams occurs in training.
        max_dirty: the step stops if a larger share of the rows of an evaluation set is dirty.
        max_left_out: the step stops if a larger share of a source's training rows is left out because they match
            evaluation rows.
    """

    near_duplicates: NearDuplicateParams = NearDuplicateParams()
    contained_share: float = Field(default=0.45, gt=0, le=1)
    min_words: int = Field(default=8, ge=1)
    common: int = Field(default=10, ge=1)
    dirty_share: float = Field(default=0.5, ge=0, le=1)
    max_dirty: float = Field(default=0.05, ge=0, le=1)
    max_left_out: float = Field(default=0.2, ge=0, le=1)


def load_contamination(file: Path) -> ContaminationParams:
    """The section ``contamination`` of ``params/mixtures.yaml``.

    Raises:
        TunesmithError: the section is missing, which DVC does not allow for ``mix``; or a key or value is wrong.
    """
    if "contamination" not in read_yaml(file):
        raise TunesmithError(
            f"{file}: contamination: this key is required; add `contamination: {{}}`, which means its defaults"
        )
    return load(ContaminationParams, file, "contamination")
