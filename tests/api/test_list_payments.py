"""GET /payments: all payments, pages, and filters"""
import re
from decimal import Decimal
from urllib.parse import urljoin

import pytest

from payments_service import store
from payments_service.schemas.payments import PaymentSchema
from payments_service.store.listing import ListedPayment
from payments_service.store.payments import RecordedPayment

from ..support.engines import on_one_engine
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, NOBODY, UNKNOWN
from ..support.rows import stored


def test_without_payments_the_response_is_204_without_a_body(client):
    response = client.get("/payments")
    assert response.status_code == 204
    assert response.data == b""


def test_payments_are_listed_oldest_first(client, add_payment):
    ids = [add_payment() for _ in range(20)]
    response = client.get("/payments")
    assert response.status_code == 200
    assert [listed["id"] for listed in response.json] == ids == sorted(ids)


def test_each_payment_is_listed_as_it_is_read_alone(client, add_payment):
    ids = [add_payment(currency_id=EUR, amount=1), add_payment(currency_id=BTC, amount=Decimal("0.1"))]
    assert client.get("/payments").json == [client.get(f"/payments/{payment_id}").json for payment_id in ids]
    assert client.get("/payments").json[0]["method_id"] == CASH


def test_a_payment_is_found_by_its_transaction_id(client, add_payment):
    payment_id = add_payment(transaction_id="txn 1&ñ=")
    add_payment(transaction_id="txn-2")
    response = client.get("/payments", query_string={"transaction_id": "txn 1&ñ="})
    assert response.status_code == 200
    assert response.json == [client.get(f"/payments/{payment_id}").json]


def test_a_cash_payment_is_found_by_its_own_id(client, add_payment):
    payment_id = add_payment(transaction_id="")
    assert [found["id"] for found in client.get(f"/payments?transaction_id={payment_id}").json] == [payment_id]


def test_a_transaction_id_that_is_not_used_gives_204(client, add_payment):
    add_payment(transaction_id="txn-1")
    for unused in ("txn", "TXN-1", "txn-1 ", "x" * 2000):
        assert client.get("/payments", query_string={"transaction_id": unused}).status_code == 204


@on_one_engine
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("transaction_id=", "transaction_id"),
        ("transaction_id=%20", "transaction_id"),
        (f"transaction_id={'x' * 2001}", "transaction_id"),
        (f"transaction_id={'%C3%BC' * 1346}", "transaction_id"),
        ("transaction_id=%E2%80%8B", "transaction_id"),
        ("transaction_id=%00", "transaction_id"),
        ("transaction_id=%FF", "transaction_id"),
        ("transaction_id=a&transaction_id=b", "transaction_id"),
        ("transaction=txn-1", "transaction"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=01", "limit"),
        ("limit=", "limit"),
        ("after=txn-1", "after"),
        ("method_id=Cash", "method_id"),
        ("currency_id=EUR", "currency_id"),
        ("ticket_id=", "ticket_id"),
        (f"ticket_id={'x' * 256}", "ticket_id"),
        ("created_from=2026-11-22", "created_from"),
        ("created_from=2026-11-22T12:30:05", "created_from"),
        ("created_from=2026-11-22T12:30:05+01:00", "created_from"),
        ("created_from=2026-02-30T12:30:05Z", "created_from"),
        ("created_from=2026-11-22T12:30:05%2B01:60", "created_from"),
        ("created_from=0001-01-01T00:00:00%2B01:00", "created_from"),
        ("created_from=2026-11-22T24:00:00Z", "created_from"),
        ("created_from=2026-11-22T12:30:61Z", "created_from"),
        ("created_from=2026-11-22T12:30:05.Z", "created_from"),
        ("created_from=2026-11-22T12:30:05%2B24:00", "created_from"),
        ("created_from=2026-11-22T12:30.5Z", "created_from"),
        ("created_from=9999-12-31T23:59:60Z", "created_from"),
        ("created_to=2026-W47-7T12:30:05Z", "created_to"),
        ("created_to=now", "created_to"),
    ],
)
def test_an_invalid_query_lists_nothing(client, add_payment, query, named):
    add_payment(transaction_id="txn-1")
    response = client.get(f"/payments?{query}")
    assert response.status_code == 422
    assert list(response.json["errors"]["query"]) == [named]


def test_a_listed_payment_has_the_fields_of_the_schema():
    fields = tuple(PaymentSchema().fields)
    assert ListedPayment.__struct_fields__ == RecordedPayment.__struct_fields__ == fields


