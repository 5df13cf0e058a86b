"""Lightning invoices: asking for them, and the settings of a service with a fake node"""
from decimal import Decimal
from typing import Any
from uuid import uuid4

from .fake_node import FakeNode
from .payments import BTC, EUR

LIGHTNING = "/payments/lightning"


def settings_of(node: FakeNode, url: str) -> dict[str, str]:
    """Return the settings of a service that asks a fake node at a URL."""
    name = type(node).__name__.removeprefix("Fake").lower()
    return {"LIGHTNING": name, "LIGHTNING_URL": url, "LIGHTNING_KEY": node.key}


def wanted(**changed: Any) -> dict[str, Any]:
    """Return the body of a request for an invoice. A field of None is left out."""
    body = {"ticket_id": "table-4", "currency_id": EUR, "amount": Decimal("12.40"), "amount_sat": 12400} | changed
    return {name: value for name, value in body.items() if value is not None}


def bitcoin(**changed: Any) -> dict[str, Any]:
    """Return the body of a request for an invoice in bitcoin."""
    return wanted(**{"currency_id": BTC, "amount": Decimal("0.00012400"), "amount_sat": None} | changed)


def new_address() -> str:
    """Return the address of an invoice that there is not yet."""
    return f"{LIGHTNING}/{uuid4()}"
