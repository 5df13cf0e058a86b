"""Cash that is paid into the drawer or out of it."""
from decimal import Decimal

from marshmallow import Schema, fields, validate

from .currencies import EUR
from .fields import MAX_NUMBER, MAX_REASON_LENGTH, Amount, AmountInBody, Id, PageSize, Text, not_blank
from .methods import CASH
from .responses import ResponseSchema

KINDS = ["paid_in", "paid_out"]

CASH_MOVEMENT_INPUT_EXAMPLE = {
    "kind": "paid_out",
    "method_id": CASH,
    "currency_id": EUR,
    "amount": Decimal("35.40"),
    "reason": "Flowers for the tables",
}
CASH_MOVEMENT_EXAMPLE = {
    "id": "019aa9b5-77f0-7d12-93c4-1f0e5ab7c846",
    **CASH_MOVEMENT_INPUT_EXAMPLE,
    "user_id": "7",
    "at": "2026-11-22T16:05:00.250000+00:00",
    "closing": 42,
}
CASH_MOVEMENT_ADDED_EXAMPLE = {"id": CASH_MOVEMENT_EXAMPLE["id"], "message": "Cash movement added successfully"}


class CashMovementInputSchema(Schema):
    """A cash movement to record."""

    kind = fields.String(
        required=True, validate=validate.OneOf(KINDS), metadata={"example": CASH_MOVEMENT_INPUT_EXAMPLE["kind"]}
    )
    method_id = Id(required=True, metadata={"description": "A method that is cash", "example": CASH})
    currency_id = Id(required=True, metadata={"example": EUR})
    amount = AmountInBody(
        "More than zero, with no more decimals than the currency has",
        above_zero=True,
        required=True,
        metadata={"example": CASH_MOVEMENT_INPUT_EXAMPLE["amount"]},
    )
    reason = Text(
        required=True,
        validate=[validate.Length(1, MAX_REASON_LENGTH), not_blank],
        metadata={"pattern": r"\S", "example": CASH_MOVEMENT_INPUT_EXAMPLE["reason"]},
    )


class CashMovementQuerySchema(Schema):
    """Which cash movements to list, and how many at once."""

    closing = fields.Integer(
        validate=validate.Range(1, MAX_NUMBER), metadata={"description": "Only movements of the closing of this number"}
    )
    limit = PageSize()
    after = Id(metadata={"description": "Only movements after this id"})


class CashMovementSchema(ResponseSchema):
    """A cash movement."""

    id = Id(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    method_id = Id(required=True)
    currency_id = Id(required=True)
    amount = Amount(required=True, metadata={"description": "With exactly the currency's decimals"})
    reason = fields.String(required=True)
    user_id = fields.String(required=True, allow_none=True)
    at = fields.AwareDateTime(required=True, metadata={"description": "In UTC"})
    closing = fields.Integer(required=True, metadata={"description": "The number of the closing that it belongs to"})


class CashMovementAddedSchema(ResponseSchema):
    """The response to a new cash movement."""

    id = Id(required=True)
    message = fields.String(required=True)
