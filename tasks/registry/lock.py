"""The lock under which decisions on a registry are made.

On one machine it is a file, which the operating system releases if its process dies. If several
workspaces share a store in PostgreSQL, it is an advisory lock of that database, which the database releases if the
connection ends. A tracking server behind HTTP has no lock: set ``TUNESMITH_LOCK_DATABASE`` to a PostgreSQL address
that all workspaces reach.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.text.words import hash64

VARIABLE = "TUNESMITH_LOCK_DATABASE"


@contextmanager
def registry_lock(paths: Paths, uri: str, model: str) -> Iterator[None]:
    """Hold the lock of the registered model ``model`` in the MLflow store at ``uri``; wait for it if necessary.

    Raises:
        TunesmithError: the database of the lock cannot be reached.
    """
    database = lock_database(uri)
    with ExitStack() as held:
        held.enter_context(FileLock(lock_file(paths, uri)))
        if database is not None:
            held.enter_context(_advisory_lock(database, model))
        yield


def lock_file(paths: Paths, uri: str) -> Path:
    """Path of the lock: beside an SQLite store, which several workspaces may share, else in the workspace."""
    database = uri.removeprefix("sqlite:///")
    return Path(f"{database}.registry.lock") if database != uri else paths.state / "register.lock"


def lock_database(uri: str) -> str | None:
    """Address of the PostgreSQL database that holds the lock; None if the file is enough."""
    return os.environ.get(VARIABLE) or (uri if uri.startswith("postgresql") else None)


@contextmanager
def _advisory_lock(database: str, model: str) -> Iterator[None]:
    import sqlalchemy

    number = hash64(f"tunesmith registry\0{model}") - 2**63  # PostgreSQL's bigint is signed
    try:
        address = sqlalchemy.make_url(database)
    except sqlalchemy.exc.ArgumentError:
        raise TunesmithError(f"{VARIABLE}: must be an address such as postgresql://USER@HOST/DATABASE") from None
    try:
        connection = sqlalchemy.create_engine(address, poolclass=sqlalchemy.pool.NullPool).connect()
    except ImportError as error:
        raise TunesmithError(
            f"{VARIABLE}: PostgreSQL needs the Python package {error.name}; install it: pip install psycopg2-binary"
        ) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        shown = address.render_as_string(hide_password=True)
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise TunesmithError(
            f"{VARIABLE}: the lock of the registry is in the database {shown}, which must be reachable; {reason}"
        ) from None
    with connection:
        connection.execute(sqlalchemy.text("select pg_advisory_lock(:number)"), {"number": number})
        try:
            yield
        finally:
            connection.execute(sqlalchemy.text("select pg_advisory_unlock(:number)"), {"number": number})
