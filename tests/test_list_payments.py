"""GET /payments"""
from decimal import Decimal

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
