"""Fetching a source: queries, addresses and hub branches become files; secrets stay in the environment."""

from __future__ import annotations

import base64
import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import fsspec
import pytest

from tasks.core.errors import TunesmithError
from tasks.core.files import read_jsonl
from tasks.core.params import parse
from tasks.ingest.fetch import moving, queries
from tasks.ingest.fetch.params import FetchedParams
from tasks.ingest.fetch.run import RECORD, fetch, record_of
from tasks.ingest.fetch.secrets import problem_without

WHERE = "params/sources.yaml: fetched.shop"
BIG = 2**62 + 1


class Server(BaseHTTPRequestHandler):
    """Sends ``files``: path → body; some paths fail, and one needs a token."""

    files: ClassVar[dict[str, bytes]] = {}
    headers_seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        type(self).headers_seen.append(self.headers.get("Authorization"))
        path = self.path.split("?")[0]
        if path == "/broken":
            self.send_response(500)
            self.end_headers()
            return
        if path not in self.files:
            self.send_response(404)
            self.end_headers()
            return
        body = self.files[path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (100 if path == "/cut.jsonl" else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Server, "files", {"/week.jsonl": b'{"a": 1}\n', "/cut.jsonl": b'{"a": 1}\n'})
    monkeypatch.setattr(Server, "headers_seen", [])
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def params(**keys: Any) -> FetchedParams:
    return parse(FetchedParams, keys, "params/sources.yaml", "fetched.shop")


def fetched(root: Path, **keys: Any) -> Path:
    folder = root / "staging"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    of_source = params(**keys)
    fetch("shop", of_source, record_of(of_source, WHERE), WHERE, root, folder)
    return folder


def error_of(root: Path, **keys: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        fetched(root, **keys)
    return str(caught.value)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as open_database, open_database:
        open_database.execute("CREATE TABLE tickets (id INTEGER, ticket TEXT, price REAL, photo BLOB)")
        open_database.execute("INSERT INTO tickets VALUES (?, ?, ?, NULL)", (BIG, " die Lampe\n", 4.5))
        open_database.execute("INSERT INTO tickets VALUES (NULL, NULL, NULL, NULL)")
        open_database.execute("INSERT INTO tickets VALUES (3, '100 % :id', 4, NULL)")
    monkeypatch.setenv("SHOP", "sqlite:///shop.db")
    return tmp_path


def test_a_query_keeps_nulls_big_integers_and_texts(database: Path) -> None:
    folder = fetched(database, sql="SELECT id, ticket, price FROM tickets WHERE ticket IS NOT ':id'", connection="SHOP")
    assert read_jsonl(folder / "shop.jsonl") == [
        {"id": BIG, "ticket": " die Lampe\n", "price": 4.5},
        {"id": None, "ticket": None, "price": None},
        {"id": 3, "ticket": "100 % :id", "price": 4.0},
    ]
    record = json.loads((folder / RECORD).read_text())
    assert set(record) == {"sql"} and "shop.db" not in str(record)


def test_several_queries_give_several_files(database: Path) -> None:
    sql = {"train": "SELECT ticket FROM tickets WHERE id > 3", "test": "SELECT ticket FROM tickets WHERE id LIKE '%3'"}
    folder = fetched(database, sql=sql, connection="SHOP")
    assert {path.name for path in folder.glob("*.jsonl")} == {"train.jsonl", "test.jsonl"}
    assert read_jsonl(folder / "test.jsonl") == [{"ticket": "100 % :id"}]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM orders", "no such table: orders"),
        ("SELECT id FROM tickets WHERE id = 99", "the query gives no row"),
        ("SELECT id, id FROM tickets", "'id' occurs twice"),
        ("DELETE FROM tickets", "must be a query that gives rows"),
        ("SELECT x'00ff' AS photo", "row 1, column 'photo': bytes are no text; leave the column out"),
        ("SELECT 9e999 AS price", "row 1, column 'price': inf is no number that JSON has"),
    ],
)
def test_what_a_query_may_not_give_is_named(database: Path, sql: str, words: str) -> None:
    error = error_of(database, sql=sql, connection="SHOP")
    assert error.startswith(f"{WHERE}.sql: ") and words in error
    with closing(sqlite3.connect(database / "shop.db")) as open_database:
        assert open_database.execute("SELECT count(*) FROM tickets").fetchone() == (3,), "nothing is committed"


