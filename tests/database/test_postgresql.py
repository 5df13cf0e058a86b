"""PostgreSQL only: sessions, row locks, and servers that stop and restart"""
import contextlib
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from payments_service import UnusableDatabase, database, store
from payments_service.database import postgresql, transactions

from ..support.clients import client_of
from ..support.engines import on_postgresql
from ..support.history import history_of, steps
from ..support.migrating import migrate
from ..support.payments import BTC, CASH, EUR, ID, payment
from ..support.postgresql import PASSWORD, PostgresqlServer
from ..support.server import Server
from ..support.tokens import make_token
from ..support.waiting import wait_until

pytestmark = on_postgresql


@pytest.fixture
def show(make_app):
    """Return a session setting of the service's connections."""

    def show(name):
        with make_app().app_context():
            return database.current.execute_sql(f"SHOW {name}").fetchone()[0]

    return show


def alter(rows, setting):
    """Change a default of the database."""
    (name,) = rows.execute("SELECT current_database()").fetchone()
    rows.execute(f"ALTER DATABASE {name} SET {setting}")


def test_commits_are_synchronous_whatever_the_servers_default(rows, show):
    alter(rows, "synchronous_commit = off")
    assert show("synchronous_commit") == "on"


def test_times_are_read_whatever_the_servers_date_style(make_app, rows):
    alter(rows, "datestyle = 'Postgres, MDY'")
    client = client_of(make_app(), make_token())
    posted = [client.post("/payments", json=payment(), headers={"Idempotency-Key": "key-1"}) for _ in range(2)]
    assert [response.status_code for response in posted] == [201, 201]
    assert [action for action, _, _ in steps(client, posted[0].json["id"])] == ["created"]


