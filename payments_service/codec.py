"""Exact JSON: numbers are parsed as decimals and written with all their digits. Knows nothing of HTTP."""
import json
import re
import uuid
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from .errors import MalformedBody

# A number with more digits when written out in full is rejected: an integer of that size could fill the memory.
MAX_NUMBER_DIGITS = 1000

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)

_encoder = msgspec.json.Encoder(decimal_format="number")


def parse_uuid(text: str) -> uuid.UUID | None:
    """Return the UUID that `text` spells in the form of RFC 9562, in either case, or None.

    `uuid.UUID` also accepts other forms, such as braces or no hyphens.
    """
    return uuid.UUID(text) if UUID_TEXT.fullmatch(text) else None


def parse_json(body: str | bytes) -> Any:
    """Parse a JSON text (RFC 8259); every number is the exact Decimal that it spells.

    Raises `MalformedBody` for invalid JSON, a repeated key, and numbers or nesting of absurd size.
    """
    try:
        return json.loads(
            body.decode("utf-8") if isinstance(body, bytes) else body,
            parse_int=_parse_number,
            parse_float=_parse_number,
            parse_constant=_reject_constant,
            object_pairs_hook=_make_object,
        )
    except UnicodeDecodeError:
        reason = "it is not UTF-8."
    except RecursionError:
        reason = "it is nested too deeply."
    except ValueError as error:
        reason = f"{error}."
    raise MalformedBody(f"The body is not acceptable JSON: {reason}")


def _parse_number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        # The exponent is larger than a Decimal can hold.
        raise ValueError("a number is of absurd size") from None
    if len(text) > MAX_NUMBER_DIGITS or abs(number.adjusted()) > MAX_NUMBER_DIGITS:
        raise ValueError("a number is of absurd size")
    return number


def _reject_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key is repeated")
    return result


def exact_number(text: str) -> msgspec.Raw:
    """Return `text` as a JSON number with exactly these digits; msgspec writes a Decimal of 0.00000001 as 1E-8."""
    return msgspec.Raw(text.encode())


def encode(value: Any) -> bytes:
    """Return the JSON text of `value`: ids, structs, dicts, lists, decimals."""
    return _encoder.encode(value)


def encode_items(items: list[Any]) -> bytes:
    """Return the JSON text of a list without its brackets, so that a list can be sent in parts."""
    return _encoder.encode(items)[1:-1]