def test_values_that_json_lacks_become_text() -> None:
    number = UUID("12345678123456781234567812345678")
    row = [Decimal("10.50"), Decimal("1E+3"), date(2026, 1, 2), datetime(2026, 1, 2, 3, 4), time(5, 6), number, True]
    columns = [str(i) for i in range(len(row))]
    assert list(json.loads(queries._line(columns, row, 1, WHERE)).values()) == [
        *("10.50", "1000", "2026-01-02", "2026-01-02T03:04:00", "05:06:00", str(number), True)
    ]
    nested = {"tags": ["a", None, 2**70], "left": timedelta(days=1)}
    assert json.loads(queries._line(["x"], [nested], 1, WHERE)) == {
        "x": {"tags": ["a", None, 2**70], "left": "1 day, 0:00:00"}
    }
    with pytest.raises(TunesmithError, match=r"row 7, column 'x': a complex has no form in JSON"):
        queries._line(["x"], [2j], 7, WHERE)


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ("", "the environment variable SHOP must be set"),
        ("hunter22", "must hold a URL of SQLAlchemy"),
        ("sqlite:///other.db", "no such SQLite file"),
        ("postgresql://ann:hunter22@db.example/shop", "needs the package psycopg2-binary"),
        ("snowflake://ann:hunter22@account/shop", "needs the package snowflake-sqlalchemy"),
        ("nothing://ann:hunter22@account/shop", "which SQLAlchemy does not know"),
        ("postgresql://ann:hunter22@db.example:port/shop", "must hold a URL of SQLAlchemy"),
    ],
)
def test_a_wrong_connection_is_an_error_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # as if it were not installed
    monkeypatch.setenv("SHOP", connection)
    error = error_of(tmp_path, sql="SELECT 1", connection="SHOP")
    assert words in error and "hunter22" not in error
    assert list(tmp_path.glob("*.db")) == [], "SQLite would create the file"


def test_a_drivers_error_is_shown_without_the_password(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: Any) -> None:
        text = url.render_as_string(hide_password=False)
        raise RuntimeError(f"cannot connect with {text}: password p@ss/1 (p%40ss%2F1) is wrong " + "p@ss/1" * 60)

    monkeypatch.setattr(queries, "_engine", refuse)
    monkeypatch.setenv("SHOP", "postgresql://ann:p%40ss%2F1@db.example/shop")
    error = error_of(database, sql="SELECT 1", connection="SHOP")
    assert "cannot connect with … password *** (***) is wrong" in error and "p@ss" not in error


def test_addresses_become_files(tmp_path: Path, server: str) -> None:
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports/older.csv").write_text("a\n2\n")
    (tmp_path / "exports/oldest.csv").write_text("a\n3\n")
    folder = fetched(tmp_path, url=[f"{server}/week.jsonl?from=1*", "exports/*.csv"])
    assert {path.name for path in folder.iterdir()} == {"week.jsonl", "older.csv", "oldest.csv", RECORD}
    folder = fetched(tmp_path, url={"train": f"{server}/week.jsonl", "test": f"file://{tmp_path}/exports/older.csv"})
    assert {path.name for path in folder.iterdir()} == {"train.jsonl", "test.csv", RECORD}
    assert (folder / "train.jsonl").read_bytes() == b'{"a": 1}\n'


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/gone.jsonl", "no such file"),
        ("/broken", "HTTP 500"),
        ("/cut.jsonl", "must be readable, which failed"),
        ("/", "must end in the name of a file"),
    ],
)
def test_a_file_that_cannot_be_fetched_whole_is_an_error(tmp_path: Path, server: str, path: str, words: str) -> None:
    error = error_of(tmp_path, url=f"{server}{path}")
    assert error.startswith(f"{WHERE}.url: {server}{path}") and words in error


