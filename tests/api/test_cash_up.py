"""A day at the till, as it is counted and closed"""
from decimal import Decimal

import pytest

from ..support.closings import CLOSINGS, MOVEMENTS, NEXT, amounts, close, line_of
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, payment

ZERO = Decimal("0.00")


def money(**given):
    """Return amounts and counts, given as text and numbers."""
    return {name: Decimal(value) if isinstance(value, str) else value for name, value in given.items()}


@pytest.fixture
def day(make_client):
    """Play the day of the worked example after closing 41, which left 150.00 in cash, until before closing 42."""
    waiter, other = make_client(userId=7), make_client(userId=8)
    for number in range(1, 42):
        counts = [(CASH, EUR, "150.00", "150.00")] if number == 41 else []
        assert close(waiter, *counts) == number
    ids = []
    for client, method, currency, amount in [
        (waiter, CASH, EUR, "45.50"),
        (other, CASH, EUR, "32.80"),
        (waiter, CASH, EUR, "100.00"),
        (waiter, CREDIT_CARD, EUR, "78.90"),
        (other, CREDIT_CARD, EUR, "165.00"),
        (other, BITCOIN_LIGHTNING, BTC, "0.00012345"),
    ]:
        body = payment(method_id=method, currency_id=currency, transaction_id="", amount=Decimal(amount))
        ids.append(client.post("/payments", json=body).json["id"])
    moved = payment(method_id=CREDIT_CARD, transaction_id="", amount=Decimal("32.80"))
    assert waiter.put(f"/payments/{ids[1]}", json=moved).status_code == 200
    refund = {"amount": Decimal("20.00"), "reason": "cold soup"}
    assert waiter.post(f"/payments/{ids[0]}/refunds", json=refund).status_code == 201
    for kind, amount in (("paid_out", "35.40"), ("paid_in", "50.00")):
        body = {"kind": kind, "method_id": CASH, "currency_id": EUR, "amount": Decimal(amount), "reason": "flowers"}
        assert waiter.post(MOVEMENTS, json=body).status_code == 201
    return waiter, ids


CASH_LINE = money(
    opening="150.00",
    payments="178.30",
    payments_count=3,
    corrections="-32.80",
    corrections_count=1,
    refunds="20.00",
    refunds_count=1,
    paid_in="50.00",
    paid_out="35.40",
    expected="290.10",
)
COUNTS = [(CASH, EUR, "288.10", "150.00"), (CREDIT_CARD, EUR, "276.70", None)]


def test_the_open_closing_expects_what_the_example_says(day):
    client, _ = day
    report = client.get(NEXT).json
    assert report["number"] == 42
    assert amounts(line_of(report, CASH, EUR)) == CASH_LINE
    assert line_of(report, CREDIT_CARD, EUR)["expected"] == Decimal("276.70")
    assert line_of(report, BITCOIN_LIGHTNING, BTC)["expected"] == Decimal("0.00012345")
    line = line_of(report, CASH, EUR)
    assert [line[name] for name in ("counted", "difference", "remaining", "taken_out")] == [None] * 4


def test_the_closing_of_the_example_has_its_figures(day):
    client, _ = day
    assert close(client, *COUNTS, number=42) == 42
    closing = client.get(f"{CLOSINGS}/42").json
    counted = money(counted="288.10", difference="-2.00", remaining="150.00", taken_out="138.10")
    assert amounts(line_of(closing, CASH, EUR)) == CASH_LINE | counted
    card = line_of(closing, CREDIT_CARD, EUR)
    assert (card["counted"], card["difference"]) == (Decimal("276.70"), ZERO)
    assert (card["remaining"], card["taken_out"]) == (ZERO, ZERO)
    assert str(line_of(closing, CASH, EUR)["difference"]) == "-2.00"


def test_the_takings_of_the_example_are_split_by_user(day):
    client, _ = day
    close(client, *COUNTS)
    users = client.get(f"{CLOSINGS}/42").json["users"]
    assert {(user["user_id"], user["method"], user["currency"]): str(user["takings"]) for user in users} == {
        ("7", "Cash", "EUR"): "92.70",
        ("8", "Cash", "EUR"): "32.80",
        ("7", "Credit Card", "EUR"): "111.70",
        ("8", "Credit Card", "EUR"): "165.00",
        ("8", "Bitcoin Lightning", "BTC"): "0.00012345",
    }
    takings = client.get("/payments/takings").json
    assert {total["currency"]: str(total["takings"]) for total in takings["totals"]} == {
        "EUR": "402.20", "BTC": "0.00012345",
    }


def test_a_payment_deleted_later_changes_no_closing(day):
    client, ids = day
    close(client, *COUNTS)
    before = client.get(f"{CLOSINGS}/42").data
    assert client.delete(f"/payments/{ids[2]}").status_code == 204
    assert close(client) == 43
    line = line_of(client.get(f"{CLOSINGS}/43").json, CASH, EUR)
    expected = money(opening="150.00", corrections="-100.00", corrections_count=1, expected="50.00", remaining="50.00")
    assert amounts(line) == expected
    assert (line["counted"], line["difference"]) == (None, None)
    assert client.get(f"{CLOSINGS}/42").data == before


def test_a_surplus_shows_in_the_next_closing(day):
    client, ids = day
    close(client, *COUNTS)
    client.delete(f"/payments/{ids[2]}")
    close(client)
    client.post("/payments", json=payment(transaction_id="", amount=Decimal("12.30")))
    close(client, (CASH, EUR, "162.30", "150.00"))
    line = line_of(client.get(f"{CLOSINGS}/44").json, CASH, EUR)
    assert (str(line["expected"]), str(line["difference"])) == ("62.30", "100.00")
    assert (str(line["remaining"]), str(line["taken_out"])) == ("150.00", "12.30")
