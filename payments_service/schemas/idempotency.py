"""The Idempotency-Key header."""
import re
from typing import Any

from marshmallow import Schema, fields

# Bare, or a string of RFC 9651, section 3.3.3, without spaces.
KEY = re.compile(r'[!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}"')


class IdempotencyKey(fields.String):
    """A key of 1 to 255 visible ASCII characters, bare or in double quotes, which are not part of it."""

    default_error_messages = {"invalid_key": "Must be 1 to 255 visible ASCII characters, bare or in double quotes."}

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not KEY.fullmatch(value):
            raise self.make_error("invalid_key")
        return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


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