def test_queries_are_prepared_on_the_server_itself(app):
    with app.app_context():
        for _ in range(10):
            database.current.execute_sql("SELECT %s::int", (1,))
        prepared = database.current.execute_sql("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == (1,)


def test_waits_for_locks_are_bounded(short_timeouts, show):
    assert show("lock_timeout") == "1s"


def test_locks_of_a_client_that_is_gone_are_released(short_timeouts, show):
    assert show("idle_in_transaction_session_timeout") == "2s"


@pytest.mark.parametrize("default", ["serializable", "repeatable read"])
def test_the_isolation_level_does_not_depend_on_the_server(rows, app, default):
    alter(rows, f"default_transaction_isolation = '{default}'")
    database.close(app)

    @database.write()
    def isolation():
        return database.current.execute_sql("SHOW transaction_isolation").fetchone()[0]

    with app.app_context():
        assert isolation() == "read committed"


def test_url_options_are_kept_unless_the_service_sets_them(make_app, database_url):
    options = "application_name=till&options=-c%20work_mem%3D8MB%20-c%20lock_timeout%3D0"
    with make_app(DATABASE_URL=f"{database_url}?{options}").app_context():
        for name, value in {"application_name": "till", "work_mem": "8MB", "lock_timeout": "5s"}.items():
            assert database.current.execute_sql(f"SHOW {name}").fetchone() == (value,)


def test_any_text_is_stored_whatever_encoding_the_url_asks_for(make_app, database_url):
    client = client_of(make_app(DATABASE_URL=f"{database_url}?client_encoding=LATIN1"), make_token())
    assert client.post("/payments", json=payment(transaction_id="日本")).status_code == 201
    assert client.get("/payments").json[0]["transaction_id"] == "日本"


def test_a_database_that_cannot_hold_any_text_is_rejected(make_new_app, postgresql_databases):
    name = f"payments_{uuid4().hex}"
    create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    postgresql_databases.connection.execute(create)
    try:
        app = make_new_app(DATABASE_URL=postgresql_databases.url_of(name))
        with pytest.raises(UnusableDatabase, match="its encoding is SQL_ASCII: create it with the encoding UTF8"):
            migrate(app)
        database.close(app)
    finally:
        postgresql_databases.connection.execute(f"DROP DATABASE {name}")


@pytest.mark.empty_database
def test_a_role_that_cannot_create_tables_stops_the_start(rows, start_server):
    rows.execute("DROP SCHEMA public")
    server = start_server()
    rows.execute("CREATE SCHEMA public")
    assert server.wait() == 1
    assert len(server.log) == 1
    assert "cannot be used: no schema has been selected to create in" in server.log[0]


@pytest.mark.empty_database
def test_a_migration_waits_for_another_without_a_timeout(short_timeouts, make_new_app, rows):
    app = make_new_app()
    rows.execute("SELECT pg_advisory_lock(?)", postgresql.MIGRATION_LOCK_KEY)
    with ThreadPoolExecutor(1) as other:
        migrating = other.submit(migrate, app)
        wait_for_lock(rows)
        with pytest.raises(TimeoutError):
            migrating.result(timeout=3)
        rows.execute("SELECT pg_advisory_unlock(?)", postgresql.MIGRATION_LOCK_KEY)
        assert migrating.result()


def wait_for_lock(rows):
    """Wait until a session of the database waits for a lock, and return its process id."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return wait_until(lambda: rows.all(waiting))[0][0]


def test_a_change_waits_for_a_concurrent_delete(client, add_payment, rows):
    payment_id = add_payment()
    rows.execute("BEGIN")
    rows.execute("DELETE FROM payment WHERE id = ?", payment_id)
    with ThreadPoolExecutor(1) as other:
        changing = other.submit(client.put, f"/payments/{payment_id}", json=payment())
        wait_for_lock(rows)
        rows.execute("COMMIT")
        assert changing.result().status_code == 404


def test_a_change_checks_the_version_after_waiting(client, add_payment, rows):
    payment_id = add_payment(currency_id=EUR, amount=1)
    rows.execute("BEGIN")
    rows.execute("UPDATE payment SET currency_id = ?, version = 2 WHERE id = ?", BTC, payment_id)
    with ThreadPoolExecutor(1) as other:
        headers = {"If-Match": '"1"'}
        changing = other.submit(client.put, f"/payments/{payment_id}", json=payment(), headers=headers)
        wait_for_lock(rows)
        rows.execute("COMMIT")
        assert (changing.result().status_code, changing.result().headers["ETag"]) == (412, '"2"')


@pytest.mark.parametrize(("method", "key"), [("POST", {}), ("POST", {"Idempotency-Key": "key-1"}), ("PUT", {})])
def test_a_concurrent_duplicate_names_the_other_payment(
    client, add_payment, rows, method, key
):
    path = "/payments" if method == "POST" else f"/payments/{add_payment()}"
    rows.execute("BEGIN")
    columns = "(id, method_id, currency_id, transaction_id, minor_units)"
    rows.execute(f"INSERT INTO payment {columns} VALUES (?, ?, ?, 'txn-1', 1)", ID, CASH, EUR)
    with ThreadPoolExecutor(1) as other:
        paying = other.submit(client.open, path, method=method, json=payment(transaction_id="txn-1"), headers=key)
        wait_for_lock(rows)
        rows.execute("COMMIT")
        assert paying.result().status_code == 409
        assert ID in paying.result().text


def test_times_in_a_history_are_taken_after_waiting_for_locks(client, add_payment, rows):
    payment_id = add_payment()
    rows.execute("BEGIN")
    rows.execute("UPDATE payment SET version = 2 WHERE id = ?", payment_id)
    with ThreadPoolExecutor(1) as other:
        body = {"payment_id": payment_id, "ticket_id": "ticket-1"}
        linking = other.submit(client.post, "/payments/ticket-payments", json=body)
        wait_for_lock(rows)
        (waited_until,) = rows.execute("SELECT clock_timestamp()").fetchone()
        rows.execute("COMMIT")
        assert linking.result().status_code == 201
    assert rows.all("SELECT at > '{0}' FROM history WHERE action = 'linked'".format(waited_until)) == [(True,)]
    assert rows.all("SELECT linked_at > '{0}' FROM ticket_payment".format(waited_until)) == [(True,)]


def test_no_payment_waits_for_keys_that_others_remove(client, rows, monkeypatch):
    monkeypatch.setattr(store.idempotency, "MIN_KEPT_KEYS", 1)
    for key in ("key-1", "key-2", "key-3"):
        client.post("/payments", json=payment(transaction_id=""), headers={"Idempotency-Key": key})
    rows.execute("UPDATE idempotency_key SET created_at = '2026-01-01'")
    rows.execute("BEGIN")
    rows.execute("DELETE FROM idempotency_key WHERE key = 'key-1'")
    with ThreadPoolExecutor(1) as other:
        paying = other.submit(client.post, "/payments", json=payment(), headers={"Idempotency-Key": "key-4"})
        assert paying.result(timeout=30).status_code == 201
        rows.execute("ROLLBACK")
    assert rows.all("SELECT key FROM idempotency_key ORDER BY key") == [("key-1",), ("key-4",)]


@pytest.mark.parametrize(("end", "status", "listed"), [("COMMIT", 422, 204), ("ROLLBACK", 201, 200)])
def test_a_request_waits_for_the_first_one_with_its_key(client, rows, end, status, listed):
    rows.execute("BEGIN")
    values = "'POST', '/payments', 'key-1', repeat('0', 64), 201, '{\"id\":\"1\"}', now(), 1"
    rows.execute(
        "INSERT INTO idempotency_key (method, path, key, fingerprint, status, answer, created_at, number)"
        f" VALUES ({values})"
    )
    with ThreadPoolExecutor(1) as other:
        headers = {"Idempotency-Key": "key-1"}
        paying = other.submit(client.post, "/payments", json=payment(), headers=headers)
        wait_for_lock(rows)
        rows.execute(end)
        assert paying.result().status_code == status
    assert client.get("/payments").status_code == listed


def test_a_change_waits_for_no_other_payment(short_timeouts, client, add_payment, rows):
    first, second = add_payment(), add_payment()
    rows.execute("BEGIN")
    rows.execute("SELECT 1 FROM payment WHERE id = ? FOR UPDATE", first)
    assert client.put(f"/payments/{second}", json=payment()).status_code == 200
    rows.execute("ROLLBACK")


def test_a_link_deleted_by_another_request_is_recorded_once(client, add_payment, link, rows):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    rows.execute("BEGIN")
    rows.execute("DELETE FROM ticket_payment")
    with ThreadPoolExecutor(1) as other:
        unlinking = other.submit(client.delete, "/payments/ticket-payments/by-ticket/ticket-1")
        wait_for_lock(rows)
        rows.execute("COMMIT")
        assert unlinking.result().status_code == 204
    assert [action for action, _, _ in steps(client, payment_id)] == ["created", "linked"]


def test_replication_sessions_cannot_change_the_history_either(app, rows):
    triggers = rows.all("SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'history'::regclass ORDER BY 1")
    assert triggers == [("history_is_not_changed", "A"), ("history_is_not_emptied", "A")]


def test_a_parent_table_cannot_delete_from_the_history(client, add_payment, rows):
    add_payment()
    rows.execute("CREATE TABLE parent (LIKE history)")
    rows.execute("ALTER TABLE history INHERIT parent")
    with pytest.raises(rows.Rejected):
        rows.execute("DELETE FROM parent")


def test_times_are_in_utc_whatever_the_servers_time_zone(make_app, rows):
    (name,) = rows.execute("SELECT current_database()").fetchone()
    rows.execute(f"ALTER DATABASE {name} SET timezone = 'America/Mexico_City'")
    client = client_of(make_app(), make_token())
    payment_id = client.post("/payments", json=payment()).json["id"]
    assert history_of(client, payment_id)[0]["at"].endswith("+00:00")


def test_a_payment_deleted_during_a_link_is_not_linked(client, add_payment, rows):
    payment_id = add_payment()
    rows.execute("BEGIN")
    rows.execute("DELETE FROM payment WHERE id = ?", payment_id)
    with ThreadPoolExecutor(1) as other:
        body = {"payment_id": payment_id, "ticket_id": "ticket-1"}
        linking = other.submit(client.post, "/payments/ticket-payments", json=body)
        wait_for_lock(rows)
        rows.execute("COMMIT")
        assert linking.result().status_code == 422


def test_a_deadlock_is_retried(client, add_payment, link, rows):
    for number in (1, 2):
        link(add_payment(), "ticket-1")
    first, second = rows.all("SELECT payment_id FROM ticket_payment ORDER BY payment_id")
    # This session checks for deadlocks later than the service's, so PostgreSQL rolls back the service's.
    rows.execute("BEGIN")
    rows.execute("SELECT 1 FROM ticket_payment WHERE payment_id = ? FOR UPDATE", *second)
    with ThreadPoolExecutor(1) as other:
        unlinking = other.submit(client.delete, "/payments/ticket-payments/by-ticket/ticket-1")
        wait_for_lock(rows)
        rows.execute("SELECT 1 FROM ticket_payment WHERE payment_id = ? FOR UPDATE", *first)
        rows.execute("COMMIT")
        assert unlinking.result().status_code == 204
    assert rows.all("SELECT * FROM ticket_payment") == []


@pytest.fixture
def fail_inserts(app, rows):
    """Make a number of inserts of payments fail with a SQLSTATE. Return a function that counts the attempts."""

    def fail(times, sqlstate):
        rows.execute("CREATE SEQUENCE tried")
        rows.execute(
            f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('tried') <= {times} THEN "
            f"RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$"
        )
        rows.execute("CREATE TRIGGER fail BEFORE INSERT ON payment FOR EACH ROW EXECUTE FUNCTION fail()")
        return lambda: rows.all("SELECT last_value FROM tried")[0][0]

    return fail


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_a_serialization_failure_is_retried(client, fail_inserts, sqlstate):
    fail_inserts(transactions.MAX_ATTEMPTS - 1, sqlstate)
    assert client.post("/payments", json=payment()).status_code == 201
    assert len(client.get("/payments").json) == 1


def test_repeated_serialization_failures_give_503(client, fail_inserts):
    tried = fail_inserts(1000, "40001")
    response = client.post("/payments", json=payment())
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert tried() == transactions.MAX_ATTEMPTS
    assert client.get("/payments").status_code == 204


def test_another_failure_is_not_retried(client, fail_inserts):
    tried = fail_inserts(1, "53100")
    assert client.post("/payments", json=payment()).status_code == 503
    assert tried() == 1
    assert client.post("/payments", json=payment()).status_code == 201


def test_connections_closed_by_the_server_are_replaced(client, rows):
    assert client.get("/payments").status_code == 204
    clients = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    ended = rows.all(f"SELECT pg_terminate_backend(pid, 10000) {clients} AND pid <> pg_backend_pid()")
    assert ended == [(True,)]
    assert client.get("/payments").status_code == 204
    assert client.post("/payments", json=payment()).status_code == 201


def test_a_write_that_loses_its_connection_leaves_nothing(client, rows):
    rows.lock()
    with ThreadPoolExecutor(1) as other:
        posting = other.submit(client.post, "/payments", json=payment())
        rows.execute("SELECT pg_terminate_backend(?)", wait_for_lock(rows))
        response = posting.result()
    rows.unlock()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert rows.all("SELECT * FROM payment") == []
    assert client.post("/payments", json=payment()).status_code == 201


def test_a_server_that_hangs_gives_503(monkeypatch, client, app, rows):
    monkeypatch.setattr(postgresql.TimeoutConnection, "statement_timeout_seconds", 1)
    database.close(app)
    assert client.get("/payments").status_code == 204
    others = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"

    def list_others():
        return rows.all(f"SELECT pid FROM pg_stat_activity WHERE {others}")

    # That of the connection which was closed takes a moment to end.
    wait_until(lambda: len(list_others()) == 1)
    ((backend,),) = list_others()
    os.kill(backend, signal.SIGSTOP)
    try:
        assert client.post("/payments", json=payment()).status_code == 503
        assert client.post("/payments", json=payment()).status_code == 201
    finally:
        os.kill(backend, signal.SIGCONT)
    assert len(client.get("/payments").json) == 1


def test_concurrent_requests_wait_once_for_a_missing_server(short_timeouts, make_new_app):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = make_new_app(DATABASE_URL=f"postgresql://till@127.0.0.1:{silent.getsockname()[1]}/payments")
        start = Barrier(8)

        def get(_):
            start.wait(timeout=30)
            return client_of(app, make_token()).get("/payments").status_code

        with ThreadPoolExecutor(8) as others:
            assert list(others.map(get, range(8))) == [503] * 8
        silent.setblocking(False)
        attempts = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                attempts += 1
    assert attempts < 3


@pytest.fixture
def postgresql_server():
    """Start a PostgreSQL server that a test may stop."""
    server = PostgresqlServer()
    yield server
    server.remove()


@pytest.fixture
def server_on_it(postgresql_server, start_server) -> Server:
    """Start the service on that PostgreSQL server."""
    return start_server(DATABASE_URL=postgresql_server.url())


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_server_that_stops_gives_503_until_it_is_back(postgresql_server, server_on_it, sign):
    assert server_on_it.request("POST", "/payments", payment())[0] == 201
    postgresql_server.stop(sign)
    for method, body in [("GET", None), ("POST", payment(transaction_id="txn-2"))]:
        with contextlib.closing(server_on_it.send(method, "/payments", body)) as connection:
            response = connection.getresponse()
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
            assert b"127.0.0.1" not in response.read()
    postgresql_server.start()
    assert len(server_on_it.request("GET", "/payments")[1]) == 1
    assert server_on_it.request("POST", "/payments", payment(transaction_id="txn-2"))[0] == 201


def test_a_missing_server_stops_the_start_with_one_line(postgresql_server, start_server):
    postgresql_server.stop()
    server = start_server(DATABASE_URL=postgresql_server.url())
    postgresql_server.start()
    assert server.wait() == 1
    where = f"postgresql://127.0.0.1:{postgresql_server.port}/payments"
    assert server.log[-1].startswith(f"payments: the database {where} cannot be used: ")
    assert len(server.log) == 1
    assert PASSWORD not in server.log[0]


def test_a_wrong_password_stops_the_start_and_is_not_logged(start_server, database_url):
    url = urlsplit(database_url)
    wrong = url._replace(netloc=url.netloc.replace(":", ":not-", 1))
    server = start_server(DATABASE_URL=wrong.geturl())
    assert server.wait() == 1
    assert len(server.log) == 1
    assert "not-" not in server.log[0]
