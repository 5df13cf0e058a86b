"""Migrating a database of version 1.2"""
import hashlib
import json
import sqlite3

import peewee
import pytest
from playhouse.migrations import Runner

from payments_service import UnusableDatabase, database
from payments_service.database import migrating

from ..support.clients import client_of
from ..support.closings import NEXT, amounts, close, line_of
from ..support.engines import on_sqlite
from ..support.migrating import migrate
from ..support.payments import CASH, EUR, ID, OTHER_ID, payment
from ..support.rows import stored
from ..support.tokens import make_token

pytestmark = pytest.mark.empty_database

MOMENT = "2026-11-2{} 12:00:00.000000+00:00"
COLUMNS_OF_HISTORY = "id, payment_id, at, user_id, request_id, action, before, after"
# Each table with those of its columns that version 1.2 had.
UNCHANGED = {
    "currency": "*",
    "payment": "id, method_id, currency_id, transaction_id, minor_units, version, created_at, changed_at",
    "ticket_payment": "payment_id, ticket_id, linked_at",
    "method": "id, name",
    "history": COLUMNS_OF_HISTORY,
}
BODY = json.dumps({"method_id": CASH, "currency_id": EUR, "transaction_id": "", "amount": 12})


def insert_key(rows, user_id, key, day, payment_id=ID, body=BODY):
    """Store a key as version 1.2 did."""
    columns = {"user_id": user_id, "method": "POST", "path": "/payments", "key": key, "status": 201}
    columns["body_sha256"] = hashlib.sha256(body.encode()).hexdigest()
    columns["answer"] = f'{{"id":"{payment_id}","message":"Payment added successfully"}}\n'
    rows.insert("idempotency_key", columns | {"created_at": MOMENT.format(day)})


@pytest.fixture
def old_app(make_new_app, rows):
    """Make an application on a database of version 1.2 with two payments, a link and three keys."""
    app = make_new_app()
    with app.app_context(), database.current.migrating():
        Runner(database.current.obj, str(migrating.MIGRATIONS)).up("0005_indexes_of_lists")
    columns = {"method_id": stored(CASH), "currency_id": stored(EUR), "minor_units": 1200}
    columns |= {"created_at": MOMENT.format(1), "changed_at": MOMENT.format(1)}
    ids = {ID: "x" * 128, OTHER_ID: "ü 1 "}
    rows.insert("payment", *(columns | {"id": stored(id), "transaction_id": text} for id, text in ids.items()))
    rows.insert("ticket_payment", {"payment_id": stored(ID), "ticket_id": "y" * 64, "linked_at": MOMENT.format(1)})
    entry = {"payment_id": stored(ID), "at": MOMENT.format(1), "request_id": "r-1", "action": "deleted", "before": "{}"}
    rows.insert("history", entry)
    insert_key(rows, "12", "key-1", 1)
    insert_key(rows, "13", "key-2", 3, OTHER_ID)
    insert_key(rows, "", "key-3", 2)
    return app


@pytest.fixture
def migrated(old_app):
    """Migrate that database and make a client of the service on it."""
    assert migrate(old_app)[0] == "0006_retries_and_long_ids"
    return client_of(old_app, make_token())


def test_what_was_paid_before_is_carried_and_in_no_closing(migrated, rows):
    columns = "method_id, currency_id, kind, closing, minor_units, history_id, user_id"
    ids = rows.all("SELECT id FROM method WHERE name = 'Cash' UNION ALL SELECT id FROM currency WHERE acronym = 'EUR'")
    carried = (ids[0][0], ids[1][0], "carried", 0, 2400, None, None)
    assert rows.all(f"SELECT {columns} FROM posting") == [carried]
    assert migrated.get(NEXT).json["lines"] == []
    assert migrated.get("/payments/takings?from=2026-01-01&to=2026-12-31").status_code == 204
    assert close(migrated) == 1


def test_an_old_payment_deleted_later_is_a_correction(migrated):
    assert migrated.delete(f"/payments/{OTHER_ID}").status_code == 204
    assert amounts(line_of(migrated.get(NEXT).json, CASH, EUR)) == {
        "corrections": -12, "corrections_count": 1, "expected": -12,
    }


def test_entries_from_before_the_migration_are_in_no_closing(migrated, rows):
    migrated.put(f"/payments/{ID}", json=payment(transaction_id=""))
    assert rows.all("SELECT action, closing FROM history ORDER BY id") == [("deleted", 0), ("changed", 1)]


