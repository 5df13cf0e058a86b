"""Fields that several schemas share."""
import re
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from ..codec import parse_uuid

# Digits of an amount before the point.
MAX_INTEGER_DIGITS = 15
MAX_TICKET_ID_LENGTH = 64
MAX_PAGE_SIZE = 1000

# RFC 3339, section 5.6. Databases hold microseconds.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6}0*)?(Z|[+-]\d\d:[0-5]\d)", re.ASCII)

# Stands for bytes that are not UTF-8: an id with it could be any of several.
REPLACEMENT_CHARACTER = "\ufffd"

TICKET_ID_EXAMPLE = "ticket-1"

not_blank = validate.Regexp(r"[\s\S]*\S", error="Must not be blank.")


class Text(fields.String):
    """Text that a database can hold: without NUL and lone surrogates."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValidationError("Has a character that is not allowed: NUL or a lone surrogate.")
        return text


class Id(fields.UUID):
    """A UUID in the form of RFC 9562, in either case."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        found = parse_uuid(value) if isinstance(value, str) else None
        if found is None:
            raise self.make_error("invalid_uuid")
        return found


class Amount(fields.Decimal):
    """An exact amount of money, a JSON number."""

    default_error_messages = {
        "invalid": "Send a JSON number, such as 45.50.",
        "negative": "Must be zero or more.",
        "too_large": f"Has more than {MAX_INTEGER_DIGITS} digits before the point.",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        if not isinstance(value, Decimal):
            raise self.make_error("invalid")
        if value < 0:
            raise self.make_error("negative")
        if value >= 10**MAX_INTEGER_DIGITS:
            raise self.make_error("too_large")
        return value


class Timestamp(fields.AwareDateTime):
    """A timestamp with its zone, as in RFC 3339; deserialized to UTC."""

    default_error_messages = {
        "invalid": "Send a timestamp with its zone, such as 2026-11-22T12:30:05Z, and + as %2B.",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        try:
            if TIMESTAMP.fullmatch(value.upper()):
                return datetime.fromisoformat(value.upper()).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            # Such as the 30th of February, or a time before the year 1 in UTC.
            pass
        raise self.make_error("invalid")


class PageSize(fields.Integer):
    """The size of a page, in plain digits; `int` accepts more."""

    INVALID = f"Must be a whole number from 1 to {MAX_PAGE_SIZE}."
    default_error_messages = {"invalid": INVALID}

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"description": "The size of a page; without it, the response is the whole list"}
        super().__init__(validate=validate.Range(1, MAX_PAGE_SIZE, error=self.INVALID), metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not re.fullmatch("[1-9][0-9]{0,3}", value):
            raise self.make_error("invalid")
        return int(value)


class TicketId(Text):
    """The id of a ticket, which another service makes: text that is not blank."""

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("required"):
            # A documentation page would send the example of an optional field.
            kwargs["metadata"] = {"example": TICKET_ID_EXAMPLE} | kwargs.get("metadata", {})
        super().__init__(
            validate=[
                validate.Length(min=1, max=MAX_TICKET_ID_LENGTH),
                not_blank,
                validate.ContainsNoneOf(REPLACEMENT_CHARACTER, error="Has the character U+FFFD, or is not UTF-8."),
            ],
            **kwargs,
        )
