"""Payments, and the ids of the methods and currencies of a new installation"""
from decimal import Decimal
from typing import Any

import msgspec
from flask.testing import FlaskClient

ENCODER = msgspec.json.Encoder(decimal_format="number")

CASH = "01950000-0000-7000-8000-000000000001"
CREDIT_CARD = "01950000-0000-7000-8000-000000000002"
BITCOIN_LIGHTNING = "01950000-0000-7000-8000-000000000004"
EUR = "01950000-0000-7000-8000-000000000101"
BTC = "01950000-0000-7000-8000-000000000104"
NOBODY = "01950000-0000-7000-8000-00000000dead"
ID, OTHER_ID, UNKNOWN = ("00000000-0000-7000-8000-" + digit * 12 for digit in "120")


def payment(**changed: Any) -> dict[str, Any]:
    """Return the body of a payment. A field of None is left out."""
    body = {"method_id": CASH, "currency_id": EUR, "transaction_id": "txn-1", "amount": Decimal("45.50")} | changed
    return {name: value for name, value in body.items() if value is not None}


def etag_of(client: FlaskClient, payment_id: str) -> str:
    """Return the ETag of a payment."""
    return client.get(f"/payments/{payment_id}").headers["ETag"]
