"""Currencies."""
from marshmallow import fields

from .fields import Id
from .responses import ResponseSchema

# The ids that every installation has.
EUR = "01950000-0000-7000-8000-000000000101"
USD = "01950000-0000-7000-8000-000000000102"
BTC = "01950000-0000-7000-8000-000000000104"

CURRENCIES_EXAMPLE = [
    {"id": EUR, "acronym": "EUR"},
    {"id": USD, "acronym": "USD"},
    {"id": BTC, "acronym": "BTC"},
]


class CurrencySchema(ResponseSchema):
    """A currency."""

    id = Id(required=True)
    acronym = fields.String(required=True)
