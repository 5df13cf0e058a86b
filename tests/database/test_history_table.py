"""The table of the history: rows cannot be changed or deleted"""
import pytest
from playhouse.migrations import Runner

from payments_service import database
from payments_service.database import migrating

from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.history import history_of
from ..support.migrating import migrate
from ..support.payments import ID, payment
from ..support.rows import Rows, stored
from ..support.tokens import make_token

ENTRY = {"payment_id": stored(ID), "at": "2026-01-01 00:00:00.000000+00:00", "request_id": "request-1"}
ENTRY |= {"action": "created", "before": None, "after": "{}"}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE history SET user_id = 'somebody else'",
        "UPDATE history SET after = '{}' WHERE action = 'created'",
        "DELETE FROM history",
        "DELETE FROM history WHERE action = 'created'",
    ],
)
def test_the_database_rejects_to_change_or_delete_history(client, add_payment, rows, sql):
    before = history_of(client, payment_id := add_payment())
    with pytest.raises(Rows.Rejected):
        rows.execute(sql)
    assert history_of(client, payment_id) == before


def test_history_cannot_be_replaced_or_emptied(client, add_payment, rows):
    before = history_of(client, payment_id := add_payment())
    columns = "INTO history (id, payment_id, at, request_id, action, after)"
    row = "SELECT id, payment_id, at, 'another', action, after FROM history"
    if rows.is_sqlite:
        refused = [f"INSERT OR REPLACE {columns} {row}", f"REPLACE {columns} {row}"]
    else:
        refused = ["TRUNCATE history", "TRUNCATE history CASCADE"]
    refused.append(f"INSERT {columns} {row} WHERE true ON CONFLICT (id) DO UPDATE SET request_id = 'another'")
    for sql in refused:
        with pytest.raises(Rows.Rejected):
            rows.execute(sql)
    assert history_of(client, payment_id) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"action": ""},
        {"action": "x" * 33},
        {"action": None},
        {"payment_id": None},
        {"at": None},
        {"request_id": None},
        {"after": None},
        {"before": "{}"},
        {"action": "changed"},
        {"action": "deleted"},
    ],
    ids=str,
)
def test_an_invalid_entry_is_rejected(app, rows, changed):
    rows.insert("history", ENTRY)
    with pytest.raises(Rows.Rejected):
        rows.insert("history", ENTRY | changed)


@on_sqlite
@pytest.mark.parametrize("entry_id", [-1, 0, -7, 3, 2**62, 2**63 - 1])
def test_no_entry_keeps_later_ones_from_being_added(client, add_payment, rows, entry_id):
    add_payment()
    with pytest.raises(Rows.Rejected):
        rows.insert("history", ENTRY | {"id": entry_id})
    payment_id = add_payment()
    assert len(history_of(client, payment_id)) == 1
    assert rows.all("SELECT id FROM history ORDER BY id") == [(1,), (2,)]


@on_sqlite
def test_an_entry_with_the_next_id_is_accepted(client, add_payment, rows):
    rows.insert("history", ENTRY | {"id": 1})
    add_payment()
    assert rows.all("SELECT id FROM history ORDER BY id") == [(1,), (2,)]


@on_sqlite
@pytest.mark.empty_database
def test_the_migration_keeps_entries_with_blocking_ids(make_new_app, rows):
    app = make_new_app()
    with app.app_context(), database.current.migrating():
        Runner(database.current.obj, str(migrating.MIGRATIONS)).up("0006_retries_and_long_ids")
    for entry_id in (-7, 0, 5, 8, -1):
        rows.insert("history", ENTRY | {"id": entry_id, "request_id": f"request {entry_id}"})
    migrate(app)
    assert rows.all("SELECT id, request_id FROM history ORDER BY id") == [
        (5, "request 5"), (8, "request 8"), (9, "request -7"), (10, "request -1"), (11, "request 0"),
    ]
    assert client_of(app, make_token()).post("/payments", json=payment()).status_code == 201
