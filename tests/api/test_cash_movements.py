"""POST and GET /payments/cash-movements"""
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from ..support.closings import CLOSINGS, MOVEMENTS, NEXT, amounts, close, line_of
from ..support.payments import BTC, CASH, CREDIT_CARD, EUR, NOBODY


def movement(**changed):
    """Return the body of a cash movement. A field of None is left out."""
    body = {"kind": "paid_in", "method_id": CASH, "currency_id": EUR, "amount": Decimal("50.00"), "reason": "float"}
    return {name: value for name, value in (body | changed).items() if value is not None}


@pytest.fixture
def move(client):
    """Record a cash movement and return its id."""

    def record(**changed):
        response = client.post(MOVEMENTS, json=movement(**changed))
        assert response.status_code == 201, response.text
        return response.json["id"]

    return record


def test_a_movement_is_listed_as_it_was_recorded(client, move):
    close(client)
    movement_id = move(kind="paid_out", reason="Flowers")
    (listed,) = client.get(MOVEMENTS).json
    at = datetime.fromisoformat(listed.pop("at"))
    assert abs((datetime.now(timezone.utc) - at).total_seconds()) < 60
    assert listed == movement(kind="paid_out", reason="Flowers") | {"id": movement_id, "user_id": "12", "closing": 2}
    assert b'"amount":50.00,' in client.get(MOVEMENTS).data


def test_the_response_says_where_it_is_listed(client):
    response = client.post(MOVEMENTS, json=movement())
    assert response.json["message"] == "Cash movement added successfully"
    assert response.headers["Location"].endswith(MOVEMENTS)


def test_movements_change_what_is_expected(client, move):
    move(amount=50)
    move(kind="paid_out", amount=Decimal("35.40"))
    line = line_of(client.get(NEXT).json, CASH, EUR)
    assert amounts(line) == {"paid_in": 50, "paid_out": Decimal("35.40"), "expected": Decimal("14.60")}


def test_movements_are_no_takings(client, move):
    move()
    assert client.get(NEXT).json["users"] == []
    assert client.get("/payments/takings").status_code == 204


def test_a_list_of_one_closing_has_its_movements(client, move):
    first = move()
    close(client)
    second = move()
    for query, expected in [("", [first, second]), ("?closing=1", [first]), ("?closing=2", [second])]:
        assert [listed["id"] for listed in client.get(f"{MOVEMENTS}{query}").json] == expected
    assert client.get(f"{MOVEMENTS}?closing=3").status_code == 204


def test_a_list_is_read_in_pages(client, move):
    ids = [move() for _ in range(3)]
    first = client.get(f"{MOVEMENTS}?limit=2&closing=1")
    assert [listed["id"] for listed in first.json] == ids[:2]
    assert f"{MOVEMENTS}?limit=2&closing=1&after={ids[1]}>" in first.headers["Link"]
    second = client.get(f"{MOVEMENTS}?limit=2&after={ids[1]}")
    assert [listed["id"] for listed in second.json] == ids[2:]
    assert "Link" not in second.headers


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"method_id": CREDIT_CARD}, "method_id", "This payment method is not cash: only cash is paid in and out."),
        ({"method_id": NOBODY}, "method_id", "There is no payment method with this id."),
        ({"currency_id": NOBODY}, "currency_id", "There is no currency with this id."),
        ({"amount": 0}, "amount", "Must be more than zero."),
        ({"amount": -1}, "amount", "Must be zero or more."),
        ({"amount": Decimal("0.001")}, "amount", "EUR has 2 decimals."),
        ({"amount": Decimal("100000000000"), "currency_id": BTC}, "amount", "The largest amount in BTC is"),
        ({"kind": "refund"}, "kind", "Must be one of: paid_in, paid_out."),
        ({"reason": " "}, "reason", "Must not be blank."),
        ({"reason": " x"}, "reason", "Must not begin or end with a blank"),
        ({"reason": "x" * 256}, "reason", "Length must be between 1 and 255."),
        ({"reason": "x\0"}, "reason", "Has a character that is not allowed"),
        ({"reason": None}, "reason", "Missing data for required field."),
        ({"colour": "red"}, "colour", "Unknown field."),
    ],
    ids=str,
)
def test_an_invalid_movement_is_rejected(client, changed, field, reason):
    response = client.post(MOVEMENTS, json=movement(**changed))
    assert response.status_code == 422
    assert reason in response.json["errors"]["json"][field][0]
    assert client.get(MOVEMENTS).status_code == 204


def test_a_retry_with_a_key_records_one_movement(client):
    answers = [client.post(MOVEMENTS, json=movement(), headers={"Idempotency-Key": "key-1"}) for _ in "12"]
    assert answers[0].data == answers[1].data
    assert len(client.get(MOVEMENTS).json) == 1


def test_a_movement_is_no_payment_and_has_no_history(client, move):
    movement_id = move()
    for path in (f"/payments/{movement_id}/history", "/payments/nothing/history", f"/payments/{movement_id}"):
        assert client.get(path).status_code == 404


def test_a_movement_is_sealed_with_its_closing(client, move, rows):
    movement_id = move()
    close(client)
    ((action, payment_id, after),) = rows.all("SELECT action, payment_id, after FROM history")
    assert (action, payment_id) == ("paid_in", None)
    assert movement_id in after and '"reason":"float"' in after
    assert client.get(f"{CLOSINGS}/1").json["lines"][0]["paid_in"] == 50
