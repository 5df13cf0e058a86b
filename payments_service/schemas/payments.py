"""Payments."""
from decimal import Decimal

from marshmallow import Schema, fields

from .currencies import EUR
from .fields import MAX_INTEGER_DIGITS, Amount, Id, PageSize, Text, TicketId, Timestamp, TransactionId, not_blank
from .methods import CASH, CREDIT_CARD
from .responses import ResponseSchema

PAYMENT_EXAMPLE = {
    "id": "019aa9b2-3c00-7a4e-8d15-6f0c2b9e7a31",
    "method_id": CASH,
    "currency_id": EUR,
    "transaction_id": "txn-123456",
    "amount": Decimal("45.50"),
}
PAYMENTS_EXAMPLE = [
    PAYMENT_EXAMPLE,
    {
        "id": "019aa9b3-51d8-7c02-9b6e-3a1d84f0c752",
        "method_id": CREDIT_CARD,
        "currency_id": EUR,
        "transaction_id": "txn-789012",
        "amount": Decimal("32.80"),
    },
]
NEW_PAYMENT_EXAMPLE = {
    "method_id": CASH,
    "currency_id": EUR,
    "transaction_id": "txn-345678",
    "amount": Decimal("78.90"),
}
PAYMENT_ADDED_EXAMPLE = {"id": "019aa9b4-0c37-7e91-a4d2-57b8c60e1f93", "message": "Payment added successfully"}
PAYMENT_UPDATED_EXAMPLE = "Payment updated successfully"


class PaymentInputSchema(Schema):
    """A payment to record."""

    method_id = Id(required=True, metadata={"example": CASH})
    currency_id = Id(required=True, metadata={"example": EUR})
    transaction_id = TransactionId(
        # Callable, so that the document shows no default, which generated clients would send.
        load_default=str,
        allow_none=True,
        metadata={
            "description": "Unique over all payments; filled in if it is absent, null or blank",
            "example": NEW_PAYMENT_EXAMPLE["transaction_id"],
        },
    )
    amount = Amount(
        required=True,
        metadata={
            "description": "With no more decimals than the currency has",
            "minimum": 0,
            "exclusiveMaximum": 10**MAX_INTEGER_DIGITS,
            "example": NEW_PAYMENT_EXAMPLE["amount"],
        },
    )


class ChangedPaymentSchema(PaymentInputSchema):
    """A payment with its changes; it may have the id that it was read with."""

    id = Id(attribute="sent_id", allow_none=True, metadata={"description": "Optional; the id in the path"})


class PaymentQuerySchema(Schema):
    """Which payments to list, those that match every parameter, and how many at once."""

    transaction_id = TransactionId(
        not_blank, metadata={"description": "Only the payment with this transaction_id"}
    )
    method_id = Id(metadata={"description": "Only payments by this method"})
    currency_id = Id(metadata={"description": "Only payments in this currency"})
    ticket_id = TicketId(metadata={"description": "Only payments that are linked to this ticket"})
    created_from = Timestamp(metadata={"description": "Only payments recorded at this time or later"})
    created_to = Timestamp(metadata={"description": "Only payments recorded before this time"})
    limit = PageSize()
    after = Id(metadata={"description": "Only payments after this id, which need not exist any more"})


class PaymentSchema(ResponseSchema):
    """A payment. `store.payments.RecordedPayment` has the same fields and is what responses are written from."""

    id = Id(required=True)
    method_id = Id(required=True)
    currency_id = Id(required=True)
    transaction_id = Text(required=True)
    amount = Amount(required=True, metadata={"description": "With exactly the currency's decimals", "minimum": 0})


class PaymentAddedSchema(ResponseSchema):
    """The response to a new payment."""

    id = Id(required=True)
    message = fields.String(required=True)
