"""The objects that an application keeps while it runs: its database, its metrics, its cache of tokens."""
from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Any

import flask

from ..database import EXTENSION, DayRule, set_database_finder
from ..database.sqlite import Sqlite
from ..errors import NotConfigured
from ..lightning import make_backend
from ..metrics import Metrics
from ..settling import Settler
from ..tokens.access_tokens import TokenReader
from ..tokens.keys import read_keys
from .request_state import find_request_state
from .waits import Waits

if TYPE_CHECKING:
    from ..database.postgresql import Postgresql


@dataclass(frozen=True)
class Runtime:
    """The objects of one application."""

    database: Sqlite | Postgresql
    metrics: Metrics
    tokens: TokenReader
    # Taken by each thread that sends a long list: half of the threads at most, because payments need the rest.
    long_lists: threading.BoundedSemaphore
    # Asks the Lightning node about invoices. None if the settings name no node.
    settler: Settler | None
    # For threads that wait for the Lightning node, or for an invoice to be paid.
    waits: Waits
    # Set while the clock seems wrong, so that a monitor that asks every few seconds does not fill the log.
    clock_fault_is_logged: threading.Event


def runtime() -> Runtime:
    """Return the objects of the current application."""
    found: Runtime = flask.current_app.extensions[EXTENSION]
    return found


def find_settler() -> Settler:
    """Return what asks the Lightning node of the current application; raises `NotConfigured` without a node."""
    settler = runtime().settler
    if settler is None:
        raise NotConfigured("Lightning is not configured: set PAYMENTS_LIGHTNING.")
    return settler


def find_database() -> Any:
    """Return the database of the current application, None where there is none."""
    return runtime().database if flask.has_app_context() else None


def make_database(url: str, connections: int, metrics: Metrics, day_rule: DayRule) -> Sqlite | Postgresql:
    """Return the database of a URL with a pool of that many connections; nothing is connected yet."""
    if url.startswith("sqlite:"):
        return Sqlite(url, connections, metrics, day_rule)
    # Imported here, because a service on SQLite does without psycopg: see wsgi.py.
    from ..database.postgresql import Postgresql

    return Postgresql(url, connections, metrics, day_rule)


def return_connection(_error: BaseException | None) -> None:
    """Return the request's connection to the pool, or close it if the database failed: it may be broken."""
    database = find_database()
    if database.is_closed():
        return
    state = find_request_state()
    if state is not None and state.database_failed:
        database.manual_close()
    else:
        database.close()


def init_app(app: flask.Flask) -> None:
    """Give `app` its objects; raises `SettingError` for invalid keys and unknown permissions."""
    threads = app.config["THREADS"]
    metrics = Metrics()
    day_rule = DayRule(app.config["TIME_ZONE"] or timezone.utc, app.config["DAY_ENDS"])
    backend, waits = make_backend(app.config), Waits(threads)
    # The thread that settles invoices has a connection too.
    connections = threads + 1 if backend else threads
    app.extensions[EXTENSION] = Runtime(
        database=make_database(app.config["DATABASE_URL"], connections, metrics, day_rule),
        metrics=metrics,
        tokens=TokenReader(app.config, read_keys(app.config)),
        long_lists=threading.BoundedSemaphore(max(1, threads // 2)),
        settler=Settler(backend, metrics, app.app_context, waits.notify) if backend else None,
        waits=waits,
        clock_fault_is_logged=threading.Event(),
    )
    set_database_finder(find_database)
