"""Migrating a database of the first release"""
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.history import steps, times_of
from ..support.migrating import migrate
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, EUR, etag_of, payment
from ..support.rows import Rows, load_first_release
from ..support.tokens import make_token

pytestmark = pytest.mark.empty_database

# UUIDs that are not of version 7, and one with a time in the future.
OTHERS = [
    "0b8f6c1e-5d2a-4f7b-9c3e-8a1d7f20e6b4",
    "ffffffff-ffff-4fff-bfff-ffffffffffff",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
    "01950000-0000-4000-8000-000000000001",
]


@pytest.fixture
def old_rows(database_url, rows):
    """Load the database of the first release and return a connection to it."""
    load_first_release(database_url)
    return rows


@pytest.fixture
def old_client(old_rows, make_new_app):
    """Migrate that database and make a client of the service on it."""
    app = make_new_app()
    assert migrate(app)[0] == "0002_versions_and_times"
    return client_of(app, make_token())


def test_all_old_payments_are_unchanged(old_client):
    names = {method["id"]: method["name"] for method in old_client.get("/payments/methods").json}
    acronyms = {currency["id"]: currency["acronym"] for currency in old_client.get("/payments/currencies").json}
    payments = old_client.get("/payments").json
    first = payments[0]["id"]
    assert [
        (
            names[listed["method_id"]],
            acronyms[listed["currency_id"]],
            listed["transaction_id"],
            str(listed["amount"]),
        )
        for listed in payments
    ] == [
        ("Cash", "EUR", first, "46.50"),
        ("Bitcoin Lightning", "BTC", "lnbc-1 ", "1E-8"),
        ("Vale de comida ñ", "JPY", "o'brien; ñ \\", "92233720368547"),
    ]
    assert (payments[0]["method_id"], payments[0]["currency_id"]) == (CASH, EUR)
    assert (payments[1]["method_id"], payments[1]["currency_id"]) == (BITCOIN_LIGHTNING, BTC)


def test_all_old_links_are_unchanged(old_client):
    first, second, third = (listed["id"] for listed in old_client.get("/payments").json)

    def tickets_of(payment_id):
        response = old_client.get(f"/payments/ticket-payments/by-payment/{payment_id}")
        return [link["ticket_id"] for link in response.json] if response.status_code == 200 else []

    assert [tickets_of(payment_id) for payment_id in (first, second, third)] == [
        ["table-4", "mesa 5 · ñ"],
        ["table-4"],
        [],
    ]
    found = old_client.get("/payments/ticket-payments/by-ticket/table-4").json
    assert [linked["id"] for linked in found] == [first, second]


def test_payments_get_the_time_of_their_ids(old_client, rows):
    for listed in old_client.get("/payments").json:
        milliseconds = int(listed["id"].replace("-", "")[:12], 16)
        made = datetime.fromtimestamp(0, timezone.utc) + timedelta(milliseconds=milliseconds)
        assert made.date().isoformat() == "2025-03-17"
        assert times_of(rows, listed["id"]) == [made, made]


def test_payments_with_ids_without_a_time_count_as_new(old_rows, make_new_app):
    columns = {"method_id": CASH, "currency_id": EUR, "minor_units": 1}
    if old_rows.is_sqlite:
        columns |= {name: columns[name].replace("-", "") for name in ("method_id", "currency_id")}
    ids = [payment_id.replace("-", "") if old_rows.is_sqlite else payment_id for payment_id in OTHERS]
    old_rows.insert("payment", *(columns | {"id": payment_id, "transaction_id": payment_id} for payment_id in ids))
    migrate(make_new_app())
    for payment_id in OTHERS:
        for moment in times_of(old_rows, payment_id):
            assert abs(moment - datetime.now(timezone.utc)) < timedelta(minutes=1)


@on_sqlite
@pytest.mark.parametrize("odd", ["", "7", "payment", b"\0" * 16, 7], ids=ascii)
def test_an_invalid_id_does_not_stop_the_migration(old_rows, make_new_app, odd):
    columns = {"method_id": CASH.replace("-", ""), "currency_id": EUR.replace("-", ""), "minor_units": 1}
    old_rows.insert("payment", columns | {"id": odd, "transaction_id": "txn-1"})
    assert migrate(make_new_app())


def test_the_history_of_old_payments_begins_with_a_change(old_client):
    before = old_client.get("/payments").json[0]
    path = f"/payments/{before['id']}"
    assert old_client.get(f"{path}/history").status_code == 204
    assert etag_of(old_client, before["id"]) == '"1"'
    body = payment(transaction_id="", amount=Decimal("47.00"))
    assert old_client.put(path, json=body, headers={"If-Match": '"1"'}).status_code == 200
    assert steps(old_client, before["id"]) == [("changed", before, before | {"amount": Decimal("47.00")})]


def test_old_transaction_ids_stay_unique_among_new_payments(old_client):
    assert old_client.post("/payments", json=payment()).status_code == 201
    assert old_client.post("/payments", json=payment(transaction_id="lnbc-1 ")).status_code == 409
    assert len(old_client.get("/payments").json) == 4


def test_the_tables_become_those_of_a_new_installation(old_client, rows, new_database):
    def definitions(rows):
        if rows.is_sqlite:
            found = rows.all("SELECT type, name, sql FROM sqlite_master")
        else:
            constraints = "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            found = rows.all(constraints) + rows.all("SELECT tablename, indexname, indexdef FROM pg_indexes")
            columns = "SELECT table_name, column_name, data_type || is_nullable FROM information_schema.columns"
            found += rows.all(f"{columns} WHERE table_schema = 'public'")
        return sorted((owner, name, " ".join(text or "").split()) for owner, name, text in found)

    new = Rows(new_database(migrated=True))
    assert definitions(rows) == definitions(new)
    new.connection.close()


def test_an_old_transaction_id_may_be_written_back_or_mended(old_client):
    before = old_client.get("/payments").json[1]
    path = f"/payments/{before['id']}"
    assert old_client.put(path, json=before).status_code == 200
    assert old_client.get(path).json == before
    assert old_client.put(path, json=before | {"transaction_id": " lnbc-1"}).status_code == 422
    assert old_client.put(path, json=before | {"transaction_id": "lnbc-1"}).status_code == 200
