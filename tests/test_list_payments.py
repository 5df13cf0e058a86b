"""GET /payments"""
from decimal import Decimal

import pytest

from .conftest import BTC, CASH, EUR


def test_without_payments_the_answer_is_204_without_a_body(client):
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


def test_a_transaction_id_that_is_not_used_is_answered_204(client, add_payment):
    add_payment(transaction_id="txn-1")
    for unused in ("txn", "TXN-1", "txn-1 ", "x" * 128):
        assert client.get("/payments", query_string={"transaction_id": unused}).status_code == 204


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("transaction_id=", "transaction_id"),
        ("transaction_id=%20", "transaction_id"),
        (f"transaction_id={'x' * 129}", "transaction_id"),
        ("transaction_id=%00", "transaction_id"),
        ("transaction_id=%FF", "transaction_id"),
        ("transaction_id=a&transaction_id=b", "transaction_id"),
        ("transaction=txn-1", "transaction"),
    ],
)
def test_a_query_that_is_refused_lists_nothing(client, add_payment, query, named):
    add_payment(transaction_id="txn-1")
    response = client.get(f"/payments?{query}")
    assert response.status_code == 422
    assert list(response.json["errors"]["query"]) == [named]