@pytest.mark.parametrize(
    "transaction_id",
    [
        *('"', "\\", '\\"\\u0041', "/</script>", ".\x01\b\t\n\f\r\x1f\x7f.", "ñ", "a\u2028\ufeff\uffff", "\U0001f600é"),
        *("x" * 2000, "1", "null"),
    ],
)
def test_a_transaction_id_is_listed_as_it_is_read_alone(client, add_payment, transaction_id):
    payment_id = add_payment(transaction_id=transaction_id)
    alone = client.get(f"/payments/{payment_id}")
    assert alone.json["transaction_id"] == transaction_id
    assert client.get("/payments").text == f"[{alone.text.strip()}]\n"


@pytest.mark.parametrize("decimals", [0, 2, 3, 8, 18])
def test_amounts_are_listed_as_they_are_read_alone(client, rows, insert_numbered, decimals):
    rows.insert("currency", {"id": stored(UNKNOWN), "acronym": "XTS", "decimals": decimals})
    amounts = [0, 1, 99, 100, 4550, 10**decimals - 1, 10**decimals, 2**53 + 1, 2**63 - 1]
    ids = insert_numbered(*({"currency_id": UNKNOWN, "minor_units": minor_units} for minor_units in amounts))
    alone = [client.get(f"/payments/{payment_id}").text.strip() for payment_id in ids]
    assert client.get("/payments").text == f"[{','.join(alone)}]\n"


@pytest.fixture
def insert_numbered(insert_payments):
    """Insert payments with the ids 1, 2 and so on, each with the given columns."""

    def insert(*changes):
        ids = [f"00000000-0000-7000-8000-{number:012x}" for number in range(1, len(changes) + 1)]
        insert_payments(*({"id": id, "transaction_id": id} | changed for id, changed in zip(ids, changes)))
        return ids

    return insert


def ids_of(response):
    return [listed["id"] for listed in response.json] if response.data else []


def follow(client, path):
    """Return the ids on each page, from the first to the last."""
    pages = []
    while path:
        response = client.get(path)
        pages.append(ids_of(response))
        link = re.fullmatch('<(.+)>; rel="next"', response.headers.get("Link", ""))
        path = link and urljoin(path, link[1])
    return pages


def test_pages_link_to_the_next_one_until_the_last(client, insert_numbered):
    ids = insert_numbered(*[{}] * 5)
    assert follow(client, "/payments?limit=2") == [ids[:2], ids[2:4], ids[4:]]


def test_the_last_page_has_no_next_page(client, insert_numbered):
    ids = insert_numbered(*[{}] * 4)
    assert follow(client, "/payments?limit=2") == [ids[:2], ids[2:]]


def test_a_list_without_a_limit_has_no_next_page(client, insert_numbered):
    insert_numbered(*[{}] * 3)
    assert "Link" not in client.get("/payments").headers


def test_the_next_page_keeps_the_filters(client, insert_numbered):
    ids = insert_numbered(*[{"method_id": method_id} for method_id in [CASH, CREDIT_CARD] * 3])
    assert follow(client, f"/payments?limit=1&method_id={CASH}") == [[ids[0]], [ids[2]], [ids[4]]]


def test_a_page_continues_after_a_deleted_payment(client, insert_numbered):
    ids = insert_numbered(*[{}] * 3)
    client.delete(f"/payments/{ids[1]}")
    assert ids_of(client.get(f"/payments?limit=2&after={ids[1]}")) == [ids[2]]


def test_after_the_last_payment_the_response_is_204(client, insert_numbered):
    ids = insert_numbered({}, {})
    assert client.get(f"/payments?limit=2&after={ids[-1]}").status_code == 204


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"method_id={CASH}", [0, 2]),
        (f"method_id={NOBODY}", []),
        (f"currency_id={BTC}", [2, 3]),
        (f"method_id={CASH}&currency_id={BTC}", [2]),
        ("ticket_id=table-4", [1, 2]),
        (f"ticket_id=table-4&method_id={CASH}", [2]),
        ("ticket_id=table-5", []),
    ],
)
def test_payments_are_filtered_by_their_values(client, insert_numbered, insert_link, query, found):
    ids = insert_numbered(
        {"method_id": CASH, "currency_id": EUR},
        {"method_id": CREDIT_CARD, "currency_id": EUR},
        {"method_id": CASH, "currency_id": BTC},
        {"method_id": BITCOIN_LIGHTNING, "currency_id": BTC},
    )
    insert_link(payment_id=ids[2], ticket_id="table-4")
    insert_link(payment_id=ids[1], ticket_id="table-4")
    assert ids_of(client.get(f"/payments?{query}")) == [ids[index] for index in found]


