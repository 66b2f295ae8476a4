"""The servers of a team as processes: PostgreSQL, an S3-compatible store, and Prefect and MLflow on them.

They are what ``infra/compose.yaml`` starts as containers. PostgreSQL comes from the system's packages.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import sqlalchemy

from flows.ui import free_port
from tasks.core import files
from tests.flows.servers import end_group, wait_until

KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "team-secret", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKETS = ("mlflow", "dvc")


@dataclass(frozen=True)
class Team:
    """Addresses of the servers.

    Attributes:
        prefect: address of Prefect's API.
        mlflow: address of the tracking server.
        store: address of the S3-compatible store.
        database: SQLAlchemy address of PostgreSQL, without a database's name.
    """

    prefect: str
    mlflow: str
    store: str
    database: str

    def variables(self) -> dict[str, str]:
        """The environment variables of a workspace that uses the servers."""
        return KEYS | {
            "PREFECT_API_URL": self.prefect,
            "MLFLOW_TRACKING_URI": self.mlflow,
            "AWS_ENDPOINT_URL": self.store,
            "TUNESMITH_LOCK_DATABASE": f"postgresql+psycopg2://{self.database}/postgres",
        }


@contextmanager
def team(folder: Path, before_store: Callable[[str], AbstractContextManager[str]] = nullcontext) -> Iterator[Team]:
    """Start the servers, and end them after the block; their logs are in ``folder``.

    Args:
        before_store: starts a proxy before the store at the given address; yields the address that clients use.
    """
    with ExitStack() as running:
        database = running.enter_context(_postgresql(folder))
        store = running.enter_context(before_store(running.enter_context(_store(folder))))
        for name in ("prefect", "mlflow"):
            _execute(f"postgresql+psycopg2://{database}/postgres", f"CREATE DATABASE {name}")
        prefect, mlflow = (f"http://127.0.0.1:{free_port(port)}" for port in (4500, 5500))
        servers = Team(f"{prefect}/api", mlflow, store, database)
        running.enter_context(_prefect(folder, servers))
        running.enter_context(_mlflow(folder, servers))
        wait_until(lambda: _answers(f"{servers.prefect}/health"), 180, "Prefect")
        wait_until(lambda: _answers(f"{mlflow}/health"), 180, "MLflow")
        yield servers


def _execute(address: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A new cluster of PostgreSQL; as root, its processes belong to the user ``postgres``, since it refuses root."""
    port, data = free_port(5600), Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(data, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    initdb = [*as_user, _program("initdb"), "--pgdata", str(data), "--username=team", "--auth=trust", "--no-sync"]
    made = subprocess.run(initdb, cwd="/", capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    command = [*as_user, _program("postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data)]
    command += ["-c", "fsync=off", "-c", "max_connections=200"]
    address = f"team@127.0.0.1:{port}"
    try:
        with _process(command, folder / "postgresql.log", {}, stop=signal.SIGINT):
            wait_until(lambda: _accepts(f"postgresql+psycopg2://{address}/postgres"), 60, "PostgreSQL")
            yield address
    finally:
        shutil.rmtree(data)


def _program(name: str) -> str:
    """The path of a program of PostgreSQL; Debian keeps most of them off the search path."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(installed[-1]) if installed else shutil.which(name)
    assert program, f"{name} is missing; install PostgreSQL (apt install postgresql)"
    return program


def _accepts(address: str) -> bool:
    try:
        _execute(address, "SELECT 1")
    except sqlalchemy.exc.OperationalError:
        return False
    return True


@contextmanager
def _store(folder: Path) -> Iterator[str]:
    """SeaweedFS with one key pair and the two buckets."""
    ports = {name: str(free_port(start)) for name, start in (("s3", 8400), ("master", 9400), ("filer", 8900))}
    ports["volume"] = str(free_port(8100))
    (folder / "store").mkdir()
    identity = {
        "name": "team",
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        "credentials": [{"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}],
    }
    files.write_json(folder / "s3.json", {"identities": [identity]})
    command = [str(Path(sys.executable).parent / "weed"), "server", f"-dir={folder / 'store'}", "-ip=127.0.0.1"]
    command += ["-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # else it listens on fixed ports, which may be taken
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    address = f"http://127.0.0.1:{ports['s3']}"
    with _process(command, folder / "store.log", {}, stop=signal.SIGKILL):
        wait_until(lambda: _answers(f"{address}/status"), 60, "the store")
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name=KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        for bucket in BUCKETS:
            client.create_bucket(Bucket=bucket)
        yield address


@contextmanager
def _prefect(folder: Path, servers: Team) -> Iterator[None]:
    port = servers.prefect.removesuffix("/api").rpartition(":")[2]
    variables = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{servers.database}/prefect",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_UI_API_URL": servers.prefect,  # the pages would call port 4200
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with _process(command, folder / "prefect.log", variables):
        yield


@contextmanager
def _mlflow(folder: Path, servers: Team) -> Iterator[None]:
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", "--workers=1"]
    command += [f"--port={servers.mlflow.rpartition(':')[2]}", "--artifacts-destination=s3://mlflow"]
    command += [f"--backend-store-uri=postgresql+psycopg2://{servers.database}/mlflow"]
    more = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "AWS_ENDPOINT_URL": servers.store, **KEYS}
    with _process(command, folder / "mlflow.log", more):
        yield


@contextmanager
def _process(
    command: list[str], log: Path, variables: Mapping[str, str], stop: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd="/",  # PostgreSQL, as another user, must be able to enter it
            env={**os.environ, **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process, stop, 30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
