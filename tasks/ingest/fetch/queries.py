"""Run queries with SQLAlchemy and stream their rows to JSONL files.

DVC's ``import-db`` is not used: it goes through frames, where a NULL turns integers into floats, and it wants the
connection in its configuration.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks.core.errors import TunesmithError
from tasks.ingest.fetch.params import FetchedParams
from tasks.ingest.fetch.secrets import problem_without, variable

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

_FETCHED_ROWS = 1000
_DRIVERS = {"psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient", "pymysql": "PyMySQL"}
"""Module of a driver → its package, if the names differ."""
_DIALECTS = {
    "bigquery": "sqlalchemy-bigquery",
    "databricks": "databricks-sqlalchemy",
    "duckdb": "duckdb-engine",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
}
"""Dialect that SQLAlchemy lacks → the package that adds it."""


def run_queries(name: str, params: FetchedParams, where: str, root: Path, folder: Path) -> None:
    """Write the rows of each query of ``params.sql`` into ``folder``, one JSON object per line.

    All queries read in one transaction, which is rolled back. NULL stays null and integers stay integers. Decimals,
    dates, times and UUIDs become text.

    Args:
        name: of the source, and of the file of its only query.
        where: file and key of ``params``, for errors.
        root: the folder from which the path of an SQLite file starts.

    Raises:
        TunesmithError: the variable is not set, the driver is missing, the database refuses a query, a query gives no
            row, or a value has no form in JSON.
    """
    from sqlalchemy.exc import NoSuchModuleError

    assert params.connection is not None and params.sql is not None
    text = variable(params.connection, f"{where}.connection")
    secrets = [text]
    queries = {name: params.sql} if isinstance(params.sql, str) else params.sql
    try:
        url = _url(text, root)
        secrets += [part for part in (url.password, *_texts(url.query)) if part]
        engine = _engine(url)
    except (ImportError, NoSuchModuleError) as error:
        raise _missing_package(error, url, params.connection, where) from None
    except Exception as error:  # a dialect may raise anything about its part of the URL
        raise TunesmithError(
            f"{where}.connection: the variable {params.connection} must hold a URL of SQLAlchemy, such as "
            f"postgresql://USER:PASSWORD@HOST/DATABASE ({problem_without(error, secrets)}); correct it"
        ) from None
    try:
        _stream(engine, queries, where, folder)
    except TunesmithError:
        raise
    except Exception as error:  # a driver raises errors of its own; SQLAlchemy wraps most of them
        raise TunesmithError(
            f"{where}.sql: the query must run, which failed ({problem_without(_cause(error), secrets)}); correct the "
            f"query, or the connection in {params.connection}"
        ) from None
    finally:
        engine.dispose()


def _url(text: str, root: Path) -> URL:
    """The connection; the path of an SQLite file starts at ``root``.

    Raises:
        TunesmithError: there is no such SQLite file. SQLite would create an empty one.
    """
    from sqlalchemy import make_url

    url = make_url(text)
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return url
    path = root / url.database
    if not path.is_file():
        raise FileNotFoundError(f"no such SQLite file: {path}")
    return url.set(database=str(path))


def _texts(query: Any) -> list[str]:
    """Values of a URL's query, which may hold a token; very short ones, such as ``1``, do not."""
    values = [value for value in query.values() for value in ((value,) if isinstance(value, str) else value)]
    return [value for value in values if len(value) > 3]


def _engine(url: URL) -> Engine:
    from sqlalchemy import create_engine, pool

    return create_engine(url, poolclass=pool.NullPool)


def _stream(engine: Engine, queries: dict[str, str], where: str, folder: Path) -> None:
    # Without `no_parameters`, drivers would read a `%` of the query as a parameter.
    with engine.connect().execution_options(stream_results=True, no_parameters=True) as connection:
        for name, query in queries.items():
            with (folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
                for line in _lines(connection, name, query, where):
                    file.write(line)
        connection.rollback()


def _lines(connection: Connection, name: str, query: str, where: str) -> Iterator[str]:
    result = connection.exec_driver_sql(query)
    if not result.returns_rows:
        raise TunesmithError(f"{where}.sql: {name}: must be a query that gives rows; write a SELECT")
    columns = [str(column) for column in result.keys()]  # noqa: SIM118 - a result is no mapping
    repeated = [column for i, column in enumerate(columns) if column in columns[:i]]
    if repeated:
        raise TunesmithError(
            f"{where}.sql: {name}: columns must have different names; {repeated[0]!r} occurs twice; name one with AS"
        )
    number = 0
    for rows in result.partitions(_FETCHED_ROWS):
        for row in rows:
            number += 1
            yield _line(columns, row, number, f"{where}.sql: {name}")
    if number == 0:
        raise TunesmithError(
            f"{where}.sql: {name}: the query gives no row; correct it, or wait until the table has rows"
        )


def _line(columns: Sequence[str], row: Sequence[Any], number: int, where: str) -> str:
    values = {}
    for column, value in zip(columns, row, strict=True):
        try:
            values[column] = _json_value(value)
        except TypeError as error:
            raise TunesmithError(f"{where}: row {number}, column {column!r}: {error}") from None
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def _json_value(value: Any) -> Any:
    """``value`` as JSON holds it.

    Raises:
        TypeError: JSON has no form for it; the message names the remedy.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise TypeError(f"{value} is no number that JSON has; turn it into NULL in the query")
        return value if isinstance(value, float) else format(value, "f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta | UUID):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes are no text; leave the column out, or encode it in the query (base64, hex)")
    raise TypeError(f"a {type(value).__name__} has no form in JSON; turn it into text in the query (CAST … AS …)")


def _cause(error: Exception) -> Exception:
    """The driver's own error: SQLAlchemy's text repeats the query."""
    cause = getattr(error, "orig", None)
    return cause if isinstance(cause, Exception) else error


def _missing_package(error: Exception, url: URL, connection: str, where: str) -> TunesmithError:
    """The error of a driver or a dialect that is not installed."""
    backend = url.get_backend_name()
    module = (error.name or "").split(".")[0] if isinstance(error, ImportError) else ""
    package = _DRIVERS.get(module, module) or _DIALECTS.get(backend)
    problem = f"{where}.connection: the database in {connection} is {backend}"
    if package is None:
        return TunesmithError(f"{problem}, which SQLAlchemy does not know; correct it, or install its dialect")
    return TunesmithError(
        f"{problem}, which needs the package {package}; install it: `{sys.executable} -m pip install {package!r}`"
    )