def test_more_than_63_bits_are_carried_in_parts(old_app, rows):
    rows.execute(f"UPDATE payment SET minor_units = {2**63 - 1}")
    migrate(old_app)
    assert rows.all("SELECT minor_units FROM posting") == [(2**63 - 1,)] * 2


def post(client, body, key):
    return client.post("/payments", data=body, content_type="application/json", headers={"Idempotency-Key": key})


def test_all_rows_of_version_1_2_survive(old_app, rows):
    queries = [f"SELECT {columns} FROM {table} ORDER BY 1, 2" for table, columns in UNCHANGED.items()]
    found = [rows.all(query) for query in queries]
    assert all(found)
    migrate(old_app)
    assert [rows.all(query) for query in queries] == found
    keys = rows.all("SELECT method, path, key, status, number FROM idempotency_key ORDER BY number")
    assert keys == [("POST", "/payments", f"key-{key}", 201, number) for number, key in enumerate([1, 3, 2], 1)]


@pytest.mark.parametrize("user_id", [12, 13])
def test_a_retry_across_the_upgrade_pays_nothing(migrated, user_id):
    for key, payment_id in [("key-1", ID), ("key-2", OTHER_ID), ("key-3", ID)]:
        response = post(client_of(migrated.application, make_token(userId=user_id)), BODY, key)
        assert (response.status_code, response.json["id"]) == (201, payment_id)
        assert response.headers["Idempotency-Replayed"] == "true"
    response = post(migrated, BODY.replace("12}", "13}"), "key-1")
    assert response.status_code == 422
    assert ID in response.json["message"]
    assert len(migrated.get("/payments").json) == 2


def test_of_the_same_key_of_several_users_the_newest_stays(old_app, rows):
    other = BODY.replace("12}", "13}")
    insert_key(rows, "9", "key-1", 4, OTHER_ID, other)
    insert_key(rows, "99", "key-1", 2)
    migrate(old_app)
    client = client_of(old_app, make_token())
    assert post(client, other, "key-1").json["id"] == OTHER_ID
    response = post(client, BODY, "key-1")
    assert (response.status_code, OTHER_ID in response.json["message"]) == (422, True)
    assert rows.all("SELECT key FROM idempotency_key ORDER BY number") == [("key-3",), ("key-2",), ("key-1",)]


def test_old_payments_and_links_take_long_ids(migrated):
    assert migrated.put(f"/payments/{ID}", json=payment(transaction_id="z" * 2000)).status_code == 200
    link = {"payment_id": ID, "ticket_id": "z" * 255}
    assert migrated.post("/payments/ticket-payments", json=link).status_code == 201


@on_sqlite
def test_the_migrated_file_is_intact(migrated, rows):
    for rows.connection in (rows.connection, sqlite3.connect(rows.all("PRAGMA database_list")[0][2])):
        assert rows.all("PRAGMA integrity_check") == [("ok",)]
        assert rows.all("PRAGMA foreign_key_check") == []
        assert rows.all("PRAGMA writable_schema") == [(0,)]
        with pytest.raises(rows.Rejected, match="payment_transaction_id_length"):
            rows.execute("UPDATE payment SET transaction_id = ?", "x" * 2001)


@on_sqlite
def test_the_service_itself_sees_the_new_checks(migrated, rows):
    with migrated.application.app_context():
        with pytest.raises(peewee.IntegrityError, match="ticket_payment_ticket_id_length"):
            database.current.execute_sql("UPDATE ticket_payment SET ticket_id = ?", ("x" * 256,))
        assert database.current.execute_sql("PRAGMA writable_schema").fetchone() == (0,)


@on_sqlite
def test_a_check_changed_by_hand_stops_the_migration(old_app, rows):
    rows.execute("PRAGMA writable_schema = ON")
    rows.execute("UPDATE sqlite_master SET sql = replace(sql, '128', '999') WHERE name = 'payment'")
    rows.execute("PRAGMA writable_schema = RESET")
    before = list(rows.connection.iterdump())
    with pytest.raises(UnusableDatabase, match="payment has not the check of earlier releases"):
        migrate(old_app)
    assert list(rows.connection.iterdump()) == before
    with old_app.app_context():
        assert database.current.execute_sql("PRAGMA writable_schema").fetchone() == (0,)
