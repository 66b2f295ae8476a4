"""Parameters of rendering rows into instructions."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from tasks.core.params import Params
from tasks.text.conversations import Learn

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")

_TWO_LETTERS = {
    "zho": "zh",
    "chi": "zh",
    "cmn": "zh",
    "jpn": "ja",
    "kor": "ko",
    "tha": "th",
    "lao": "lo",
    "khm": "km",
    "mya": "my",
    "bur": "my",
    "eng": "en",
    "deu": "de",
    "ger": "de",
    "fra": "fr",
    "fre": "fr",
    "spa": "es",
    "ita": "it",
    "por": "pt",
    "rus": "ru",
    "ara": "ar",
    "hin": "hi",
    "ell": "el",
    "gre": "el",
}
"""Codes of ISO 639-2 and 639-3 → the code of ISO 639-1, by which ``tasks.metrics.languages`` knows the language."""


class TemplateParams(Params):
    """``sources.S.template``.

    Attributes:
        set: name of a file of ``tasks/template/library``, without its ending; ``own/NAME`` for one in its folder
            ``own``.
        columns: column of the set → column of the source; a column that is not named has the same name in both.
        values: column of the set → its text in every row, such as a language's name.
        use: ids of the templates to use, each once; None uses all templates of the set.
        assign: ``hash`` gives each row one template by a hash of seed and row_id, so that new rows change no other
            row's template. ``all`` renders each row with every template. ``one`` gives every row the first template of
            ``use``, or of the set. A row that lacks an optional column gets no template that uses it.
        group: source column; rows with equal values stay in one part of the split (a conversation, an author). If it is
            None, or a row has no value in it, the set's ``identity`` groups the rows, else the columns of the prompts.
        time: source column with a number or an ISO 8601 date or time, for a split by time; None for none. Digits
            alone are a number, also as text (``20240601``); a date needs its separators (``2024-06-01``).
        learn: which assistant messages of a conversation training learns: the ``last``, ``all``, or those that the rows
            mark (``marked``, by ``train`` or ``weight``). None is ``all``, and refuses rows with marks.
        seed: seed of the assignment and of choices inside templates.
        language: language of the completions, as a code of ISO 639 (``de``, ``zh``, ``zh-TW``; ``yue`` where no code
            with two letters exists). It only decides how they are scored (``tasks.metrics.languages``). None scores
            them as English.
        max_dropped: the step stops if a larger share of rows is dropped (an empty text, prompt or completion, a
            completion that is none of the choices, a leak).
    """

    set: str
    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, str] = Field(default_factory=dict)
    use: list[str] | None = Field(default=None, min_length=1)
    assign: Literal["hash", "all", "one"] = "hash"
    group: str | None = None
    time: str | None = None
    learn: Learn | None = None
    seed: int = 0
    language: str | None = None
    max_dropped: float = Field(default=0.0, ge=0, le=1)

    @field_validator("language")
    @classmethod
    def _is_code(cls, language: str | None) -> str | None:
        if language is not None and not _LANGUAGE.fullmatch(language):
            raise ValueError(f"must be a code of ISO 639 in lower case, such as en, de or zh; it is {language!r}")
        code, dash, rest = (language or "").partition("-")
        if short := _TWO_LETTERS.get(code):
            raise ValueError(
                f"must be the code with two letters where there is one; it is {language!r}; write {short + dash + rest}"
            )
        return language

    @field_validator("use")
    @classmethod
    def _each_once(cls, use: list[str] | None) -> list[str] | None:
        if twice := [i for number, i in enumerate(use or ()) if i in (use or ())[:number]]:
            raise ValueError(f"template {twice[0]!r} is named twice; name each once")
        return use
