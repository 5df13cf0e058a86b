"""Lightning invoices."""
from decimal import Decimal

from marshmallow import Schema, fields, validate

from ..money import MAX_SAT
from .currencies import EUR
from .fields import (
    MAX_NUMBER, TICKET_ID_EXAMPLE, Amount, AmountInBody, Id, PageSize, Text, TicketId, Timestamp, not_blank,
)
from .payments import PAYMENT_EXAMPLE
from .responses import ResponseSchema

# What phoenixd takes.
MAX_MEMO_LENGTH = 128
MAX_WAIT_SECONDS = 30
STATES = ["open", "paid", "expired"]

LIGHTNING_INVOICE_INPUT_EXAMPLE = {
    "ticket_id": TICKET_ID_EXAMPLE,
    "currency_id": EUR,
    "amount": Decimal("12.40"),
    "memo": "Table 4",
}
LIGHTNING_INVOICE_EXAMPLE = {
    "id": "0b9f6a52-6f0e-4c1d-9a37-5d1c8e2f7b40",
    "state": "open",
    **LIGHTNING_INVOICE_INPUT_EXAMPLE,
    "currency": "EUR",
    "amount_sat": 12400,
    "rate": Decimal("1000.0"),
    "bolt11": "lnbc124u1p5...",
    "payment_hash": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "created_at": "2026-11-22T16:05:00.250000+00:00",
    "expires_at": "2026-11-22T16:15:00.410000+00:00",
    "payment_id": None,
    "received_sat": None,
    "paid_at": None,
}
PAID_LIGHTNING_INVOICE_EXAMPLE = LIGHTNING_INVOICE_EXAMPLE | {
    "state": "paid",
    "payment_id": PAYMENT_EXAMPLE["id"],
    "received_sat": 12400,
    "paid_at": "2026-11-22T16:05:31.730000+00:00",
}
QR_EXAMPLE = '<svg xmlns="http://www.w3.org/2000/svg" width="57" height="57" class="segno">...</svg>'


class Satoshi(fields.Integer):
    """A whole number of satoshi, a JSON number."""

    default_error_messages = {"invalid": "Send a whole number, such as 12400."}

    def _deserialize(self, value: object, *args: object, **kwargs: object) -> int:
        if not isinstance(value, Decimal) or value != value.to_integral_value():
            raise self.make_error("invalid")
        return int(value)


class LightningInvoiceInputSchema(Schema):
    """What an invoice is for."""

    ticket_id = TicketId(metadata={"description": "The ticket that it pays"})
    currency_id = Id(required=True, metadata={"example": EUR})
    amount = AmountInBody(
        "More than zero, with no more decimals than the currency has",
        above_zero=True,
        required=True,
        metadata={"example": LIGHTNING_INVOICE_INPUT_EXAMPLE["amount"]},
    )
    amount_sat = Satoshi(
        validate=validate.Range(1, MAX_SAT),
        metadata={"description": "The amount in satoshi, by the till's own rate; without it, the node's rate counts"},
    )
    memo = Text(
        validate=[validate.Length(1, MAX_MEMO_LENGTH), not_blank],
        metadata={"description": "What the guest's wallet shows", "pattern": r"\S"},
    )


class LightningInvoiceQuerySchema(Schema):
    """Which invoices to list, those that match every parameter, and how many at once."""

    state = fields.String(
        validate=validate.OneOf(STATES), metadata={"description": "Only invoices in this state now"}
    )
    ticket_id = TicketId(metadata={"description": "Only invoices for this ticket"})
    paid_from = Timestamp(metadata={"description": "Only invoices whose payment was recorded at this time or later"})
    limit = PageSize()
    after = fields.Integer(
        validate=validate.Range(0, MAX_NUMBER),
        metadata={"description": "Only invoices after this one, by the number that a Link header has"},
    )


class LightningWaitSchema(Schema):
    """Whether to wait for a change."""

    wait = fields.Integer(
        validate=validate.Range(0, MAX_WAIT_SECONDS),
        metadata={"description": "Seconds to wait until an open invoice is not open any more"},
    )


class LightningInvoiceSchema(ResponseSchema):
    """A Lightning invoice."""

    id = Id(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={"description": "expired also if it was withdrawn; paid also if the money came late"},
    )
    ticket_id = fields.String(required=True, allow_none=True)
    currency_id = Id(required=True)
    currency = fields.String(required=True)
    amount = Amount(required=True, metadata={"description": "With exactly the currency's decimals"})
    amount_sat = fields.Integer(required=True, allow_none=True, metadata={"description": "What the invoice asks for"})
    rate = fields.Decimal(
        required=True,
        allow_none=True,
        metadata={"description": "How many satoshi a unit of the currency is worth; null if the node was not asked"},
    )
    memo = fields.String(required=True, allow_none=True)
    bolt11 = fields.String(
        required=True, allow_none=True, metadata={"description": "What a wallet pays; null if it is withdrawn"}
    )
    payment_hash = fields.String(
        required=True, allow_none=True, metadata={"description": "The transaction_id of the payment"}
    )
    created_at = fields.AwareDateTime(required=True, metadata={"description": "In UTC"})
    expires_at = fields.AwareDateTime(required=True, allow_none=True, metadata={"description": "In UTC"})
    payment_id = Id(required=True, allow_none=True, metadata={"description": "The payment that was recorded"})
    received_sat = fields.Integer(
        required=True, allow_none=True, metadata={"description": "What the node has received, after its fees"}
    )
    paid_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "When the payment was recorded, in UTC"}
    )
