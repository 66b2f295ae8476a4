"""Parameters of rendering rows into instructions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tasks.core.params import Params


class TemplateParams(Params):
    """``sources.S.template``.

    Attributes:
        set: file of ``tasks/template/library`` without its ending; ``own/NAME`` for one in its folder ``own``.
        columns: column that the set expects → column that the source has; unnamed ones have the same name.
        values: column that the set expects → text that it has in every row, such as a language's name.
        use: ids of the templates to use, each once; None uses all of the set.
        assign: ``hash`` gives each row one template by a hash of seed and row_id, so that new rows
            change no other row's template; ``all`` renders each row with every template; ``one`` gives every row
            the first of ``use`` (of the set). A template whose optional columns a row lacks is no candidate for it.
        group: source column whose equal values stay on one side of the split (a conversation, an
            author); None, and a row without a value there, groups rows by the set's ``identity`` or, where it
            names none, by what their prompts are made of.
        time: source column with a number or an ISO 8601 date or time, for a split by time; None for none. Digits
            alone are a number, also as text (``20240601``); a date needs its separators (``2024-06-01``).
        seed: of the assignment and of choices inside templates.
        max_dropped: share of rows that may be dropped (an empty text, prompt or completion, an answer that is none
            of the choices, a leak) before the step stops.
    """

    set: str
    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, str] = Field(default_factory=dict)
    use: list[str] | None = Field(default=None, min_length=1)
    assign: Literal["hash", "all", "one"] = "hash"
    group: str | None = None
    time: str | None = None
    seed: int = 0
    max_dropped: float = Field(default=0.0, ge=0, le=1)

    @field_validator("use")
    @classmethod
    def _each_once(cls, use: list[str] | None) -> list[str] | None:
        if twice := [i for number, i in enumerate(use or ()) if i in (use or ())[:number]]:
            raise ValueError(f"template {twice[0]!r} is named twice; name each once")
        return use
