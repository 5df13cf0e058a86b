"""/health and /metrics"""
import os
import re
from datetime import datetime, timedelta, timezone

import peewee
import pytest

from payments_service import database
from payments_service.database import sqlite

from ..support.clients import client_of
from ..support.engines import on_postgresql, on_sqlite
from ..support.payments import ID, payment
from ..support.rows import stored
from ..support.tokens import make_token


@pytest.fixture
def probe(app):
    """Make a client without a token."""
    return app.test_client()


def test_health_and_metrics_need_no_token(probe):
    assert (probe.get("/health/live").status_code, probe.get("/health/live").json) == (200, {"status": "live"})
    assert (probe.get("/health/ready").status_code, probe.get("/health/ready").json) == (200, {"status": "ready"})
    assert probe.get("/metrics").status_code == 200


def test_the_readiness_check_changes_nothing(probe, client, rows):
    client.post("/payments", json=payment())
    tables = ["payment", "history", "posting", "open_closing", "idempotency_key", "schema_migration"]
    before = [sorted(rows.all(f"SELECT * FROM {table}")) for table in tables]
    assert probe.get("/health/ready").status_code == 200
    assert [sorted(rows.all(f"SELECT * FROM {table}")) for table in tables] == before
    assert value_of(probe, "payments_written_total") == "1.0"


@pytest.mark.empty_database
def test_a_database_that_is_not_up_to_date_is_not_ready(make_new_app, rows):
    probe = make_new_app().test_client()
    response = probe.get("/health/ready")
    assert response.status_code == 503
    assert "0001_first_tables" in response.json["message"]
    assert int(response.headers["Retry-After"]) > 0
    assert probe.get("/health/live").status_code == 200


def test_a_database_that_others_lock_is_not_ready(short_timeouts, probe, rows):
    rows.execute("BEGIN IMMEDIATE" if rows.is_sqlite else "BEGIN")
    if not rows.is_sqlite:
        rows.execute("LOCK TABLE history IN EXCLUSIVE MODE")
    assert probe.get("/health/ready").status_code == 503
    assert probe.get("/health/live").status_code == 200
    rows.execute("ROLLBACK")
    assert probe.get("/health/ready").status_code == 200


def test_a_database_that_is_out_of_reach_is_not_ready(app, rows, monkeypatch, caplog):
    def fail(*_):
        raise peewee.OperationalError("the network is down")

    monkeypatch.setattr(app.extensions["payments"].database, "_connect", fail)
    database.close(app)
    response = app.test_client().get("/health/ready")
    assert response.status_code == 503
    assert response.json["message"] == "The database is out of reach, or cannot be read: see the log."
    assert "the network is down" in caplog.text


@on_postgresql
def test_a_read_only_database_is_not_ready(make_app, rows):
    (name,) = rows.execute("SELECT current_database()").fetchone()
    app = make_app()
    rows.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    # Open sessions keep the old default.
    database.close(app)
    response = app.test_client().get("/health/ready")
    assert (response.status_code, response.json["message"]) == (503, "The database records no payments: see the log.")


@pytest.fixture
def rejects_payments(client, probe, rows):
    """Return a function that runs a statement, after which no payment can be recorded, and checks the responses."""

    def check(statement):
        for number in range(3):
            assert client.post("/payments", json=payment(transaction_id=f"txn-{number}")).status_code == 201
        rows.execute(statement)
        posted = client.post("/payments", json=payment(transaction_id="txn-4"), headers={"Idempotency-Key": "key-1"})
        for response in (posted, probe.get("/health/ready")):
            assert response.status_code == 503, response.text
            assert int(response.headers["Retry-After"]) > 0

    return check


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE idempotency_key", "DROP TABLE history", "ALTER TABLE history RENAME COLUMN after TO later"],
)
def test_a_lost_table_or_column_is_an_outage(rejects_payments, statement):
    rejects_payments(statement)


@on_postgresql
def test_a_renamed_table_is_an_outage(rejects_payments):
    rejects_payments("ALTER TABLE payment RENAME TO lost")


@on_postgresql
@pytest.mark.parametrize(
    "missing",
    [
        "INSERT ON payment",
        "SELECT ON currency",
        "INSERT ON history",
        "DELETE ON idempotency_key",
        "USAGE, UPDATE ON SEQUENCE history_id_seq",
    ],
)
def test_a_missing_privilege_is_an_outage(rejects_payments, missing):
    rejects_payments(f"REVOKE {missing} FROM CURRENT_USER")


@on_postgresql
@pytest.mark.parametrize(
    "statement", ["ALTER SCHEMA public RENAME TO lost", "REVOKE USAGE ON SCHEMA public FROM PUBLIC, CURRENT_USER"]
)
def test_without_its_schema_the_database_needs_migrating(client, probe, rows, statement):
    assert client.post("/payments", json=payment()).status_code == 201
    rows.execute("ALTER SCHEMA public OWNER TO CURRENT_USER")
    rows.execute(statement)
    for response in (client.post("/payments", json=payment()), probe.get("/health/ready")):
        assert response.status_code == 503
        assert "migrate" in response.json["message"]


