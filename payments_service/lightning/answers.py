"""Values of a node's answers, with the types that its API promises."""
import re
from decimal import Decimal
from typing import Any

from .backend import Offer
from .client import Client

HASH = re.compile("[0-9a-f]{64}")
MAX_BOLT11_LENGTH = 2000
REQUIRED = object()


def take(client: Client, answer: Any, name: str, kind: type, default: Any = REQUIRED) -> Any:
    """Return a value of this type. With a default, it may be missing or null.

    Raises `BackendFault`. An `int` is a whole number of at most 18 digits.
    """
    value = answer.get(name) if isinstance(answer, dict) else None
    if value is None and default is not REQUIRED and isinstance(answer, dict):
        return default
    if kind is int and isinstance(value, Decimal) and value == value.to_integral_value() and value.adjusted() < 18:
        return int(value)
    if kind is not int and isinstance(value, kind):
        return value
    raise client.fault(f"responds without a valid {name}")


def items(client: Client, answer: Any) -> list[dict[str, Any]]:
    """Return a list of objects; raises `BackendFault`."""
    if isinstance(answer, list) and all(isinstance(item, dict) for item in answer):
        return answer
    raise client.fault("responds without a valid list")


def read_offer(client: Client, payment: Any, *, bolt11: str, payment_hash: str) -> Offer:
    """Return the invoice and its hash under these names; raises `BackendFault`."""
    offer = Offer(take(client, payment, bolt11, str), take(client, payment, payment_hash, str))
    if not HASH.fullmatch(offer.payment_hash):
        raise client.fault(f"responds without a valid {payment_hash}")
    if not offer.bolt11.isascii() or len(offer.bolt11) > MAX_BOLT11_LENGTH:
        raise client.fault(f"responds without a valid {bolt11}")
    return offer
