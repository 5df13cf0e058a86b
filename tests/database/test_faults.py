"""Connections to the database, and responses when it fails"""
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import peewee
from flask.testing import FlaskClient

from payments_service import database
from payments_service.database import timeouts
from payments_service.web.request_state import QUEUE_SECONDS

from ..support.clients import client_of
from ..support.payments import payment
from ..support.tokens import make_token


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


def test_a_request_that_gets_no_connection_in_time_gets_503(short_timeouts, make_app):
    app = make_app(THREADS=1)
    with app.app_context(), ThreadPoolExecutor(1) as other:
        database.current.connect()
        assert other.submit(client_of(app, make_token()).get, "/payments").result().status_code == 503
    assert client_of(app, make_token()).get("/payments").status_code == 204


def test_work_outside_of_a_request_waits_for_the_whole_timeout(client):
    assert client.get("/payments/methods", environ_overrides={QUEUE_SECONDS: 60}).status_code == 200
    assert timeouts.find_lock_timeout() == timeouts.LOCK_TIMEOUT_SECONDS


def test_a_request_waits_for_a_connection_to_be_returned(make_app):
    app = make_app(THREADS=1)
    with ThreadPoolExecutor(1) as other:
        with app.app_context():
            database.current.connect()
            waiting = other.submit(client_of(app, make_token()).get, "/payments")
        assert waiting.result().status_code == 204


def test_a_database_locked_for_too_long_gets_503_until_unlocked(short_timeouts, client, rows, caplog):
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


def test_the_log_names_the_first_cause_of_an_error(client, app, monkeypatch, caplog):
    def fail(*_):
        try:
            raise sqlite3.OperationalError("database or disk is full")
        except sqlite3.Error:
            raise peewee.OperationalError("cannot rollback")

    database.close(app)
    monkeypatch.setattr(app.extensions["payments"].database, "_connect", fail)
    assert client.post("/payments", json=payment()).status_code == 503
    assert "The database failed at POST /payments: database or disk is full" in caplog.text
    assert "cannot rollback" not in caplog.text


def test_a_connection_that_failed_is_closed(short_timeouts, client, app, rows):
    client.get("/payments")
    rows.lock()
    assert client.post("/payments", json=payment()).status_code == 503
    rows.unlock()
    with app.app_context():
        assert not database.current.obj._connections
        assert not database.current.obj._in_use


def test_a_connection_with_a_rejected_write_is_kept(client, app):
    assert [client.post("/payments", json=payment()).status_code for _ in range(2)] == [201, 409]
    with app.app_context():
        assert len(database.current.obj._connections) == 1


def test_two_applications_in_a_process_use_their_own_databases(make_app, new_database):
    one, other = make_app(), make_app(DATABASE_URL=new_database(migrated=True))
    assert client_of(one, make_token()).post("/payments", json=payment()).status_code == 201
    assert client_of(other, make_token()).get("/payments").status_code == 204
    assert client_of(one, make_token()).get("/payments").status_code == 200


def test_an_unexpected_constraint_error_gives_500(app, rows, caplog):
    rows.execute("ALTER TABLE payment ADD COLUMN unforeseen TEXT CHECK (unforeseen IS NOT NULL)")
    app.test_client_class = FlaskClient
    response = client_of(app, make_token()).post("/payments", json=payment())
    assert response.status_code == 500
    assert response.json["message"] == "The service failed; its log says why."
    assert "unforeseen" not in response.text
    assert "unforeseen" in caplog.text
