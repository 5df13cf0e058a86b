"""Fixtures: an application on a database of its own, clients with tokens, and the service in a process"""
import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from payments_service import create_app, database
from payments_service.database import timeouts
from payments_service.settings import read_settings
from payments_service.web import runtime

from .support.clients import DocumentedClient, client_of
from .support.fake_lnbits import FakeLnbits
from .support.fake_node import FakeNode
from .support.faketime import FakeClock
from .support.lightning import settings_of
from .support.migrating import migrate, migrate_new
from .support.payments import CASH, EUR, ID, payment
from .support.postgresql import PostgresqlDatabases, PostgresqlServer
from .support.project import PROJECT
from .support.rows import Rows, stored
from .support.server import Server
from .support.serving import serving
from .support.tokens import SECRET, make_token


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of the engine. A test that needs a database runs on both engines, unless a mark names one."""
    return request.param


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create the SQLite database that tests copy."""
    file = tmp_path_factory.mktemp("template") / "payments.db"
    migrate_new(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_databases() -> Iterator[PostgresqlDatabases]:
    """Create databases on the server of PAYMENTS_TEST_DATABASE_URL or, without that, on one of the tests' own."""
    with contextlib.ExitStack() as started:
        url = os.environ.get("PAYMENTS_TEST_DATABASE_URL")
        if not url:
            server = PostgresqlServer()
            started.callback(server.remove)
            url = server.url()
        databases = PostgresqlDatabases(url)
        started.callback(databases.close)
        yield databases


@pytest.fixture(scope="session")
def migrated_template(postgresql_databases: PostgresqlDatabases) -> str:
    """Create the PostgreSQL database that tests copy, and return its name."""
    migrate_new(postgresql_databases.create())
    return postgresql_databases.names[-1]


@contextlib.contextmanager
def databases_in(folder: Path, engine: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Create empty or migrated databases and return their URLs. They are dropped at the end."""
    if engine == "sqlite":
        numbers = itertools.count(1)

        def create_file(migrated: bool = False) -> str:
            file = folder / f"payments-{next(numbers)}.db"
            if migrated:
                shutil.copy(request.getfixturevalue("migrated_file"), file)
            return f"sqlite:///{file}"

        yield create_file
        return

    databases = request.getfixturevalue("postgresql_databases")
    with contextlib.ExitStack() as created:

        def create_database(migrated: bool = False) -> str:
            url = databases.create(*[request.getfixturevalue("migrated_template")] if migrated else [])
            created.callback(databases.drop, url)
            return url

        yield create_database


@pytest.fixture
def new_database(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """Create empty or, with `migrated=True`, migrated databases and return their URLs."""
    with databases_in(tmp_path, engine, request) as create:
        yield create


@pytest.fixture
def database_url(new_database: Callable[..., str], request: pytest.FixtureRequest) -> str:
    """Create the test's database: migrated, or empty for tests marked `empty_database`."""
    return new_database(migrated=request.node.get_closest_marker("empty_database") is None)


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    """Open a connection of the test's own to the database."""
    opened = Rows(database_url)
    yield opened
    opened.connection.close()


@pytest.fixture
def make_new_app(database_url: str) -> Iterator[Callable[..., Flask]]:
    """Make applications with any further settings, and do not migrate their database."""
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


@pytest.fixture(scope="session")
def shared_app() -> Flask:
    """Make an application for all tests that change none: its API document takes longer than most tests."""
    return create_app({"JWT_SECRET": SECRET})


@pytest.fixture
def app_settings() -> dict[str, str]:
    """Return the further settings of the shared application. A module with others overrides this."""
    return {}


@pytest.fixture
def app(shared_app: Flask, database_url: str, app_settings: dict[str, str]) -> Iterator[Flask]:
    """Give the shared application the settings of a new installation, and a database and caches of the test's own.

    A test that adds routes takes `make_app`.
    """
    settings = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET} | app_settings
    shared_app.config.from_mapping(read_settings(settings))
    runtime.init_app(shared_app)
    shared_app.test_client_class = DocumentedClient
    migrate(shared_app)
    yield shared_app
    database.close(shared_app)


@pytest.fixture
def make_client(app: Flask) -> Callable[..., FlaskClient]:
    """Make clients whose token has the given claims."""
    return lambda **claims: client_of(app, make_token(**claims))


@pytest.fixture
def client(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """Make a client whose token grants every permission."""
    return make_client()


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


@pytest.fixture
def verify(app: Flask) -> Callable[[], None]:
    """Check that the command `verify` finds nothing."""

    def verify() -> None:
        result = app.test_cli_runner().invoke(args=["verify"])
        assert result.exit_code == 0, result.output

    return verify


@pytest.fixture
def insert_payments(app: Flask, rows: Rows) -> Callable[..., None]:
    """Insert payments into the database without the service, each with the given columns changed."""

    def insert(*changes: dict[str, Any]) -> None:
        row = {"id": ID, "method_id": CASH, "currency_id": EUR, "transaction_id": "txn-1", "minor_units": 4550}
        inserted = ({name: stored(value) for name, value in (row | changed).items()} for changed in changes)
        rows.insert("payment", *inserted)

    return insert


@pytest.fixture
def insert_link(app: Flask, rows: Rows) -> Callable[..., None]:
    """Insert a link into the database without the service."""

    def insert(payment_id: str = ID, ticket_id: str = "t-1") -> None:
        linked_at = "2026-01-01 00:00:00.000000+00:00"
        row = {"payment_id": stored(payment_id), "ticket_id": ticket_id, "linked_at": linked_at}
        rows.insert("ticket_payment", row)

    return insert


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let applications that are made after this wait for locks for at most a second."""
    monkeypatch.setattr(timeouts, "LOCK_TIMEOUT_SECONDS", 1)


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """Make a clock for servers, which is right until it is set."""
    return FakeClock(tmp_path / "clock")


@pytest.fixture
def start_server(database_url: str) -> Iterator[Callable[..., Server]]:
    """Start servers on the test's database, with any further settings.

    `project` is a copy of the project to run. `command` runs Python, as in `["strace", ...]`. `program` takes the place
    of wsgi.py.
    """
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
    """Start a server for one test."""
    return start_server()


@pytest.fixture(scope="module")
def start_shared_server(
    engine: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Server]]:
    """Start servers on one database for all tests of a module. The tests store nothing that others would notice."""
    servers = []
    with databases_in(tmp_path_factory.mktemp("shared"), engine, request) as create:
        url = create(migrated=True)

        def start() -> Server:
            servers.append(Server(PROJECT, {"DATABASE_URL": url, "JWT_SECRET": SECRET}))
            servers[-1].wait_until_serving()
            return servers[-1]

        yield start
        for server in servers:
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared_server(start_shared_server: Callable[[], Server]) -> Server:
    """Start a server for all tests of a module."""
    return start_shared_server()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve WSGI applications in threads until the end of the test. Return their origins.

    With `threaded=True`, each request has a thread of its own, and one that hangs holds up nothing.
    """
    with contextlib.ExitStack() as started:

        def serve(application: Any, threaded: bool = False) -> str:
            server = started.enter_context(serving(make_server("127.0.0.1", 0, application, threaded=threaded)))
            return f"http://127.0.0.1:{server.port}"

        yield serve


@pytest.fixture
def node() -> Iterator[FakeLnbits]:
    """Make a fake Lightning node."""
    node = FakeLnbits()
    yield node
    node.recover()


@pytest.fixture
def lightning_settings(node: FakeNode, serve: Callable[..., str]) -> dict[str, str]:
    """Return the settings of a service that asks the fake node."""
    return settings_of(node, serve(node, threaded=True))


@pytest.fixture
def settle(app: Flask) -> Callable[[], int]:
    """Let the application ask its node about all invoices once. Return how many payments were recorded."""
    return lambda: app.extensions[database.EXTENSION].settler.run_round(is_whole=True)[0]
