"""What the database itself keeps true, whatever the code above it does"""
import gc
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from payments_service import database

from .conftest import BTC, CASH, EUR, client_of, make_token, payment

UNKNOWN = "0" * 32


@pytest.fixture
def short_waits(monkeypatch):
    """Let applications made after this wait for a second where they wait for longer."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 1)


@pytest.fixture
def rows(app, database_url: str) -> Iterator[sqlite3.Connection]:
    """Open the database beside the service, with foreign keys on as the service has them."""
    connection = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA foreign_keys = on")
    yield connection
    connection.close()


def insert(rows, table, **columns):
    marks = ", ".join("?" * len(columns))
    rows.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values()))


def payment_row(**changed):
    return {
        "id": "1" * 32,
        "method_id": CASH.replace("-", ""),
        "currency_id": EUR.replace("-", ""),
        "transaction_id": "txn-1",
        "minor_units": 4550,
    } | changed


def test_a_sound_row_is_taken(rows):
    insert(rows, "payment", **payment_row())
    insert(rows, "ticket_payment", payment_id="1" * 32, ticket_id="t-1", linked_at="2026-01-01 00:00:00.000000+00:00")


@pytest.mark.parametrize(
    "changed",
    [
        {"id": None},
        {"method_id": UNKNOWN},
        {"method_id": None},
        {"currency_id": UNKNOWN},
        {"currency_id": None},
        {"transaction_id": None},
        {"transaction_id": ""},
        {"transaction_id": " "},
        {"transaction_id": "x" * 129},
        {"minor_units": -1},
        {"minor_units": None},
        {"minor_units": "much"},
    ],
    ids=str,
)
def test_a_payment_that_is_not_sound_is_refused(rows, changed):
    with pytest.raises(sqlite3.IntegrityError):
        insert(rows, "payment", **payment_row(**changed))


def test_a_fraction_of_a_minor_unit_is_refused(rows):
    insert(rows, "payment", **payment_row())
    with pytest.raises(sqlite3.IntegrityError):
        rows.execute("UPDATE payment SET minor_units = 4550.5")


@pytest.mark.parametrize("changed", [{"id": "2" * 32}, {"transaction_id": "txn-2"}], ids=str)
def test_a_second_payment_with_one_id_or_transaction_id_is_refused(rows, changed):
    insert(rows, "payment", **payment_row())
    with pytest.raises(sqlite3.IntegrityError):
        insert(rows, "payment", **payment_row(**changed))


@pytest.mark.parametrize(
    "changed",
    [{}, {"payment_id": UNKNOWN, "ticket_id": "t-2"}, {"ticket_id": ""}, {"ticket_id": " "}, {"ticket_id": "x" * 65}],
    ids=str,
)
def test_a_link_that_is_there_already_or_is_not_sound_is_refused(rows, changed):
    insert(rows, "payment", **payment_row())
    link = {"payment_id": "1" * 32, "ticket_id": "t-1", "linked_at": "2026-01-01 00:00:00.000000+00:00"}
    insert(rows, "ticket_payment", **link)
    with pytest.raises(sqlite3.IntegrityError):
        insert(rows, "ticket_payment", **link | changed)


@pytest.mark.parametrize("table", ["payment", "method", "currency"])
def test_what_is_referred_to_cannot_be_deleted(rows, table):
    insert(rows, "payment", **payment_row())
    insert(rows, "ticket_payment", payment_id="1" * 32, ticket_id="t-1", linked_at="2026-01-01 00:00:00.000000+00:00")
    with pytest.raises(sqlite3.IntegrityError):
        rows.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("method", {"id": "2" * 32, "name": "Cash"}),
        ("method", {"id": "2" * 32, "name": " "}),
        ("method", {"id": "2" * 32, "name": "Cash "}),
        ("method", {"id": "2" * 32, "name": "x" * 65}),
        ("currency", {"id": "2" * 32, "acronym": "EUR", "decimals": 2}),
        ("currency", {"id": "2" * 32, "acronym": "", "decimals": 2}),
        ("currency", {"id": "2" * 32, "acronym": "EUR ", "decimals": 2}),
        ("currency", {"id": "2" * 32, "acronym": "X" * 17, "decimals": 2}),
        ("currency", {"id": "2" * 32, "acronym": "XXX", "decimals": -1}),
        ("currency", {"id": "2" * 32, "acronym": "XXX", "decimals": 19}),
    ],
)
def test_a_method_or_currency_that_is_not_sound_is_refused(rows, table, columns):
    with pytest.raises(sqlite3.IntegrityError):
        insert(rows, table, **columns)


def test_amounts_are_stored_as_whole_minor_units(client, rows):
    client.post("/payments", json=payment())
    client.post("/payments", json=payment(transaction_id="", currency_id=BTC, amount=1))
    stored = rows.execute("SELECT minor_units, typeof(minor_units) FROM payment ORDER BY id").fetchall()
    assert stored == [(4550, "integer"), (100_000_000, "integer")]


def test_every_connection_syncs_each_commit_and_enforces_foreign_keys(app):
    with app.app_context():
        assert database.current.pragma("journal_mode") == "wal"
        assert database.current.pragma("synchronous") == 2
        assert database.current.pragma("foreign_keys") == 1


def test_sqlite_waits_for_locks_as_long_as_the_service_says(short_waits, app):
    with app.app_context():
        assert database.current.pragma("busy_timeout") == 1000


def test_connections_are_kept_between_requests(client, app):
    for _ in range(20):
        assert client.get("/payments/methods").status_code == 200
    with app.app_context():
        assert len(database.current.obj._connections) == 1


def test_a_write_takes_the_lock_before_it_reads(client, app, rows):
    with app.app_context(), database.write():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rows.execute("PRAGMA busy_timeout = 0")
            rows.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("path", ["/payments", "/payments/ticket-payments"])
def test_a_refused_write_leaves_no_cursor_for_the_garbage_collector(client, add_payment, link, path):
    payment_id = add_payment(transaction_id="txn-1")
    link(payment_id, "ticket-1")
    bodies = {"/payments": payment(), "/payments/ticket-payments": {"payment_id": payment_id, "ticket_id": "ticket-1"}}
    gc.collect()
    gc.disable()
    try:
        assert client.post(path, json=bodies[path]).status_code == 409
        assert not [found for found in gc.get_objects() if isinstance(found, sqlite3.Cursor)]
    finally:
        gc.enable()


def test_a_database_locked_for_too_long_is_answered_503_and_works_again_afterwards(short_waits, client, rows, caplog):
    rows.execute("BEGIN IMMEDIATE")
    response = client.post("/payments", json=payment())
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json["code"] == 503
    assert "locked" not in response.text
    assert "database is locked" in caplog.text
    rows.execute("ROLLBACK")
    assert client.get("/payments").status_code == 204
    assert client.post("/payments", json=payment()).status_code == 201


@pytest.mark.parametrize("damaged", ["first page", "last page"])
def test_a_damaged_database_is_answered_503(client, rows, database_url, damaged):
    rows.execute("BEGIN")
    for number in range(2000):
        insert(rows, "payment", **payment_row(id=f"{number:032x}", transaction_id=f"txn-{number}"))
    rows.execute("COMMIT")
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = rows.execute("SELECT rootpage FROM sqlite_master WHERE name = 'payment'").fetchone()
    with open(database_url.removeprefix("sqlite:///"), "r+b") as file:
        if damaged == "last page":
            # The last child of a table's first page, by SQLite's file format, section 1.6.
            file.seek((page - 1) * 4096 + 8)
            page = int.from_bytes(file.read(4), "big")
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    response = client.get("/payments")
    assert response.status_code == 503
    assert "malformed" not in response.text


def test_a_request_that_gets_no_connection_in_time_is_answered_503(short_waits, make_app):
    app = make_app(THREADS=1)
    with app.app_context(), ThreadPoolExecutor(1) as other:
        database.current.connect()
        assert other.submit(client_of(app, make_token()).get, "/payments").result().status_code == 503
    assert client_of(app, make_token()).get("/payments").status_code == 204


def test_writers_of_one_process_wait_for_each_other_outside_of_sqlite(short_waits, app, client, caplog):
    with app.app_context(), database.write(), ThreadPoolExecutor(1) as other:
        response = other.submit(client.post, "/payments", json=payment()).result()
    assert response.status_code == 503
    assert "other writes of this process took too long" in caplog.text
    assert client.post("/payments", json=payment()).status_code == 201


def test_two_applications_in_one_process_keep_to_their_own_databases(make_app, tmp_path: Path):
    one, other = make_app(), make_app(DATABASE_URL=f"sqlite:///{tmp_path}/other.db")
    assert client_of(one, make_token()).post("/payments", json=payment()).status_code == 201
    assert client_of(other, make_token()).get("/payments").status_code == 204
    assert client_of(one, make_token()).get("/payments").status_code == 200
