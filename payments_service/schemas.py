"""The shapes of requests and answers. They judge form only: what exists and what is unique, the database knows."""
import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import msgspec
from marshmallow import Schema, ValidationError, fields, validate

from . import examples, wire

INTEGER_DIGITS = 15

# How many payments a page may have.
PAGE_LIMIT = 1000
WRONG_LIMIT = f"Must be a whole number from 1 to {PAGE_LIMIT}."

# RFC 3339, section 5.6, with the zone that it asks for. A microsecond is the least that a database tells apart.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6}0*)?(Z|[+-]\d\d:[0-5]\d)", re.ASCII)

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


def ticket_id_field(*, required: bool = True, described: str | None = None, **kwargs: Any) -> Text:
    """Return the field of a ticket's id, which another service makes: up to 64 characters that are not all blank."""
    return Text(
        required=required,
        validate=[
            validate.Length(min=1, max=64),
            not_blank,
            validate.ContainsNoneOf(LOST, error="Holds the sign U+FFFD, or is not UTF-8."),
        ],
        # Pages that show the document would send the example of what need not be sent.
        metadata={"example": examples.TICKET} if required else {"description": described},
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


class Moment(fields.AwareDateTime):
    """A moment with its zone, as RFC 3339 writes it; in UTC once it is read."""

    default_error_messages = {
        "invalid": "Send a moment with its zone, such as 2026-11-22T12:30:05Z, and + as %2B.",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        try:
            if MOMENT.fullmatch(value.upper()):
                return datetime.fromisoformat(value.upper()).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            # Such as the 30th of February, or a moment before the year 1 in UTC.
            pass
        raise self.make_error("invalid")


class PageLimit(fields.Integer):
    """How many payments a page is to have, in plain digits; `int` takes more."""

    default_error_messages = {"invalid": WRONG_LIMIT}

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not re.fullmatch("[1-9][0-9]{0,3}", value):
            raise self.make_error("invalid")
        return int(value)


class PaymentQuerySchema(Schema):
    """Which payments are asked for, those that fit all that is sent, and how many at once."""

    transaction_id = Text(
        validate=[validate.Length(max=128), not_blank],
        metadata={"description": "Only the payment that has it"},
    )
    method_id = Id(metadata={"description": "Only those by this method"})
    currency_id = Id(metadata={"description": "Only those in this currency"})
    ticket_id = ticket_id_field(required=False, described="Only those that are linked to this ticket")
    created_from = Moment(metadata={"description": "Only those recorded at this moment or later"})
    created_to = Moment(metadata={"description": "Only those recorded before this moment"})
    limit = PageLimit(
        validate=validate.Range(1, PAGE_LIMIT, error=WRONG_LIMIT),
        metadata={"description": "At most so many; without it all, in one list"},
    )
    after = Id(metadata={"description": "Only those after this id, which need not exist any more"})


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


class ListedPayment(msgspec.Struct):
    """What `PaymentSchema` describes, for lists: they are written from it, many times as fast."""

    id: str
    method_id: str
    currency_id: str
    transaction_id: str
    amount: msgspec.Raw


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
