"""Parameters of fetched sources, which ``tunesmith data refresh`` brings up to date."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tasks.core.params import Params

_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_KINDS = {"url": ("headers",), "sql": ("connection",), "hub": ("revision", "config", "splits")}
"""Where a source is fetched from → the keys that only it has."""


class FetchedParams(Params):
    """``fetched.S``: exactly one of ``url``, ``sql`` and ``hub``.

    Attributes:
        url: address of a file (http, https, s3, gs, a path, and whatever else fsspec reads), several of them, or name
            of the file without its ending → address. ``${NAME}`` stands for the environment variable NAME.
        headers: header of HTTP → name of the environment variable with its value.
        sql: a query whose rows become ``S.jsonl``, or name of a file without its ending → query.
        connection: name of the environment variable with the connection, as a URL of SQLAlchemy.
        hub: id of a data set of the Hugging Face hub, such as ``knkarthick/dialogsum``.
        revision: branch or tag that moves; ``main`` by default.
        config: name of the data set's configuration, if it has several.
        splits: splits to fetch; each becomes a Parquet file of its name. None fetches all.
        key: column that identifies a row, so that a changed row is not counted as a new one and a vanished one.
        min_share: a version with a smaller share of the old version's rows is refused.
    """

    url: str | list[str] | dict[str, str] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    sql: str | dict[str, str] | None = None
    connection: str | None = None
    hub: str | None = None
    revision: str | None = None
    config: str | None = None
    splits: list[str] | None = None
    key: str | None = None
    min_share: float = Field(default=0.5, ge=0, le=1)

    @field_validator("connection")
    @classmethod
    def _connection_is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):  # it may be a password, so it is not shown
            raise ValueError(
                "must be the name of an environment variable, such as SHOP_DATABASE, not the connection itself; put "
                "the connection into the variable"
            )
        return value

    @field_validator("headers")
    @classmethod
    def _headers_are_names(cls, value: dict[str, str]) -> dict[str, str]:
        for header, name in value.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(
                    f"{header} must name an environment variable, such as SHOP_TOKEN, not hold the value itself; put "
                    "the value into the variable"
                )
        return value

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str | list[str] | dict[str, str] | None) -> str | list[str] | dict[str, str] | None:
        for address in addresses(value):
            password = urlsplit(address).password
            if password and not password.startswith("${"):
                raise ValueError(
                    "an address must not hold a password; put it into an environment variable NAME, and write ${NAME} "
                    "in its stead"
                )
        return value

    @field_validator("url", "sql")
    @classmethod
    def _file_names(cls, value: str | list[str] | dict[str, str] | None) -> str | list[str] | dict[str, str] | None:
        for name in value if isinstance(value, dict) else ():
            if not re.fullmatch(r"\w[\w-]*", name):
                raise ValueError(f"the name of a file must be letters, digits, '-' and '_'; it is {name!r}; rename it")
        if value is not None and not value:
            raise ValueError("must not be empty; name what to fetch")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> FetchedParams:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"needs exactly one of url, sql and hub; it has {' and '.join(kinds) or 'none'}")
        for kind, keys in _KINDS.items():
            for key in keys:
                if kind != kinds[0] and getattr(self, key):
                    raise ValueError(f"{key} belongs to {kind}, and this source has {kinds[0]}; remove {key}")
        if self.sql is not None and self.connection is None:
            raise ValueError("sql needs connection: the name of the environment variable with the connection; add it")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)


def addresses(url: str | list[str] | dict[str, str] | None) -> list[str]:
    """The addresses of ``url``, in whichever form it is written."""
    if url is None:
        return []
    if isinstance(url, str):
        return [url]
    return list(url.values() if isinstance(url, dict) else url)
