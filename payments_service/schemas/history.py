"""The history of a payment."""
from typing import Any

import msgspec
from marshmallow import Schema, fields, validate

from ..store.history import Action
from .fields import MAX_NUMBER, PageSize
from .payments import PAYMENT_EXAMPLE
from .responses import ResponseSchema
from .ticket_payments import TICKET_PAYMENT_EXAMPLE

HISTORY_EXAMPLE = [
    {
        "at": "2026-11-22T12:30:05.120000+00:00",
        "user_id": "12",
        "request_id": "till-4-00017",
        "action": "created",
        "before": None,
        "after": PAYMENT_EXAMPLE,
    },
    {
        "at": "2026-11-22T12:31:40.005000+00:00",
        "user_id": "12",
        "request_id": "till-4-00018",
        "action": "linked",
        "before": None,
        "after": TICKET_PAYMENT_EXAMPLE,
    },
]


NOUNS = ["Payment", "TicketPayment", "Refund"]
# Not oneOf: a refund has the fields of a link too.
RECORDED = {"anyOf": [*({"$ref": f"#/components/schemas/{name}"} for name in NOUNS), {"type": "null"}]}


class HistoryQuerySchema(Schema):
    """Which page of a history to list."""

    limit = PageSize()
    after = fields.Integer(
        validate=validate.Range(0, MAX_NUMBER),
        metadata={"description": "Only entries after this one, by the number that a Link header has"},
    )


class StoredJson(fields.Raw):
    """JSON text that is sent as it is stored."""

    def _serialize(self, value: str | None, *args: Any, **kwargs: Any) -> Any:
        return None if value is None else msgspec.Raw(value.encode())


class HistoryEntrySchema(ResponseSchema):
    """What was done to a payment, to its link to a ticket, or to a refund of it."""

    at = fields.AwareDateTime(required=True, metadata={"description": "In UTC"})
    user_id = fields.String(
        required=True, allow_none=True, metadata={"description": "The access token's userId, or else its sub"}
    )
    request_id = fields.String(required=True, metadata={"description": "The X-Request-Id of the response"})
    action = fields.String(required=True, validate=validate.OneOf(list(Action)))
    before = StoredJson(
        required=True,
        metadata=RECORDED | {"description": "The payment, the link or the refund; null if it is new"},
    )
    after = StoredJson(
        required=True,
        metadata=RECORDED | {
            "description": "The same; null if it is deleted. An imported payment has what the other system knew, too"
        }
    )