# As other programs write them, all at noon in UTC.
NOON = [
    "2026-11-22T12:00:00Z",
    "2026-11-22t12:00:00z",
    "2026-11-22T12:00:00.000Z",
    "2026-11-22T12:00:00.0000000Z",
    "2026-11-22T12:00:00.000000000Z",
    f"2026-11-22T12:00:00.{'0' * 3000}Z",
    "2026-11-22T13:00:00.000000000+0100",
    "2026-11-22T12:00:00+0000",
    "2026-11-22T12:00:00-0000",
    "2026-11-22T12:00:00+00",
    "2026-11-22T12:00Z",
    "2026-11-22 12:00:00+00:00",
    "2026-11-22T06:30-05:30",
    "2026-11-22T11:59:60Z",
]
# The payment at noon was recorded before these, and that a microsecond later was not.
JUST_AFTER_NOON = [
    "2026-11-22T12:00:00.000001Z",
    "2026-11-22T12:00:00.0000001Z",
    "2026-11-22T12:00:00.000000001Z",
    f"2026-11-22T12:00:00.{'0' * 3000}1Z",
    "2026-11-22T07:00:00.0000009-05:00",
]


@on_one_engine
@pytest.mark.parametrize("time", [*NOON, *JUST_AFTER_NOON], ids=lambda time: time[:40])
def test_a_time_may_be_written_in_several_ways(client, insert_numbered, time):
    noon, later = insert_numbered(
        {"created_at": "2026-11-22 12:00:00.000000+00:00"}, {"created_at": "2026-11-22 12:00:00.000001+00:00"}
    )
    since = ids_of(client.get("/payments", query_string={"created_from": time}))
    until = ids_of(client.get("/payments", query_string={"created_to": time}))
    assert (until, since) == (([], [noon, later]) if time in NOON else ([noon], [later]))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # The latest and the earliest time of .NET.
        ("created_to=9999-12-31T23:59:59.9999999Z", True),
        ("created_from=9999-12-31T23:59:59.9999999Z", False),
        ("created_to=0001-01-01T00:00:00.0000000Z", False),
        ("created_from=0001-01-01T00:00:00Z", True),
    ],
)
def test_the_ends_of_time_are_times(client, add_payment, query, found):
    expected = [add_payment()] if found else []
    assert ids_of(client.get(f"/payments?{query}")) == (expected if found else [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("created_from=2026-11-22T11:00:00Z", [0, 1, 3]),
        ("created_from=2026-11-22T12:00:00%2B01:00", [0, 1, 3]),
        ("created_from=2026-11-22t11:00:00.000001z", [0, 3]),
        ("created_to=2026-11-22T11:00:00Z", [2]),
        ("created_to=2026-11-22T11:00:00.0000010Z", [1, 2]),
        ("created_from=2026-11-22T10:00:00Z&created_to=2026-11-22T12:00:00Z", [1, 2]),
        ("created_from=2026-11-22T12:00:00Z&created_to=2026-11-22T12:00:00Z", []),
        (f"created_from=2026-11-22T11:00:00Z&method_id={CASH}", [1]),
        ("created_from=2026-11-22T10:00:00Z&after=00000000-0000-7000-8000-000000000002", [2, 3]),
        ("created_to=2026-11-22T11:00:00Z&ticket_id=table-4", [2]),
    ],
)
def test_payments_are_filtered_by_time(client, insert_numbered, insert_link, monkeypatch, query, found):
    # Not in the order of their ids.
    hours = {"13": CREDIT_CARD, "11": CASH, "10": CASH, "12": CREDIT_CARD}
    moments = {hour: f"2026-11-22 {hour}:00:00.000000+00:00" for hour in hours}
    ids = insert_numbered(*({"created_at": moments[hour], "method_id": method_id} for hour, method_id in hours.items()))
    for linked in ids[2:]:
        insert_link(payment_id=linked, ticket_id="table-4")
    assert ids_of(client.get(f"/payments?{query}")) == [ids[index] for index in found]
    pages = follow(client, f"/payments?limit=1&{query}")
    assert sum(pages, []) == [ids[index] for index in found]
    monkeypatch.setattr(store.listing, "MAX_PAYMENTS_TO_SEARCH", 1)
    assert follow(client, f"/payments?limit=1&{query}") == pages
