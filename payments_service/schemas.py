"""The shapes of requests and answers. They judge form only: what exists and what is unique, the database knows."""
import re
from decimal import Decimal
from typing import Any

import msgspec
from marshmallow import Schema, ValidationError, fields, validate

from . import examples, wire

INTEGER_DIGITS = 15

# An idempotency key: bare, or a string of RFC 9651, section 3.3.3, without spaces.
KEY = re.compile(r'[!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}"')

ACTIONS = ["created", "changed", "deleted", "linked", "unlinked"]


class Text(fields.String):
    """Text that a database can hold: no NUL and no lone surrogate."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValidationError("Holds a character that is not allowed: NUL or half of a surrogate pair.")
        return text


class Id(fields.UUID):
    """A UUID in its usual form, in either case."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        found = wire.parse_uuid(value) if isinstance(value, str) else None
        if found is None:
            raise self.make_error("invalid_uuid")
        return found


class Amount(fields.Decimal):
    """An exact amount of money, a JSON number."""

    default_error_messages = {
        "invalid": "Send a JSON number, such as 45.50.",
        "negative": "Must be zero or more.",
        "too_large": f"Has more than {INTEGER_DIGITS} digits before the point.",
    }

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return wire.exact_number(value)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        if not isinstance(value, Decimal):
            raise self.make_error("invalid")
        if value < 0:
            raise self.make_error("negative")
        if value >= 10**INTEGER_DIGITS:
            raise self.make_error("too_large")
        return value


not_blank = validate.Regexp(r"[\s\S]*\S", error="Must not be blank.")

# What stands where bytes could not be read as text, so that an id which holds it might be any of many.
LOST = "\ufffd"


def ticket_id_field(**kwargs: Any) -> Text:
    """Return the field of a ticket's id, which another service makes: up to 64 characters that are not all blank."""
    return Text(
        required=True,
        validate=[
            validate.Length(min=1, max=64),
            not_blank,
            validate.ContainsNoneOf(LOST, error="Holds the sign U+FFFD, or is not UTF-8."),
        ],
        metadata={"example": examples.TICKET},
        **kwargs,
    )


class NewPaymentSchema(Schema):
    """A payment as it is sent."""

    method_id = Id(required=True, metadata={"example": examples.CASH})
    currency_id = Id(required=True, metadata={"example": examples.EUR})
    transaction_id = Text(
        load_default="",
        validate=validate.Length(max=128),
        metadata={
            "description": "Unique over all payments; blank to have it filled in",
            "example": examples.NEW_PAYMENT["transaction_id"],
        },
    )
    amount = Amount(
        required=True,
        metadata={
            "description": "With no more decimals than the currency has",
            "minimum": 0,
            "exclusiveMaximum": 10**INTEGER_DIGITS,
            "example": examples.NEW_PAYMENT["amount"],
        },
    )


class PaymentQuerySchema(Schema):
    """Which payments are asked for."""

    transaction_id = Text(
        validate=[validate.Length(max=128), not_blank],
        metadata={"description": "Only the payment that has it"},
    )


class IdempotencyKey(fields.String):
    """A key of 1 to 255 visible characters, bare or in double quotes, which are not part of it."""

    default_error_messages = {"invalid_key": "Must be 1 to 255 visible ASCII characters, bare or in double quotes."}

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not KEY.fullmatch(value):
            raise self.make_error("invalid_key")
        return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


class IdempotencyKeySchema(Schema):
    """The header by which a request that is sent again is known."""

    key = IdempotencyKey(
        data_key="Idempotency-Key",
        metadata={
            "description": "A new one for each new request, such as a UUID: sent again with it, the same request does "
            "nothing again and gets the same answer",
            # No example: pages that show the document would send it with every request.
            "pattern": f"^({KEY.pattern})$",
        },
    )


class ChangedPaymentSchema(NewPaymentSchema):
    """A payment as it is sent to change it; it may carry the id it was read with."""

    id = Id(attribute="sent_id", metadata={"description": "If it is sent, the same as in the path"})


class PaymentSchema(Schema):
    """A payment as it is answered."""

    id = Id(required=True)
    method_id = Id(required=True)
    currency_id = Id(required=True)
    transaction_id = Text(required=True)
    amount = Amount(required=True, metadata={"description": "With exactly the currency's decimals", "minimum": 0})


class PaymentAddedSchema(Schema):
    """The answer to a new payment."""

    id = Id(required=True)
    message = fields.String(required=True)


class Values(fields.Raw):
    """The values of a payment or a link: JSON text, answered as the JSON that it is."""

    def _serialize(self, value: str | None, *args: Any, **kwargs: Any) -> Any:
        return None if value is None else msgspec.Raw(value.encode())


class HistorySchema(Schema):
    """What happened to a payment, or to a link of it to a ticket."""

    at = fields.AwareDateTime(required=True, metadata={"description": "In UTC"})
    user_id = fields.String(
        required=True, allow_none=True, metadata={"description": "The access token's userId, or else its sub"}
    )
    request_id = fields.String(required=True, metadata={"description": "The X-Request-Id of the answer"})
    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))
    before = Values(
        required=True,
        metadata={"type": ["object", "null"], "description": "The payment, or the ids of the link; null if new"},
    )
    after = Values(required=True, metadata={"type": ["object", "null"], "description": "The same; null if gone"})


class HealthSchema(Schema):
    """How the service is."""

    status = fields.String(required=True)


class MethodSchema(Schema):
    """A payment method."""

    id = Id(required=True)
    name = fields.String(required=True)


class CurrencySchema(Schema):
    """A currency."""

    id = Id(required=True)
    acronym = fields.String(required=True)


class TicketPaymentSchema(Schema):
    """A link between a payment and a ticket."""

    payment_id = Id(required=True)
    ticket_id = ticket_id_field()


class TicketInPathSchema(Schema):
    """A ticket, named in a path."""

    ticket_id = ticket_id_field()


class TicketPaymentQuerySchema(Schema):
    """A link, named in a query string."""

    payment_id = Id(required=True, data_key="paymentId")
    ticket_id = ticket_id_field(data_key="ticketId")


class TicketPaymentAddedSchema(TicketPaymentQuerySchema):
    """The answer to a new link."""

    message = fields.String(required=True)


class PaymentOfTicketSchema(PaymentSchema):
    """One of a ticket's payments."""

    payment_id = Id(required=True, metadata={"description": "The same as id"})
    ticket_id = ticket_id_field()
