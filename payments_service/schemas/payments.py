"""Payments."""
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields, post_load

from .currencies import EUR
from .fields import (
    Amount, AmountInBody, Id, NumberedList, PageSize, Text, TicketId, Timestamp, TransactionId, not_blank,
)
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


# Far more than anybody pays at once.
MAX_TICKETS = 200


class OptionalAmount(AmountInBody):
    """An amount that may be left out. It gets no default, which generated clients would send."""

    def __init__(self, description: str) -> None:
        super().__init__(description, allow_none=True)


class ShareSchema(Schema):
    """How much of a payment goes to a ticket."""

    amount = OptionalAmount("How much of the payment goes to the ticket")
    ticket_total = OptionalAmount(
        "What the ticket costs in all: rejected with 409 if its payments in this currency would be more"
    )

    @post_load
    def drop_null(self, values: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the values without those of null, which mean the same as absent ones."""
        return {name: value for name, value in values.items() if value is not None}


class PaidTicketSchema(ShareSchema):
    """A ticket that a new payment pays."""

    ticket_id = TicketId(required=True)


class PaymentFieldsSchema(Schema):
    """The fields of a payment to record or to change."""

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
    amount = AmountInBody(
        "With no more decimals than the currency has",
        required=True,
        metadata={"example": NEW_PAYMENT_EXAMPLE["amount"]},
    )
    tip = OptionalAmount("What of the amount is a tip; a change without it keeps the tip")


class PaymentInputSchema(PaymentFieldsSchema):
    """A payment to record."""

    tickets = NumberedList(
        PaidTicketSchema,
        "Ticket",
        MAX_TICKETS,
        allow_none=True,
        metadata={"description": "The tickets that it pays: the payment and its links are recorded together"},
    )


class ChangedPaymentSchema(PaymentFieldsSchema):
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
    tip = Amount(metadata={"description": "What of the amount is a tip; absent if it is zero", "minimum": 0})


class PaymentAddedSchema(ResponseSchema):
    """The response to a new payment."""

    id = Id(required=True)
    message = fields.String(required=True)
