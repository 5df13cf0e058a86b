"""The table of the history: rows cannot be changed or deleted"""
import pytest

from ..support.history import history_of
from ..support.payments import ID
from ..support.rows import Rows, stored


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
        {"action": "paid"},
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
    entry = {"payment_id": stored(ID), "at": "2026-01-01 00:00:00.000000+00:00", "request_id": "request-1"}
    entry |= {"action": "created", "before": None, "after": "{}"}
    rows.insert("history", entry)
    with pytest.raises(Rows.Rejected):
        rows.insert("history", entry | changed)