@on_postgresql
@pytest.mark.parametrize(
    "spoil", ["ALTER SEQUENCE history_id_seq MAXVALUE 3", "SELECT setval('history_id_seq', 1, false)"]
)
def test_a_sequence_at_its_end_or_behind_is_an_outage(rejects_payments, spoil):
    rejects_payments(spoil)


@pytest.mark.parametrize("table", ["payment", "history"])
def test_a_trigger_that_drops_rows_is_an_outage(rejects_payments, rows, table):
    if rows.is_sqlite:
        rejects_payments(f"CREATE TRIGGER drops BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END")
    else:
        rows.execute("CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
        rejects_payments(f"CREATE TRIGGER drops BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION drops()")


def test_without_a_method_the_service_is_not_ready(probe, rows):
    rows.execute("DELETE FROM method")
    response = probe.get("/health/ready")
    assert (response.status_code, "no payment method" in response.json["message"]) == (503, True)


@on_sqlite
@pytest.mark.parametrize("replaced", [False, True])
def test_a_deleted_or_replaced_file_records_no_payment(app, client, probe, database_url, replaced, tmp_path):
    client.post("/payments", json=payment())
    file = app.extensions["payments"].database.path
    aside = file.rename(tmp_path / "aside.db")
    if replaced:
        file.write_bytes(aside.read_bytes())
    response = probe.get("/health/ready")
    assert response.status_code == 503
    assert "deleted or replaced" in response.json["message"]
    assert client.post("/payments", json=payment(transaction_id="txn-2")).status_code == 503
    assert file.exists() == replaced
    os.replace(aside, file)
    assert probe.get("/health/ready").status_code == 200
    assert client.post("/payments", json=payment(transaction_id="txn-2")).status_code == 201
    assert len(client.get("/payments").json) == 2


@on_sqlite
def test_a_full_disk_is_not_ready(probe, monkeypatch):
    monkeypatch.setattr(sqlite, "MIN_FREE_BYTES", 2**60)
    response = probe.get("/health/ready")
    assert response.status_code == 503
    assert re.search(r"full: \d+ MiB are free", response.json["message"])


def value_of(probe, name):
    lines = probe.get("/metrics").text.splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name), None)


def test_requests_are_counted_by_route_method_and_status(probe, client):
    for path in ("/payments", "/payments", "/payments/x", "/nowhere"):
        client.get(path)
    requests = 'payments_requests_total{{method="{}",route="{}",status="{}"}}'
    assert value_of(probe, requests.format("GET", "/payments", 204)) == "2.0"
    assert value_of(probe, requests.format("GET", "/payments/<uuid:payment_id>", 404)) == "1.0"
    assert value_of(probe, requests.format("", "", 404)) == "1.0"
    assert value_of(probe, 'payments_request_seconds_count{method="GET",route="/payments"}') == "2.0"


def test_recorded_payments_are_counted_once(probe, client):
    for _ in range(2):
        client.post("/payments", json=payment(), headers={"Idempotency-Key": "key-1"})
    client.post("/payments", json=payment())
    client.post("/payments", json=payment(transaction_id="txn-2"))
    assert value_of(probe, "payments_written_total") == "2.0"


def test_database_errors_are_counted(short_timeouts, probe, client, rows):
    rows.lock()
    assert client.post("/payments", json=payment()).status_code == 503
    rows.unlock()
    assert client.post("/payments", json=payment()).status_code == 201
    assert value_of(probe, "payments_database_errors_total") == "1.0"


def test_unknown_paths_and_methods_are_not_metric_labels(probe, client):
    client.open("/made-up", method="MADEUP")
    client.open("/payments", method="MADEUP")
    client.get("/payments/ticket-payments/by-ticket/made-up")
    text = probe.get("/metrics").text
    assert "made-up" not in text
    assert "MADEUP" not in text


def test_each_application_counts_for_itself(make_app, new_database):
    one, other = make_app(), make_app(DATABASE_URL=new_database(migrated=True))
    client_of(one, make_token()).post("/payments", json=payment())
    assert value_of(one.test_client(), "payments_written_total") == "1.0"
    assert value_of(other.test_client(), "payments_written_total") == "0.0"


def test_health_and_metrics_hold_no_secret(probe, client):
    client.post("/payments", json=payment(transaction_id="guest-of-table-5"), headers={"X-Request-Id": "till-1"})
    text = probe.get("/metrics").text + probe.get("/health/ready").text
    assert not [secret for secret in ("guest-of-table-5", "till-1", "sqlite:", "postgresql:") if secret in text]


def test_no_table_with_times_hides_that_the_clock_is_behind(probe, client, add_payment, rows):
    add_payment()
    ahead = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat(sep=" ", timespec="microseconds")
    key = {"method": "POST", "path": "/payments", "key": "key-1", "fingerprint": "x" * 64, "number": 1}
    entry = {"payment_id": stored(ID), "request_id": "request-1", "action": "deleted", "before": "{}"}
    assert probe.get("/health/ready").json == {"status": "ready"}
    for table, row, column in (("idempotency_key", key, "created_at"), ("history", entry, "at")):
        rows.insert(table, row | {column: ahead})
        # Recorded with the clock as it is now.
        add_payment()
        (warning,) = probe.get("/health/ready").json["warnings"]
        assert "behind the newest moment stored" in warning
        rows.execute("DELETE FROM idempotency_key")
