"""Fixtures: an application on a database of its own, callers with tokens, and a real server in a process."""
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import msgspec
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from payments_service import create_app, database, engines

from .postgresql import PostgresqlDatabases, PostgresqlServer

PROJECT = Path(__file__).parent.parent
SECRET = "a secret of the tests, long enough for HS512 too: over 64 bytes, that is"
PERMISSIONS = ["payments_read", "payments_create", "payments_update", "payments_delete"]

ENCODER = msgspec.json.Encoder(decimal_format="number")

CASH = "01950000-0000-7000-8000-000000000001"
CREDIT_CARD = "01950000-0000-7000-8000-000000000002"
BITCOIN_LIGHTNING = "01950000-0000-7000-8000-000000000004"
EUR = "01950000-0000-7000-8000-000000000101"
BTC = "01950000-0000-7000-8000-000000000104"
NOBODY = "01950000-0000-7000-8000-00000000dead"
ID, OTHER_ID, UNKNOWN = ("00000000-0000-7000-8000-" + digit * 12 for digit in "120")


def make_token(secret: str = SECRET, algorithm: str | None = "HS256", **claims: Any) -> str:
    """Return a user's token; without further claims it grants everything for a minute. A claim of None is left out."""
    claims = {"userId": 12, "exp": int(time.time()) + 60, "permissions": PERMISSIONS} | claims
    return jwt.encode({name: claim for name, claim in claims.items() if claim is not None}, secret, algorithm)


def payment(**changed: Any) -> dict[str, Any]:
    """Return the body of a payment; a field of None is left out."""
    body = {"method_id": CASH, "currency_id": EUR, "transaction_id": "txn-1", "amount": Decimal("45.50")} | changed
    return {name: value for name, value in body.items() if value is not None}


class DocumentedClient(FlaskClient):
    """A client that fails a test if an operation answers what the API document does not know of it."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request and hold its answer against the document."""
        response = super().open(*args, **kwargs)
        method = response.request.method
        with self.application.test_request_context(response.request.full_path, method=method) as context:
            rule = context.request.url_rule
        if rule is not None and method not in ("HEAD", "OPTIONS"):
            # The document of an application stays as it is.
            paths = self.application.extensions.setdefault("documented", {})
            if not paths:
                paths |= super().open("/openapi.json").json["paths"]
            operation = paths[re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule)][method.lower()]
            documented = operation["responses"][str(response.status_code)]
            if "content" in documented:
                assert response.content_type in documented["content"]
                assert response.data
            else:
                assert not response.data
        return response


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """Name the database engine; every test that needs a database runs on each."""
    return request.param


on_sqlite = pytest.mark.parametrize("engine", ["sqlite"])
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"])


@pytest.fixture(scope="session")
def postgresql_databases() -> Iterator[PostgresqlDatabases]:
    """Lend databases, on the server that PAYMENTS_TEST_DATABASE_URL leads to or else on one of the tests' own."""
    server = None
    url = os.environ.get("PAYMENTS_TEST_DATABASE_URL")
    if not url:
        server = PostgresqlServer()
        url = server.url()
    databases = PostgresqlDatabases(url)
    yield databases
    databases.drop()
    if server:
        server.remove()


