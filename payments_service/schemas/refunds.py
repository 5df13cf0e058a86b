"""Refunds of payments."""
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields, validate

from ..text import is_blank
from .fields import (
    MAX_REASON_LENGTH, TICKET_ID_EXAMPLE, Amount, AmountInBody, Id, PageSize, Text, TicketId, TransactionId,
)
from .methods import CASH
from .payments import PAYMENT_EXAMPLE
from .responses import ResponseSchema

REFUND_INPUT_EXAMPLE = {"amount": Decimal("20.00"), "reason": "Cold soup", "method_id": CASH}
REFUND_EXAMPLE = {
    "id": "019aa9b6-0b4e-7c35-8e21-9d3f6a7c5b10",
    "payment_id": PAYMENT_EXAMPLE["id"],
    "method_id": CASH,
    "currency_id": PAYMENT_EXAMPLE["currency_id"],
    "amount": Decimal("20.00"),
    "reason": "Cold soup",
    "transaction_id": None,
    "ticket_id": TICKET_ID_EXAMPLE,
    "user_id": "7",
    "at": "2026-11-22T13:02:11.480000+00:00",
    "closing": 42,
}
REFUND_ADDED_EXAMPLE = {"id": REFUND_EXAMPLE["id"], "message": "Refund added successfully"}


class Reason(Text):
    """The reason of a refund; a blank one is deserialized to an empty text."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        return "" if is_blank(text) else text


class RefundInputSchema(Schema):
    """A refund to record."""

    amount = AmountInBody(
        "More than zero, and no more than was paid and is not refunded yet",
        above_zero=True,
        required=True,
        metadata={"example": REFUND_INPUT_EXAMPLE["amount"]},
    )
    # Callable, so that the document shows no default, which generated clients would send.
    reason = Reason(
        load_default=str,
        allow_none=True,
        validate=validate.Length(max=MAX_REASON_LENGTH),
        metadata={"example": REFUND_INPUT_EXAMPLE["reason"]},
    )
    method_id = Id(allow_none=True, metadata={"description": "How it is given back; without it, as it was paid"})
    transaction_id = TransactionId(
        load_default=str,
        allow_none=True,
        metadata={"description": "Of the terminal or the wallet that gave it back; need not be unique"},
    )
    ticket_id = TicketId(
        allow_none=True, metadata={"description": "The ticket that it is for, which is linked to the payment"}
    )


class RefundQuerySchema(Schema):
    """Which page of a payment's refunds to list."""

    limit = PageSize()
    after = Id(metadata={"description": "Only refunds after this id, which need not exist any more"})


class RefundSchema(ResponseSchema):
    """A refund. `store.refunds.ListedRefund` has the same fields and is what responses are written from.

    The last three are not in a history, whose entries have them.
    """

    id = Id(required=True)
    payment_id = Id(required=True)
    method_id = Id(required=True, metadata={"description": "How it was given back"})
    currency_id = Id(required=True, metadata={"description": "The payment's"})
    amount = Amount(required=True, metadata={"description": "With exactly the currency's decimals"})
    reason = fields.String(required=True, allow_none=True)
    transaction_id = fields.String(required=True, allow_none=True)
    ticket_id = fields.String(required=True, allow_none=True)
    user_id = fields.String(allow_none=True)
    at = fields.AwareDateTime(metadata={"description": "In UTC"})
    closing = fields.Integer(metadata={"description": "The number of the closing that it belongs to"})


class RefundAddedSchema(ResponseSchema):
    """The response to a new refund."""

    id = Id(required=True)
    message = fields.String(required=True)
