"""Fields that several schemas share."""
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from ..codec import MAX_NUMBER_DIGITS, parse_uuid
from ..text import is_blank

# Digits of an amount before the point.
MAX_INTEGER_DIGITS = 15
MAX_TRANSACTION_ID_LENGTH = 2000
# An index of PostgreSQL holds no more than 2,692.
MAX_TRANSACTION_ID_BYTES = 2690
MAX_TICKET_ID_LENGTH = 255
MAX_REASON_LENGTH = 255
MAX_PAGE_SIZE = 1000
# What a BIGINT holds.
MAX_NUMBER = 2**63 - 1

# RFC 3339, section 5.6, and what other programs write in its place: no seconds if they are zero (Java), a blank for the
# T (Python), an offset without its colon or its minutes (Java, PostgreSQL). 60 is a leap second.
TIMESTAMP = re.compile(
    r"(?P<minute>\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d)(:(?P<second>[0-5]\d|60)(\.(?P<fraction>\d+))?)?"
    r"(Z|(?P<sign>[+-])(?P<hours>[01]\d|2[0-3])(:?(?P<minutes>[0-5]\d))?)",
    re.ASCII,
)
# Exact for every number that `codec.parse_json` returns. The default context rounds to 28 digits.
EXACT = Context(prec=MAX_NUMBER_DIGITS)
LATEST = datetime.max.replace(tzinfo=timezone.utc)

# Stands for bytes that are not UTF-8: an id with it could be any of several.
REPLACEMENT_CHARACTER = "\ufffd"

TICKET_ID_EXAMPLE = "ticket-1"


def not_blank(text: str) -> None:
    """Raise `ValidationError` for a text that shows nothing."""
    if is_blank(text):
        raise ValidationError("Must not be blank.")


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
    """An exact amount of money, a JSON number; deserialized to its normal form, the same for 12.5 and 12.50."""

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
        # The copy is without the sign of -0.
        return EXACT.normalize(value.copy_abs())


class AmountInBody(Amount):
    """An exact amount in a body. The API document has its bounds; the store rejects zero where it is not allowed."""

    def __init__(self, description: str, *, above_zero: bool = False, **kwargs: Any) -> None:
        bounds = {"exclusiveMinimum" if above_zero else "minimum": 0, "exclusiveMaximum": 10**MAX_INTEGER_DIGITS}
        metadata = {"description": description} | bounds | kwargs.pop("metadata", {})
        super().__init__(metadata=metadata, **kwargs)


class AmountInQuery(Amount):
    """An exact amount in a query string, in plain digits; `Decimal` accepts more."""

    default_error_messages = {"invalid": "Send an amount, such as 45.50."}

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value, re.ASCII) or len(value) > MAX_NUMBER_DIGITS:
            raise self.make_error("invalid")
        return super()._deserialize(Decimal(value), *args, **kwargs)


class NumberedList(fields.List[Any]):
    """A list of objects of one schema, whose errors are lines of text, as those of all other fields are.

    A line names its object by `noun` and its place in the list.
    """

    def __init__(self, schema: type[Schema], noun: str, max_length: int, **kwargs: Any) -> None:
        super().__init__(fields.Nested(schema), validate=validate.Length(max=max_length), **kwargs)
        self.schema_of_items = schema
        self.noun = noun

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        try:
            found: list[Any] = super()._deserialize(value, *args, **kwargs)
            return found
        except ValidationError as error:
            raise ValidationError(list(self._flatten(error.messages))) from None

    def _flatten(self, errors: Any) -> list[str]:
        if not isinstance(errors, dict):
            return list(errors)
        lines = []
        for position, by_field in errors.items():
            for field, messages in by_field.items() if isinstance(by_field, dict) else [("", by_field)]:
                # An unknown field's name is the client's and may be anything, so it is left out.
                name = f"{field}: " if field in self.schema_of_items._declared_fields else ""
                lines.append(f"{self.noun} {position + 1}: {name}{' '.join(messages)}")
        return lines


class Timestamp(fields.AwareDateTime):
    """A timestamp with its zone, as in RFC 3339; deserialized to UTC.

    Any number of digits may follow the second. The timestamp is rounded up to the next microsecond, which is exact for
    both bounds of a time span: databases hold microseconds.
    """

    default_error_messages = {
        "invalid": "Send a timestamp with its zone, such as 2026-11-22T12:30:05Z, and + as %2B.",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        found = TIMESTAMP.fullmatch(value.upper())
        try:
            if found:
                return _make_timestamp(**found.groupdict("0"))
        except (ValueError, OverflowError):
            # Such as the 30th of February, or a time before the year 1 in UTC.
            pass
        raise self.make_error("invalid")


def _make_timestamp(minute: str, second: str, fraction: str, sign: str, hours: str, minutes: str) -> datetime:
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    start = datetime.fromisoformat(minute).replace(tzinfo=timezone(-offset if sign == "-" else offset))
    microseconds = int(fraction[:6].ljust(6, "0"))
    timestamp = start.astimezone(timezone.utc) + timedelta(seconds=int(second), microseconds=microseconds)
    if fraction[6:].strip("0") and timestamp != LATEST:
        # .NET's latest time has a seventh digit, which cannot be rounded up.
        timestamp += timedelta(microseconds=1)
    return timestamp


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


class TransactionId(Text):
    """The transaction id of a payment; a blank one is deserialized to an empty text."""

    def __init__(self, *validators: Callable[[str], None], **kwargs: Any) -> None:
        limit = validate.Length(max=MAX_TRANSACTION_ID_LENGTH)
        super().__init__(validate=[limit, _check_bytes, *validators], **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        return "" if is_blank(text) else text


def _check_bytes(transaction_id: str) -> None:
    if len(transaction_id.encode()) > MAX_TRANSACTION_ID_BYTES:
        raise ValidationError(f"Longer than {MAX_TRANSACTION_ID_BYTES} bytes in UTF-8.")


class TicketId(Text):
    """The id of a ticket, which another service makes: text that is not blank."""

    def __init__(self, **kwargs: Any) -> None:
        metadata = {"pattern": r"\S"} | kwargs.pop("metadata", {})
        if kwargs.get("required"):
            # A documentation page would send the example of an optional field.
            metadata["example"] = TICKET_ID_EXAMPLE
        super().__init__(
            validate=[
                validate.Length(min=1, max=MAX_TICKET_ID_LENGTH),
                not_blank,
                validate.ContainsNoneOf(REPLACEMENT_CHARACTER, error="Has the character U+FFFD, or is not UTF-8."),
            ],
            metadata=metadata,
            **kwargs,
        )