@pytest.fixture
def new_database(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Make empty databases and return their URLs."""
    if engine == "sqlite":
        numbers = itertools.count(1)
        yield lambda: f"sqlite:///{tmp_path}/payments-{next(numbers)}.db"
        return
    databases = request.getfixturevalue("postgresql_databases")
    yield databases.lend
    databases.take_back()


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """Name an empty database."""
    return new_database()


class Rows:
    """A database beside the service, by its driver alone."""

    Refused = (sqlite3.IntegrityError, psycopg.IntegrityError)

    def __init__(self, url: str) -> None:
        self.of_sqlite = url.startswith("sqlite:")
        if self.of_sqlite:
            self.connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            self.connection.execute("PRAGMA foreign_keys = on")
        else:
            self.connection = psycopg.connect(url, autocommit=True)

    def execute(self, sql: str, *values: Any) -> Any:
        """Run a statement, with `?` for each value."""
        return self.connection.execute(sql if self.of_sqlite else sql.replace("?", "%s"), values)

    def all(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        return self.execute(sql).fetchall()

    def insert(self, table: str, *inserted: dict[str, Any]) -> None:
        """Insert rows of the same columns, all or none."""
        marks = ", ".join(["?" if self.of_sqlite else "%s"] * len(inserted[0]))
        sql = f"INSERT INTO {table} ({', '.join(inserted[0])}) VALUES ({marks})"
        self.execute("BEGIN")
        try:
            self.connection.cursor().executemany(sql, [tuple(row.values()) for row in inserted])
            self.execute("COMMIT")
        except self.Refused:
            self.execute("ROLLBACK")
            raise

    def lock(self) -> None:
        """Keep others from writing payments until `unlock`."""
        if self.of_sqlite:
            self.execute("BEGIN IMMEDIATE")
        else:
            self.execute("BEGIN")
            self.execute("LOCK TABLE payment IN EXCLUSIVE MODE")

    def unlock(self) -> None:
        """Let others write again."""
        self.execute("ROLLBACK")


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    """Open the database beside the service."""
    opened = Rows(database_url)
    yield opened
    opened.connection.close()


def load_first_release(url: str) -> None:
    """Make an empty database what the first release left, by its dump."""
    name = "sqlite.sql" if url.startswith("sqlite:") else "postgresql.sql"
    sql = (PROJECT / "tests" / "first_release" / name).read_text()
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(sql)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql)


def migrate(app: Flask) -> list[str]:
    """Bring the database of `app` up to date and return the migrations it took."""
    with app.app_context():
        return database.migrate()


@pytest.fixture
def make_new_app(database_url: str) -> Iterator[Callable[..., Flask]]:
    """Make applications with any further settings, on a database that nothing has touched."""
    apps = []

    def make(**settings: Any) -> Flask:
        apps.append(create_app({"DATABASE_URL": database_url, "JWT_SECRET": SECRET} | settings))
        apps[-1].test_client_class = DocumentedClient
        return apps[-1]

    yield make
    for app in apps:
        database.close(app)


@pytest.fixture
def make_app(make_new_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """Make applications with any further settings, on a database that is up to date."""

    def make(**settings: Any) -> Flask:
        app = make_new_app(**settings)
        migrate(app)
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Make an application with the settings of a new box."""
    return make_app()


def client_of(app: Flask, token: str) -> FlaskClient:
    """Return a client of `app` that sends `token`."""
    client = app.test_client(use_cookies=False)
    client.environ_base["HTTP_COOKIE"] = f"accessToken={token}"
    return client


@pytest.fixture
def caller(app: Flask) -> Callable[..., FlaskClient]:
    """Make clients whose token has the given claims."""
    return lambda **claims: client_of(app, make_token(**claims))


@pytest.fixture
def client(caller: Callable[..., FlaskClient]) -> FlaskClient:
    """Make a client whose token grants everything."""
    return caller()


@pytest.fixture
def add_payment(client: FlaskClient) -> Callable[..., str]:
    """Record a payment and return its id."""

    def add(**changed: Any) -> str:
        response = client.post("/payments", json=payment(**{"transaction_id": ""} | changed))
        assert response.status_code == 201, response.text
        return response.json["id"]

    return add


@pytest.fixture
def link(client: FlaskClient) -> Callable[[str, str], None]:
    """Link a payment to a ticket."""

    def add(payment_id: str, ticket_id: str) -> None:
        body = {"payment_id": payment_id, "ticket_id": ticket_id}
        assert client.post("/payments/ticket-payments", json=body).status_code == 201

    return add


class Server:
    """`python wsgi.py` in a process of its own, on a free port, with its log in `log`."""

    def __init__(
        self,
        project: Path,
        settings: dict[str, str],
        command: Sequence[str | Path] = (),
        program: Sequence[str | Path] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [*command, sys.executable, *(program or [project / "wsgi.py"])],
            cwd="/",
            env=environment(**{"PORT": "0"} | settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self.port = 0
        self.serves_or_ended = threading.Event()
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()

    def read_log(self) -> None:
        """Read the log to its end; the process would stop if the pipe were full."""
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)
                if serving := re.search(r"Serving on http://[\d.]+:(\d+)", line):
                    self.port = int(serving[1])
                    self.serves_or_ended.set()
        self.serves_or_ended.set()

    def wait_until_serving(self) -> None:
        """Wait until it listens on `port`, or has ended and left `port` at 0."""
        assert self.serves_or_ended.wait(timeout=60)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """Send a request with a token that grants everything; return the connection that the answer comes on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Cookie": f"accessToken={make_token()}", "Content-Type": "application/json"} | headers
        connection.request(method, path, ENCODER.encode(body) if body else None, headers)
        return connection

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request with a token that grants everything; return its status and the JSON of its answer."""
        with contextlib.closing(self.send(method, path, body, **headers)) as connection:
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text, parse_float=Decimal) if text else None

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """End the process, by a signal, and return its exit code."""
        self.process.send_signal(sign)
        return self.wait()

    def wait(self) -> int:
        """Wait for the process to end by itself and return its exit code."""
        code = self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        return code


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with exactly these settings of the service."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PAYMENTS_")}
    return inherited | {f"PAYMENTS_{name}": value for name, value in settings.items()}


@pytest.fixture
def start_server(database_url: str) -> Iterator[Callable[..., Server]]:
    """Start servers on one database: from the project or a copy of it, some other way, with any further settings."""
    servers = []

    def start(
        project: Path = PROJECT,
        command: Sequence[str | Path] = (),
        program: Sequence[str | Path] = (),
        **settings: str,
    ) -> Server:
        server = Server(project, {"DATABASE_URL": database_url, "JWT_SECRET": SECRET} | settings, command, program)
        servers.append(server)
        server.wait_until_serving()
        return server

    yield start
    for server in servers:
        server.stop(signal.SIGKILL)


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    """Start a server."""
    return start_server()


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let applications made after this wait for a second where they wait for longer."""
    monkeypatch.setattr(engines, "WAIT_SECONDS", 1)


@pytest.fixture
def insert_payments(app: Flask, rows: Rows) -> Callable[..., None]:
    """Insert payments beside the service, each with the given columns changed."""

    def insert(*changes: dict[str, Any]) -> None:
        row = {"id": ID, "method_id": CASH, "currency_id": EUR, "transaction_id": "txn-1", "minor_units": 4550}
        inserted = ({name: stored(value) for name, value in (row | changed).items()} for changed in changes)
        rows.insert("payment", *inserted)

    return insert


@pytest.fixture
def insert_link(app: Flask, rows: Rows) -> Callable[..., None]:
    """Insert a link beside the service."""

    def insert(payment_id: str = ID, ticket_id: str = "t-1") -> None:
        moment = "2026-01-01 00:00:00.000000+00:00"
        rows.insert("ticket_payment", {"payment_id": stored(payment_id), "ticket_id": ticket_id, "linked_at": moment})

    return insert


def stored(value: Any) -> Any:
    """Return an id as SQLite holds it, which PostgreSQL takes as well; anything else as it is."""
    return value.replace("-", "") if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", str(value)) else value
