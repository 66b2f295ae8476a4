"""Download the files of a source with fsspec: http(s), S3, GCS, local paths and the rest of its file systems."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tasks.core.errors import TunesmithError
from tasks.ingest.fetch.params import FetchedParams, addresses
from tasks.ingest.fetch.secrets import expanded, problem_without, variable
from tasks.ingest.formats import name_of

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
"""Protocol → the package that reads it, of the version that fsspec has; it is not installed by default."""

_CONNECT_S, _SILENT_S = 30, 120


def download(params: FetchedParams, where: str, root: Path, folder: Path) -> None:
    """Write each file of ``params.url`` into ``folder``.

    Args:
        where: file and key of ``params``, for errors.
        root: the folder from which relative paths start.

    Raises:
        TunesmithError: an address cannot be read, two files would have one name, or a variable or package is missing.
    """
    where = f"{where}.url"
    headers = {header: variable(name, where) for header, name in params.headers.items()}
    if isinstance(params.url, dict):
        for name, address in params.url.items():
            _fetch(address, name, headers, where, root, folder)
        return
    for address in addresses(params.url):
        _fetch(address, None, headers, where, root, folder)


def _fetch(address: str, name: str | None, headers: dict[str, str], where: str, root: Path, folder: Path) -> None:
    full, secrets = expanded(address, where)
    hidden = [*secrets, *headers.values()]
    try:
        system, path = _opened(full, headers, root)
        for remote in _matching(system, path, full):
            target = folder / _file_name(remote, name, address, where)
            if any(name_of(target) == name_of(other) for other in folder.iterdir()):
                raise TunesmithError(
                    f"{where}: files of a source must differ in their names; {name_of(target)!r} occurs twice; give "
                    "each a name: `url: {train: ADDRESS, test: ADDRESS}`"
                )
            system.get_file(remote, str(target))
    except TunesmithError:
        raise
    except (ImportError, ValueError) as error:
        raise _unreadable(full, address, where, error, hidden) from None
    except FileNotFoundError:
        raise TunesmithError(
            f"{where}: {address}: no such file; correct the address, or wait until the file exists again"
        ) from None
    except Exception as error:  # file systems of fsspec have no base class of errors in common
        raise TunesmithError(
            f"{where}: {address} must be readable, which failed ({_reason(error, hidden)}); check the address, the "
            "network and the credentials"
        ) from None


def _opened(full: str, headers: dict[str, str], root: Path) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import aiohttp
    from fsspec.core import split_protocol, url_to_fs

    protocol, path = split_protocol(full)
    if protocol in (None, "file", "local") and "::" not in full:
        full = str(root / path)
    wait = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S)
    http = {"headers": headers, "client_kwargs": {"trust_env": True, "timeout": wait}, "skip_instance_cache": True}
    options = {name: dict(http) for name in ("http", "https") if f"{name}://" in full}
    system, path = url_to_fs(full, **options)
    return system, str(path)


def _matching(system: Any, path: str, full: str) -> list[str]:
    """The files that a pattern with ``*`` names, in the order of their names; ``path`` itself if it is no pattern.

    Raises:
        FileNotFoundError: no file matches.
    """
    if "*" not in path or full.startswith(("http://", "https://")):
        return [path]
    listed = system.glob(path, detail=True)
    files = sorted(name for name, about in listed.items() if about["type"] == "file")
    if not files:
        raise FileNotFoundError(path)
    return files


def _file_name(remote: str, name: str | None, address: str, where: str) -> str:
    """The name of a file: that of the address, or ``name`` with the endings of the address."""
    last = PurePosixPath(unquote(urlsplit(remote).path)).name
    full = last if name is None else name + last.removeprefix(name_of(Path(last)))
    if not full or full.startswith("."):
        raise TunesmithError(
            f"{where}: {address}: the address must end in the name of a file; give the file a name: "
            "`url: {NAME: ADDRESS}`"
        )
    return full


def _reason(error: Exception, hidden: list[str]) -> str:
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int) and isinstance(message, str):  # aiohttp's error of a response shows the whole address
        return f"HTTP {status} {message}".strip()
    return problem_without(error, hidden)


def _unreadable(full: str, address: str, where: str, error: Exception, hidden: list[str]) -> TunesmithError:
    """The error of a protocol that fsspec does not know, or whose package is not installed."""
    from fsspec import __version__ as version

    protocol = full.split("::")[-1].split("://")[0]
    if isinstance(error, ImportError):
        remedy = f"install the package that its error names ({problem_without(error, hidden)})"
        if protocol in _PACKAGES:
            package = f"{_PACKAGES[protocol]}=={version}"
            remedy = f"install {package}: `{sys.executable} -m pip install {package}`"
        return TunesmithError(f"{where}: {address}: {protocol}:// needs a package that is not installed; {remedy}")
    return TunesmithError(
        f"{where}: {address}: must be an address that fsspec reads, such as https://…, s3://…, gs://… or a path "
        f"({problem_without(error, hidden)}); correct it"
    )
