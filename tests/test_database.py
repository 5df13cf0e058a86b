"""What the database itself keeps true, whatever the code above it does, and how its faults are answered"""
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import peewee
import pytest
from flask.testing import FlaskClient

from payments_service import database

from .conftest import BTC, OTHER_ID, UNKNOWN, Rows, client_of, make_token, payment, stored


def test_a_sound_row_is_taken(insert_payments, insert_link):
    insert_payments({})
    insert_link()


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
    ],
    ids=str,
)
def test_a_payment_that_is_not_sound_is_refused(insert_payments, changed):
    with pytest.raises(Rows.Refused):
        insert_payments(changed)


@pytest.mark.parametrize("changed", [{"id": OTHER_ID}, {"transaction_id": "txn-2"}], ids=str)
def test_a_second_payment_with_one_id_or_transaction_id_is_refused(insert_payments, changed):
    insert_payments({})
    with pytest.raises(Rows.Refused):
        insert_payments(changed)


@pytest.mark.parametrize(
    "changed",
    [{}, {"payment_id": UNKNOWN, "ticket_id": "t-2"}, {"ticket_id": ""}, {"ticket_id": " "}, {"ticket_id": "x" * 65}],
    ids=str,
)
def test_a_link_that_is_there_already_or_is_not_sound_is_refused(insert_payments, insert_link, changed):
    insert_payments({})
    insert_link()
    with pytest.raises(Rows.Refused):
        insert_link(**changed)


@pytest.mark.parametrize("table", ["payment", "method", "currency"])
def test_what_is_referred_to_cannot_be_deleted(rows, insert_payments, insert_link, table):
    insert_payments({})
    insert_link()
    with pytest.raises(Rows.Refused):
        rows.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("method", {"name": "Cash"}),
        ("method", {"name": " "}),
        ("method", {"name": "Cash "}),
        ("method", {"name": "x" * 65}),
        ("currency", {"acronym": "EUR", "decimals": 2}),
        ("currency", {"acronym": "", "decimals": 2}),
        ("currency", {"acronym": "EUR ", "decimals": 2}),
        ("currency", {"acronym": "X" * 17, "decimals": 2}),
        ("currency", {"acronym": "XXX", "decimals": -1}),
        ("currency", {"acronym": "XXX", "decimals": 19}),
    ],
)
def test_a_method_or_currency_that_is_not_sound_is_refused(app, rows, table, columns):
    with pytest.raises(Rows.Refused):
        rows.insert(table, {"id": stored(OTHER_ID)} | columns)


@pytest.mark.parametrize(
    "changed", [{"version": 0}, {"version": None}, {"created_at": None}, {"changed_at": None}], ids=str
)
def test_a_payment_without_a_version_or_its_times_is_refused(insert_payments, changed):
    with pytest.raises(Rows.Refused):
        insert_payments(changed)


@pytest.mark.parametrize(
    "changed",
    [{"key": ""}, {"key": "x" * 256}, {"body_sha256": "0" * 63}, {"status": 503}, {"user_id": None}, {}],
    ids=str,
)
def test_an_idempotency_key_that_is_not_sound_or_there_already_is_refused(app, rows, changed):
    row = {"user_id": "12", "method": "POST", "path": "/payments", "key": "key-1", "body_sha256": "0" * 64}
    row |= {"status": 201, "answer": "{}", "created_at": "2026-01-01 00:00:00.000000+00:00"}
    rows.insert("idempotency_key", row)
    with pytest.raises(Rows.Refused):
        rows.insert("idempotency_key", row | {"key": "key-2" if changed else "key-1"} | changed)


def test_amounts_are_stored_as_whole_minor_units(client, rows):
    client.post("/payments", json=payment())
    client.post("/payments", json=payment(transaction_id="", currency_id=BTC, amount=1))
    assert rows.all("SELECT minor_units FROM payment ORDER BY id") == [(4550,), (100_000_000,)]


def test_connections_are_kept_between_requests(client, app):
    for _ in range(20):
        assert client.get("/payments/methods").status_code == 200
    with app.app_context():
        assert len(database.current.obj._connections) == 1
        assert not database.current.obj._in_use


def test_as_many_connections_are_kept_as_threads_serve(make_app):
    app = make_app(THREADS=3)
    with app.app_context():
        assert database.current.obj._max_connections == 3


def test_a_request_that_gets_no_connection_in_time_is_answered_503(short_waits, make_app):
    app = make_app(THREADS=1)
    with app.app_context(), ThreadPoolExecutor(1) as other:
        database.current.connect()
        assert other.submit(client_of(app, make_token()).get, "/payments").result().status_code == 503
    assert client_of(app, make_token()).get("/payments").status_code == 204


def test_a_request_waits_for_a_connection_that_is_given_back_in_time(make_app):
    app = make_app(THREADS=1)
    with ThreadPoolExecutor(1) as other:
        with app.app_context():
            database.current.connect()
            waiting = other.submit(client_of(app, make_token()).get, "/payments")
        assert waiting.result().status_code == 204


def test_a_database_locked_for_too_long_is_answered_503_and_works_again_afterwards(short_waits, client, rows, caplog):
    rows.lock()
    response = client.post("/payments", json=payment())
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json["code"] == 503
    assert "lock" not in response.text
    assert "The database failed at POST /payments" in caplog.text
    rows.unlock()
    assert client.get("/payments").status_code == 204
    assert client.post("/payments", json=payment()).status_code == 201


def test_the_log_tells_what_a_fault_began_with_and_no_more(client, app, monkeypatch, caplog):
    def fail(*_):
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.Error:
            raise peewee.OperationalError("cannot rollback")

    database.close(app)
    monkeypatch.setattr(app.extensions[database.EXTENSION], "_connect", fail)
    assert client.post("/payments", json=payment()).status_code == 503
    assert "The database failed at POST /payments: database or disk is full" in caplog.text
    assert "cannot rollback" not in caplog.text


def test_a_connection_on_which_something_failed_is_not_kept(short_waits, client, app, rows):
    client.get("/payments")
    rows.lock()
    assert client.post("/payments", json=payment()).status_code == 503
    rows.unlock()
    with app.app_context():
        assert not database.current.obj._connections
        assert not database.current.obj._in_use


def test_a_connection_on_which_a_write_was_refused_is_kept(client, app):
    assert [client.post("/payments", json=payment()).status_code for _ in range(2)] == [201, 409]
    with app.app_context():
        assert len(database.current.obj._connections) == 1


def test_two_applications_in_one_process_keep_to_their_own_databases(make_app, new_database):
    one, other = make_app(), make_app(DATABASE_URL=new_database())
    assert client_of(one, make_token()).post("/payments", json=payment()).status_code == 201
    assert client_of(other, make_token()).get("/payments").status_code == 204
    assert client_of(one, make_token()).get("/payments").status_code == 200


def test_a_row_that_the_code_should_never_write_is_answered_500(app, rows, caplog):
    rows.execute("ALTER TABLE payment ADD COLUMN unforeseen TEXT CHECK (unforeseen IS NOT NULL)")
    app.test_client_class = FlaskClient
    response = client_of(app, make_token()).post("/payments", json=payment())
    assert response.status_code == 500
    assert response.json["message"] == "The service failed; its log says why."
    assert "unforeseen" not in response.text
    assert "unforeseen" in caplog.text
