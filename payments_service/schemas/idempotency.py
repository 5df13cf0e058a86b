"""The Idempotency-Key header."""
import re
from typing import Any

from marshmallow import Schema, fields

# Bare, or a string of RFC 9651, section 3.3.3, without spaces.
KEY = re.compile(r'[!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}"')

# What programs send in place of a key that they do not have: with it, the next payment would get the response to the
# first. These are parts of a key such as `${till}-${order}`: values that are missing, placeholders that nothing filled.
MISSING_PART = re.compile(
    r"(?<![A-Za-z0-9])(undefined|null|NaN|None|<nil>)(?![A-Za-z0-9])|(\[|%5B)object|\$\{|\{\{", re.ASCII
)
# These are whole keys, the words in any case and in any brackets: `(null)`, `{}`, `$KEY`, `<key>`, a UUID of zeros.
MISSING_WORDS = {"", "undefined", "null", "nil", "none", "nan", "void", "true", "false"}
MISSING_WHOLE = re.compile(r"\$\w+|<[^<>]*>|[{(]?0{8}(-?0{4}){3}-?0{12}[)}]?", re.ASCII)


def is_missing(key: str) -> bool:
    """Tell whether a key is what programs send in place of one that they do not have."""
    word = key.strip("()<>[]{}'\"`").lower()
    return word in MISSING_WORDS or bool(MISSING_WHOLE.fullmatch(key) or MISSING_PART.search(key))


class IdempotencyKey(fields.String):
    """A key of 1 to 255 visible ASCII characters, bare or in double quotes, which are not part of it."""

    default_error_messages = {
        "invalid_key": "Must be 1 to 255 visible ASCII characters, bare or in double quotes.",
        "missing_key": "Is not a key but a missing value: generate a new key, such as a UUID, for each new payment.",
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not KEY.fullmatch(value):
            raise self.make_error("invalid_key")
        key = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value
        if is_missing(key):
            raise self.make_error("missing_key")
        return key


class IdempotencyKeySchema(Schema):
    """The header that identifies the retries of a request."""

    key = IdempotencyKey(
        data_key="Idempotency-Key",
        metadata={
            "description": "A new key for each new request, such as a UUID. A retry with the same key changes nothing "
            "and gets the same response.",
            # No example: documentation pages would send it with every request.
            "pattern": f"^({KEY.pattern})$",
        },
    )
