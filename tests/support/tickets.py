"""Refunds, links to tickets, and balances"""
from decimal import Decimal
from typing import Any

from flask.testing import FlaskClient

LINKS = "/payments/ticket-payments"


def share(payment_id: str, ticket_id: str, amount: str | None = None, total: str | None = None) -> dict[str, Any]:
    """Return the body of a link, with an amount and the ticket's total if they are given."""
    given = {"amount": amount, "ticket_total": total}
    numbers = {name: Decimal(value) for name, value in given.items() if value is not None}
    return {"payment_id": payment_id, "ticket_id": ticket_id} | numbers


def link_share(client: FlaskClient, *parts: Any) -> int:
    """Link as `share` says, and return the status."""
    return client.post(LINKS, json=share(*parts)).status_code


def refund(client: FlaskClient, payment_id: str, amount: str, **fields: Any) -> Any:
    """Record a refund and return the response."""
    return client.post(f"/payments/{payment_id}/refunds", json={"amount": Decimal(amount)} | fields)


def balance(client: FlaskClient, ticket_id: str, query: str = "") -> list[dict[str, str]] | None:
    """Return the balances of a ticket as text, without the ids of their currencies; None for 204."""
    response = client.get(f"{LINKS}/balance/{ticket_id}?{query}")
    if response.status_code == 204:
        return None
    assert response.status_code == 200, response.text
    return [
        {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in found.items()
         if name != "currency_id"}
        for found in response.json
    ]
