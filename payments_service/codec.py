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
_sorting_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")


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
            # RFC 8259, section 8.1, lets a parser ignore a byte order mark.
            body.decode("utf-8-sig") if isinstance(body, bytes) else body,
            parse_int=_parse_number,
            parse_float=_parse_number,
            parse_constant=_reject_constant,
            object_pairs_hook=_make_object,
        )
    except UnicodeDecodeError:
        reason = "it is not UTF-8."
    except RecursionError:
        reason = "it is nested too deeply."
    except json.JSONDecodeError as error:
        reason = f"see line {error.lineno}, column {error.colno}."
    except _Unacceptable as error:
        reason = f"{error}."
    raise MalformedBody(f"The body is not acceptable JSON: {reason}")


class _Unacceptable(ValueError):
    """JSON that is not accepted here; the message says why."""


def _parse_number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        # The exponent is larger than a Decimal can hold.
        raise _Unacceptable("a number is of absurd size") from None
    if len(text) > MAX_NUMBER_DIGITS or abs(number.adjusted()) > MAX_NUMBER_DIGITS:
        raise _Unacceptable("a number is of absurd size")
    return number


def _reject_constant(text: str) -> None:
    raise _Unacceptable(f"{text} is not a JSON number")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _Unacceptable("a key is repeated")
    return result


def exact_number(text: str) -> msgspec.Raw:
    """Return `text` as a JSON number with exactly these digits; msgspec writes a Decimal of 0.00000001 as 1E-8."""
    return msgspec.Raw(text)


def encode(value: Any) -> bytes:
    """Return the JSON text of `value`: ids, structs, dicts, lists, decimals."""
    return _encoder.encode(value)


def encode_sorted(value: Any) -> bytes:
    """Return the JSON text of `value` with the keys of its objects in order: equal values have equal texts."""
    return _sorting_encoder.encode(value)


def encode_items(items: list[Any]) -> bytes:
    """Return the JSON text of a list without its brackets, so that a list can be sent in parts."""
    return _encoder.encode(items)[1:-1]
