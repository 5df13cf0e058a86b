"""Payment methods."""
from marshmallow import fields

from .fields import Id
from .responses import ResponseSchema

# The ids that every installation has.
CASH = "01950000-0000-7000-8000-000000000001"
CREDIT_CARD = "01950000-0000-7000-8000-000000000002"
BITCOIN_LIGHTNING = "01950000-0000-7000-8000-000000000004"

METHODS_EXAMPLE = [
    {"id": CASH, "name": "Cash"},
    {"id": CREDIT_CARD, "name": "Credit Card"},
    {"id": BITCOIN_LIGHTNING, "name": "Bitcoin Lightning"},
]


class PaymentMethodSchema(ResponseSchema):
    """A payment method."""

    id = Id(required=True)
    name = fields.String(required=True)