def test_two_files_of_one_name_are_refused(tmp_path: Path, server: str) -> None:
    (tmp_path / "week.csv").write_text("a\n2\n")
    error = error_of(tmp_path, url=[f"{server}/week.jsonl", "week.csv"])
    assert "'week' occurs twice; give each a name: `url: {train: ADDRESS" in error
    assert "no such file" in error_of(tmp_path, url="exports/*.csv")


def test_tokens_come_from_the_environment_and_stay_there(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "a/b+c hunter22")
    url = f"{server}/gone.jsonl?token=${{TOKEN}}"
    error = error_of(tmp_path, url=url, headers={"Authorization": "TOKEN"})
    assert "${TOKEN}" in error and "hunter22" not in error
    assert "hunter22" not in error_of(tmp_path, url=url.replace("gone.jsonl", "broken"))
    fetched(tmp_path, url=f"{server}/week.jsonl", headers={"Authorization": "TOKEN"})
    assert Server.headers_seen[-1] == "a/b+c hunter22"
    monkeypatch.delenv("TOKEN")
    assert "the environment variable TOKEN must be set" in error_of(tmp_path, url=url)


def test_no_form_of_a_secret_stays_in_a_text() -> None:
    secret = "a/b+c d"
    forms = ("a/b+c d", "a/b%2Bc%20d", "a%2Fb%2Bc%20d", "a%2Fb%2Bc+d")
    text = problem_without(ValueError(f"{' '.join(forms)} at https://host/x?t={base64.b64encode(b'1')!r}"), [secret])
    assert text == "ValueError: *** *** *** *** at …"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gs://bucket/week.jsonl", f"gs:// needs a package that is not installed; install gcsfs=={fsspec.__version__}"),
        ("shop://bucket/week.jsonl", "must be an address that fsspec reads"),
    ],
)
def test_a_file_system_that_is_not_installed_is_named(tmp_path: Path, address: str, words: str) -> None:
    assert words in error_of(tmp_path, url=address)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "needs exactly one of url, sql and hub; it has none"),
        ({"url": "a.csv", "hub": "a/b"}, "it has url and hub"),
        ({"sql": "SELECT 1"}, "sql needs connection"),
        ({"url": "a.csv", "connection": "SHOP"}, "connection belongs to sql"),
        ({"sql": "SELECT 1", "connection": "postgresql://ann:hunter22@db/shop"}, "must be the name of an environment"),
        ({"url": "https://ann:hunter22@host/a.csv"}, "an address must not hold a password"),
        ({"url": "a.csv", "headers": {"Authorization": "Bearer hunter22"}}, "must name an environment variable"),
        ({"url": {"../a": "a.csv"}}, "the name of a file must be letters"),
        ({"url": []}, "must not be empty"),
        ({"url": "a.csv", "min_share": 2.0}, "min_share"),
    ],
)
def test_wrong_parameters_are_named_without_secrets(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(TunesmithError) as caught:
        params(**keys)
    assert words in str(caught.value) and "hunter22" not in str(caught.value)


def test_a_branch_is_fetched_at_its_present_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset, DatasetDict

    requested: list[Any] = []

    def load_dataset(name: str, config: str | None, revision: str) -> Any:
        requested.append((name, config, revision))
        return DatasetDict({split: Dataset.from_list([{"a": split}]) for split in ("train", "test")})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr(moving, "commit_of", lambda params, where: "c" * 40)
    folder = fetched(tmp_path, hub="shop/tickets", revision="main", splits=["test"])
    assert requested == [("shop/tickets", None, "c" * 40)]
    assert {path.name for path in folder.iterdir()} == {"test.parquet", RECORD}
    assert json.loads((folder / RECORD).read_text())["commit"] == "c" * 40
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: 1 / 0)
    assert "the hub must tell the commit of shop/tickets at main" in error_of(tmp_path, hub="shop/tickets")
