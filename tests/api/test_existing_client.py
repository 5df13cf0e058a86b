"""A day of the point of sale that uses the service today"""
import time
from decimal import Decimal

import pytest

from ..support.clients import client_of
from ..support.payments import payment
from ..support.tokens import make_token

# Its tokens have no permissions claim.
CLAIMS = {
    "aud": "pos-client",
    "iss": "pos-sign-in",
    "userId": 12,
    "role": "cashier",
    "isAdmin": False,
    "realm": "restaurant",
    "permissions": None,
}


@pytest.fixture
def make_till(make_app):
    """Make clients of a service with the settings of the point of sale."""
    app = make_app(
        JWT_ISSUER="pos-sign-in",
        JWT_AUDIENCE="pos-client",
        ROLE_PERMISSIONS={"cashier": ["payments_read", "payments_create"]},
    )
    return lambda **claims: client_of(app, make_token(**CLAIMS | claims))


def test_a_cashiers_day(make_till):
    client = make_till()
    cash = next(method["id"] for method in client.get("/payments/methods").json if method["name"] == "Cash")
    euro = next(listed["id"] for listed in client.get("/payments/currencies").json if listed["acronym"] == "EUR")
    assert client.get("/payments/ticket-payments/by-ticket/table-4").status_code == 204

    ids = []
    for amount in ("10.00", "20.50", "0.05"):
        body = {"method_id": cash, "currency_id": euro, "transaction_id": "", "amount": Decimal(amount)}
        response = client.post("/payments", json=body)
        assert response.status_code == 201
        ids.append(response.json["id"])
        link = {"payment_id": ids[-1], "ticket_id": "table-4"}
        assert client.post("/payments/ticket-payments", json=link).status_code == 201

    paid = client.get("/payments/ticket-payments/by-ticket/table-4").json
    assert [found["payment_id"] for found in paid] == ids
    assert sum(found["amount"] for found in paid) == Decimal("30.55")


def test_a_payment_is_retried_with_a_refreshed_token(make_till):
    body = payment(transaction_id="", amount=Decimal("12.00"))
    answers = []
    for seconds in (60, 120):
        client = make_till(exp=int(time.time()) + seconds)
        answers.append(client.post("/payments", json=body, headers={"Idempotency-Key": "key-1"}))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].data == answers[1].data
    history = make_till().get(f"/payments/{answers[0].json['id']}/history").json
    assert [(entry["user_id"], entry["action"]) for entry in history] == [("12", "created")]


def test_a_cashier_may_not_change_or_delete(make_till):
    client = make_till()
    payment_id = client.post("/payments", json=payment()).json["id"]
    assert client.put(f"/payments/{payment_id}", json=payment(amount=1)).status_code == 403
    assert client.delete(f"/payments/{payment_id}").status_code == 403


def test_an_unknown_role_grants_nothing(make_till):
    assert make_till(role="cook").get("/payments").status_code == 403


@pytest.mark.parametrize("claims", [{"type": "refresh"}, {"scope": "wallet_access"}], ids=str)
def test_refresh_and_wallet_tokens_are_rejected(make_till, claims):
    assert make_till(**claims).get("/payments").status_code == 401
