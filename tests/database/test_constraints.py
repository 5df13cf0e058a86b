"""The constraints of the tables"""
import pytest

from ..support.payments import BTC, OTHER_ID, UNKNOWN, payment
from ..support.rows import Rows, stored


def test_valid_rows_are_accepted(insert_payments, insert_link):
    insert_payments({}, {"id": OTHER_ID, "transaction_id": "x" * 2000})
    insert_link()
    insert_link(OTHER_ID, ticket_id="ü" * 255)


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
        {"transaction_id": "x" * 2001},
        {"transaction_id": "ü" * 1346},
        {"minor_units": -1},
        {"minor_units": None},
    ],
    ids=str,
)
def test_an_invalid_payment_is_rejected(insert_payments, changed):
    with pytest.raises(Rows.Rejected):
        insert_payments(changed)


@pytest.mark.parametrize("changed", [{"id": OTHER_ID}, {"transaction_id": "txn-2"}], ids=str)
def test_a_second_payment_with_an_id_in_use_is_rejected(insert_payments, changed):
    insert_payments({})
    with pytest.raises(Rows.Rejected):
        insert_payments(changed)


@pytest.mark.parametrize(
    "changed",
    [{}, {"payment_id": UNKNOWN, "ticket_id": "t-2"}, {"ticket_id": ""}, {"ticket_id": " "}, {"ticket_id": "x" * 256}],
    ids=str,
)
def test_an_invalid_or_second_link_is_rejected(insert_payments, insert_link, changed):
    insert_payments({})
    insert_link()
    with pytest.raises(Rows.Rejected):
        insert_link(**changed)


@pytest.mark.parametrize("table", ["payment", "method", "currency"])
def test_a_row_that_others_refer_to_cannot_be_deleted(rows, insert_payments, insert_link, table):
    insert_payments({})
    insert_link()
    with pytest.raises(Rows.Rejected):
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
def test_an_invalid_method_or_currency_is_rejected(app, rows, table, columns):
    with pytest.raises(Rows.Rejected):
        rows.insert(table, {"id": stored(OTHER_ID)} | columns)


@pytest.mark.parametrize(
    "changed", [{"version": 0}, {"version": None}, {"created_at": None}, {"changed_at": None}], ids=str
)
def test_a_payment_without_a_version_or_its_times_is_rejected(insert_payments, changed):
    with pytest.raises(Rows.Rejected):
        insert_payments(changed)


@pytest.mark.parametrize(
    "changed",
    [{"key": ""}, {"key": "x" * 256}, {"fingerprint": "0" * 63}, {"status": 503}, {"number": None}, {}],
    ids=str,
)
def test_an_invalid_or_second_idempotency_key_is_rejected(app, rows, changed):
    row = {"method": "POST", "path": "/payments", "key": "key-1", "fingerprint": "0" * 64, "number": 1}
    row |= {"status": 201, "answer": "{}", "created_at": "2026-01-01 00:00:00.000000+00:00"}
    rows.insert("idempotency_key", row)
    with pytest.raises(Rows.Rejected):
        rows.insert("idempotency_key", row | {"key": "key-2" if changed else "key-1"} | changed)


def test_amounts_are_stored_as_whole_minor_units(client, rows):
    client.post("/payments", json=payment())
    client.post("/payments", json=payment(transaction_id="", currency_id=BTC, amount=1))
    assert rows.all("SELECT minor_units FROM payment ORDER BY id") == [(4550,), (100_000_000,)]
