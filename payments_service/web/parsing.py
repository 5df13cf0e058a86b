"""Reading requests: strict JSON bodies and query strings."""
from typing import Any
from urllib.parse import unquote_to_bytes

import flask
from marshmallow import RAISE, Schema, ValidationError
from webargs.core import is_json
from webargs.flaskparser import FlaskParser

from ..codec import parse_json
from ..errors import NotJson

MAX_BODY_BYTES = 64 * 1024


class StrictParser(FlaskParser):
    """webargs' parser with exact JSON bodies, and without unknown or repeated query parameters."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_querystring(self, req: flask.Request, schema: Schema) -> Any:
        """Return the query parameters; raises ValidationError for one that is repeated, or is not UTF-8."""
        for pair in req.query_string.split(b"&"):
            try:
                unquote_to_bytes(pair).decode()
            except UnicodeDecodeError:
                name = pair.partition(b"=")[0].decode("ascii", "replace")
                raise ValidationError({name: ["Is not UTF-8 text."]}) from None
        repeated = {name: ["Is given more than once."] for name, values in req.args.lists() if len(values) > 1}
        if repeated:
            raise ValidationError(repeated)
        return super().load_querystring(req, schema)

    def load_json(self, req: flask.Request, schema: Schema) -> Any:
        """Return the body, an object without the optional fields that are null: null means absent.

        Raises `NotJson`, `MalformedBody`, and ValidationError for a body that is not an object.
        """
        if (req.content_encoding or "identity").lower() != "identity":
            raise NotJson("Send the body as it is, without a Content-Encoding.")
        # waitress joins a header that is sent twice with a comma.
        content_types = req.headers.get("Content-Type", "").lower().split(",")
        if not all(is_json(content_type.strip()) for content_type in content_types):
            raise NotJson("Send the body as JSON, with the header Content-Type: application/json.")
        body = parse_json(req.get_data())
        if not isinstance(body, dict):
            raise ValidationError({"_schema": ["Send a JSON object."]})
        optional = {field.data_key or name for name, field in schema.load_fields.items() if not field.required}
        return {name: value for name, value in body.items() if value is not None or name not in optional}
