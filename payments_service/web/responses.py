"""Writing responses: exact JSON, and the headers of every response."""
from http import HTTPStatus
from typing import Any

import flask
from flask.json.provider import JSONProvider

from ..codec import encode, parse_json
from .request_state import request_state

# Unless a response says otherwise, no cache keeps it and no browser guesses its type.
DEFAULT_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_response(value: Any, headers: dict[str, str] | None = None) -> flask.Response:
    """Return a response with the exact JSON text of `value`."""
    # A final newline, so that a terminal's prompt does not follow on the same line.
    return flask.Response(encode(value) + b"\n", mimetype="application/json", headers=headers)


class ExactJSONProvider(JSONProvider):
    """Flask's JSON, with exact numbers."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return the JSON text of `obj`."""
        return encode(obj).decode()

    def response(self, *args: Any, **kwargs: Any) -> flask.Response:
        """Return a response with the JSON text of the arguments."""
        return json_response(self._prepare_response_obj(args, kwargs))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse `s` as `parse_json` does."""
        return parse_json(s)


def add_headers(response: flask.Response) -> flask.Response:
    """Add the headers of every response, and leave out the type of a body that there is not."""
    # A long list is not a sequence, and asking for its length would read it to its end.
    is_empty = response.is_sequence and response.calculate_content_length() == 0
    if is_empty or response.status_code == HTTPStatus.NO_CONTENT:
        response.headers.pop("Content-Type", None)
    for name, value in DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request_state().request_id
    return response
