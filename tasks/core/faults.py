"""Tell faults that may be gone at the next try, and memory that ran out, from all other errors.

A process names the kind of its error by its exit code, so that the flow which started it can try again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from socket import gaierror
from ssl import SSLCertVerificationError

from tasks.core.errors import TunesmithError

TRANSIENT_EXIT = os.EX_TEMPFAIL
"""Exit code 75 of ``sysexits.h``: a fault of a network or a server, which may be gone at the next try."""

MEMORY_EXIT = os.EX_OSERR
"""Exit code 71 of ``sysexits.h``: the machine lacks something, here memory."""

_TRANSIENT_STATUS = {408, 429, 500, 502, 503, 504}
"""HTTP: timeout, too many requests, and errors of a server or of a proxy before it."""

_IN_TEXT = re.compile(r"failed with error code (\d{3})|too many (\d{3}) error responses")
"""How MLflow and urllib3 write an HTTP status that they do not keep as a number."""

_NO_MEMORY = re.compile(r"can't allocate memory|out of memory|not enough memory", re.IGNORECASE)
"""torch's allocators on the CPU and on a GPU, and bitsandbytes."""


_LASTING = ("OfflineModeIsEnabled",)
"""huggingface_hub was told to stay offline."""

_OF_CLIENTS = ("ClientConnectionError", "HTTPClientError")
"""No connection, in aiohttp and botocore, which this module does not import."""


class TransientError(TunesmithError):
    """A fault of a network or a server that may be gone at the next try."""


class MemoryShortError(TunesmithError):
    """Memory ran out; the same work with the same parameters would fail again."""


def exit_code(error: TunesmithError) -> int:
    """The exit code of a process that ends with ``error``."""
    if isinstance(error, MemoryShortError):
        return MEMORY_EXIT
    return TRANSIENT_EXIT if is_transient(error) else 1


def is_transient(error: BaseException) -> bool:
    """Whether the error comes from a connection, a timeout, or a server that is down or overloaded.

    Its causes are examined too, since most are raised again with a message for the user. A wrong host name cannot be
    told from a name server that is down, so it is transient too. A library that was told to stay offline is no fault.
    """
    chain = list(_behind(error))
    if any(isinstance(one, SSLCertVerificationError) or type(one).__name__ in _LASTING for one in chain):
        return False
    return any(map(_passes, chain))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation of Python or torch failed."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def _passes(error: BaseException) -> bool:
    return isinstance(error, TransientError) or _is_network(error) or _status(error) in _TRANSIENT_STATUS


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_network(error: BaseException) -> bool:
    # Imported here, since only a process that fails needs them.
    import filelock
    import httpx
    import requests

    if isinstance(error, filelock.Timeout | httpx.UnsupportedProtocol | requests.exceptions.SSLError):
        return False  # another process holds a lock; the address is wrong; the server cannot be trusted
    if type(error).__name__ == "OperationalError" and getattr(error, "pgcode", "") is None:
        return True  # psycopg2: PostgreSQL sent no answer
    kinds = (ConnectionError, TimeoutError, gaierror, httpx.TransportError, requests.ConnectionError, requests.Timeout)
    return isinstance(error, kinds) or any(kind.__name__ in _OF_CLIENTS for kind in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """The HTTP status of an error of requests, httpx, urllib, botocore, aiohttp or MLflow."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = (
            getattr(response, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
        )
    if isinstance(status, int):
        return status
    if quoted := _IN_TEXT.search(str(error)):
        return int(quoted[1] or quoted[2])
    return None
