"""Which errors may be gone at the next try, which mean too little memory, and how a process tells both."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import aiohttp
import boto3
import httpx
import psycopg2
import pytest
import requests
import torch
from botocore.config import Config
from filelock import FileLock
from mlflow import MlflowClient

from tasks.core.errors import TunesmithError
from tasks.core.faults import MEMORY_EXIT, TRANSIENT_EXIT, exit_code, is_transient, ran_out_of_memory
from tasks.tracking.client import readable_mlflow
from tests.core.stages import finished, names, script
from tests.flows.recording import recording_server

CLOSED = "http://127.0.0.1:9"


def error_of(work: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as error:
        work()
    return error.value


def retold(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:
        raise TunesmithError(f"source shop: {error}") from None


@pytest.mark.parametrize("get", [requests.get, httpx.get])
def test_a_connection_that_fails_is_transient_also_in_the_users_words(get: Callable[[str], object]) -> None:
    assert is_transient(error_of(lambda: get(CLOSED)))
    error = error_of(lambda: retold(lambda: get(CLOSED)))
    assert isinstance(error, TunesmithError) and exit_code(error) == TRANSIENT_EXIT


@pytest.mark.parametrize(
    ("status", "expected"),
    [(500, True), (503, True), (429, True), (404, False), (401, False), (400, False), (403, False)],
)
@pytest.mark.parametrize("get", [requests.get, httpx.get])
def test_a_status_of_the_server_is_transient_and_one_of_the_request_is_not(
    get: Callable[[str], requests.Response], status: int, expected: bool
) -> None:
    with recording_server(HTTPStatus(status)) as (url, _):
        assert is_transient(error_of(lambda: get(url).raise_for_status())) is expected


@pytest.mark.parametrize(("status", "expected"), [(503, True), (404, False)])
def test_mlflow_names_the_status_in_its_text(monkeypatch: pytest.MonkeyPatch, status: int, expected: bool) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with recording_server(HTTPStatus(status)) as (url, _):

        def ask() -> None:
            with readable_mlflow(url):
                MlflowClient(tracking_uri=url).get_experiment_by_name("tunesmith")

        error = error_of(ask)
    assert isinstance(error, TunesmithError) and is_transient(error) is expected


def connect_to_postgresql() -> None:
    psycopg2.connect("host=127.0.0.1 port=9 dbname=x")


def list_a_bucket() -> None:
    settings = Config(retries={"max_attempts": 0}, connect_timeout=2)
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=CLOSED, config=settings, **keys).list_buckets()


def request_with_aiohttp() -> None:
    async def request() -> None:
        async with aiohttp.ClientSession() as session:
            await session.get(CLOSED)

    asyncio.run(request())


def resolve_a_name() -> None:
    socket.getaddrinfo("no-such-host.invalid", 80)


@pytest.mark.parametrize("work", [connect_to_postgresql, list_a_bucket, request_with_aiohttp, resolve_a_name])
def test_every_client_without_a_connection_is_transient(work: Callable[[], None]) -> None:
    assert is_transient(error_of(work))


def test_a_lock_of_another_process_is_no_transient_fault(tmp_path: Path) -> None:
    def work() -> None:
        FileLock(tmp_path / "lock", timeout=0).acquire()

    with FileLock(tmp_path / "lock"):
        error = error_of(lambda: retold(work))
    assert isinstance(error, TunesmithError) and exit_code(error) == 1


def test_a_library_that_must_stay_offline_is_no_transient_fault(tmp_path: Path) -> None:
    body = (
        "        from huggingface_hub import hf_hub_download\n"
        "        hf_hub_download('someone/something', 'config.json')\n"
    )
    done = finished(script(tmp_path, body), tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1, done.stderr


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("500"), TunesmithError("no such column"), httpx.UnsupportedProtocol("ftp")]
)
def test_other_errors_are_not_transient(error: Exception) -> None:
    assert not is_transient(error)


def test_memory_that_torch_cannot_get_is_known_on_cpus_and_gpus() -> None:
    assert ran_out_of_memory(error_of(lambda: torch.empty(2**50)))
    assert ran_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert ran_out_of_memory(MemoryError())
    assert not ran_out_of_memory(RuntimeError("shapes differ")) and not ran_out_of_memory(OSError("out of memory"))


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (f"        import requests; requests.get('{CLOSED}')\n", TRANSIENT_EXIT, "the network or a server failed"),
        ("        import torch; torch.empty(2**50)\n", MEMORY_EXIT, "memory ran out (RuntimeError: "),
    ],
)
def test_a_process_tells_the_kind_of_its_error_by_its_exit_code(
    tmp_path: Path, body: str, code: int, words: str
) -> None:
    done = finished(script(tmp_path, body), tmp_path)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(f"work: error: {words}"), done.stderr
    assert "Traceback" not in done.stderr and not names(tmp_path / "out")
