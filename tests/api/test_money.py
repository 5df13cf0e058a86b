"""Amounts, in requests, in the database and in responses"""
from decimal import Decimal

import pytest

from ..support.engines import on_one_engine
from ..support.payments import BTC, CASH, EUR, payment


@pytest.fixture
def store_and_read(client):
    """Record a payment of an amount, given as JSON text. Return the amount in the response as text."""

    def pass_through(amount, currency_id):
        body = f'{{"method_id": "{CASH}", "currency_id": "{currency_id}", "amount": {amount}}}'
        response = client.post("/payments", data=body, content_type="application/json")
        assert response.status_code == 201, response.text
        text = client.get(f"/payments/{response.json['id']}").text
        return text.partition('"amount":')[2].rstrip("}\n")

    return pass_through


@pytest.mark.parametrize("amount", ["45.50", "0.00", "0.01", "32.80", "999999999999999.99"])
def test_euros_are_returned_as_they_were_sent(store_and_read, amount):
    assert store_and_read(amount, EUR) == amount


@pytest.mark.parametrize("amount", ["0.00000001", "0.00001000", "21000000.00000000", "92233720368.54775807"])
def test_bitcoins_are_returned_as_they_were_sent(store_and_read, amount):
    assert store_and_read(amount, BTC) == amount


@pytest.mark.parametrize(
    ("sent", "answered"),
    [("45.5", "45.50"), ("45", "45.00"), ("4.55e1", "45.50"), ("1E2", "100.00"), ("45.500", "45.50"), ("-0", "0.00")],
)
def test_an_amount_has_exactly_the_decimals_of_its_currency(store_and_read, sent, answered):
    assert store_and_read(sent, EUR) == answered


def test_an_amount_without_decimals_has_no_point(app, store_and_read):
    result = app.test_cli_runner().invoke(args=["currencies", "add", "JPY", "--decimals", "0"])
    assert store_and_read("1200", result.output.strip()) == "1200"


def test_amounts_in_lists_are_exact_too(client, add_payment, link):
    payment_id = add_payment(currency_id=BTC, amount=Decimal("0.00000001"))
    link(payment_id, "ticket-1")
    assert '"amount":0.00000001' in client.get("/payments").text
    assert '"amount":0.00000001' in client.get("/payments/ticket-payments/by-ticket/ticket-1").text


@pytest.mark.parametrize("amount", ["45.505", "0.001", "1e-3", "1e-900"])
def test_more_decimals_than_the_currency_has_are_rejected(client, amount):
    response = client.post("/payments", json=payment(amount=Decimal(amount)))
    assert response.status_code == 422
    assert response.json["errors"] == {"json": {"amount": ["EUR has 2 decimals."]}}
    assert client.get("/payments").status_code == 204


@pytest.mark.parametrize(
    ("amount", "currency_id"),
    [("-0.01", EUR), ("1000000000000000", EUR), ("1e15", EUR), ("1e900", EUR), ("92233720368.54775808", BTC)],
)
def test_an_amount_out_of_range_is_rejected(client, amount, currency_id):
    response = client.post("/payments", json=payment(amount=Decimal(amount), currency_id=currency_id))
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["amount"]
    assert client.get("/payments").status_code == 204


@on_one_engine
@pytest.mark.parametrize("amount", ["45.50", "", True, False, [], {}])
def test_an_amount_that_is_not_a_number_is_rejected(client, amount):
    response = client.post("/payments", json=payment(amount=amount))
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["amount"]


def test_a_change_of_currency_checks_the_new_decimals(client, add_payment):
    payment_id = add_payment(currency_id=BTC, amount=Decimal("0.001"))
    response = client.put(f"/payments/{payment_id}", json=payment(currency_id=EUR, amount=Decimal("0.001")))
    assert response.status_code == 422
    assert client.get(f"/payments/{payment_id}").json["currency_id"] == BTC
