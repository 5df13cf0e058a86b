"""The edge: what the bytes of a request and of an answer mean, before and after everything else."""
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from time import perf_counter
from typing import Any
from urllib.parse import unquote_to_bytes

import flask
import msgspec
import uuid_utils
from flask.json.provider import JSONProvider
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser, is_json_request
from werkzeug.routing import BaseConverter, UUIDConverter

from .errors import BODY_LIMIT, Malformed, NotJson

# A number longer than this when written out in full is taken for an attack on our arithmetic.
NUMBER_DIGITS = 1000

# Unless an answer says otherwise it is for no cache, and for no browser to take for anything but its Content-Type.
ANSWER_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# What an answer has that was given to an earlier request with the same idempotency key.
REPLAYED = "Idempotency-Replayed"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)

_encoder = msgspec.json.Encoder(decimal_format="number")


def parse_uuid(text: str) -> uuid.UUID | None:
    """Return the UUID that `text` spells in the form of RFC 9562, in either case, or None. `uuid.UUID` takes more."""
    return uuid.UUID(text) if UUID_TEXT.fullmatch(text) else None


def parse_json(body: str | bytes) -> Any:
    """Return what a JSON text (RFC 8259) says, with every number as the exact Decimal it spells.

    Raises `Malformed` for what is no JSON, for a repeated key, and for numbers and nesting of absurd size.
    """
    try:
        return json.loads(
            body.decode("utf-8") if isinstance(body, bytes) else body,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError:
        reason = "it is not UTF-8."
    except RecursionError:
        reason = "it is nested too deeply."
    except ValueError as error:
        reason = f"{error}."
    raise Malformed(f"The body is not acceptable JSON: {reason}")


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        # Its exponent is beyond what a Decimal can have.
        number = None
    if number is None or len(text) > NUMBER_DIGITS or abs(number.adjusted()) > NUMBER_DIGITS:
        raise ValueError("a number is of absurd size")
    return number


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key is repeated")
    return result


def exact_number(value: Decimal) -> msgspec.Raw:
    """Return `value` as the JSON number with all its decimals and no exponent; msgspec alone writes 1E-8."""
    return msgspec.Raw(format(value, "f").encode())


def exact_items(items: list[Any]) -> bytes:
    """Return the JSON text of a list without its brackets, so that a list can be written in parts."""
    return _encoder.encode(items)[1:-1]


def exact_json(values: Mapping[str, Any]) -> str:
    """Return the JSON text of `values`, with decimals as `exact_number` writes them."""
    return _exact_bytes(values).decode()


def _exact_bytes(values: Mapping[str, Any]) -> bytes:
    exact = {name: exact_number(value) if isinstance(value, Decimal) else value for name, value in values.items()}
    return _encoder.encode(exact)


def exact_answer(values: Mapping[str, Any], headers: dict[str, str]) -> flask.Response:
    """Return an answer with the JSON text of `values`, as `exact_json` writes it."""
    return _answer(_exact_bytes(values), headers)


def _answer(text: bytes, headers: dict[str, str] | None = None) -> flask.Response:
    # One line, so that a terminal's prompt does not follow on it.
    return flask.Response(text + b"\n", mimetype="application/json", headers=headers)


class ExactJSON(JSONProvider):
    """Flask's JSON, with numbers that are exact both ways."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return the JSON text of `obj`."""
        return _encoder.encode(obj).decode()

    def response(self, *args: Any, **kwargs: Any) -> flask.Response:
        """Return an answer with the JSON text of the arguments."""
        return _answer(_encoder.encode(self._prepare_response_obj(args, kwargs)))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Return what `s` says; see `parse_json`."""
        return parse_json(s)


class StrictParser(FlaskParser):
    """webargs' parser of requests, with bodies read by `parse_json` and no unknown or repeated query parameters."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_querystring(self, req: flask.Request, schema: Schema) -> Any:
        """Return the query parameters; raises ValidationError for one that is given twice, or is not UTF-8."""
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
        """Return the body; raises `NotJson` or `Malformed`."""
        if (req.content_encoding or "identity").lower() != "identity":
            raise NotJson("Send the body as it is, without a Content-Encoding.")
        if not is_json_request(req):
            raise NotJson("Send the body as JSON, with the header Content-Type: application/json.")
        return parse_json(req.get_data())


class UUIDInPath(UUIDConverter):
    """Any text where a path has a UUID; None where it spells none, so that no row is found.

    Werkzeug's own converter lets such a path match no route, and a route tells which permission to check first.
    """

    # The words that are routes of their own beside /payments/{id}.
    regex = r"(?!(?:methods|currencies|ticket-payments)\Z)[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> uuid.UUID | None:  # type: ignore[override]
        """Return the UUID or None."""
        return parse_uuid(value)


class TicketInPath(BaseConverter):
    """A ticket's id in a path: any text, also one with slashes, because another service makes the ids."""

    regex = r"[\s\S]+"
    part_isolating = False


class JoinedCookies:
    """WSGI middleware that puts semicolons where waitress joined several Cookie headers by commas.

    Werkzeug reads what follows a comma as a part of the cookie before it. No cookie has one of its own (RFC 6265,
    section 4.1.1), and a token could not.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on with its cookies joined by semicolons."""
        if "HTTP_COOKIE" in environ:
            environ["HTTP_COOKIE"] = environ["HTTP_COOKIE"].replace(",", ";")
        return self.app(environ, start_response)


def _name_request() -> None:
    """Note when the request came, and give it the id that it was sent with, as by nginx, or one of our own."""
    flask.g.began = perf_counter()
    sent = flask.request.headers.get("X-Request-Id", "")
    flask.g.request_id = sent if REQUEST_ID.fullmatch(sent) else uuid_utils.uuid4().hex


def _complete(response: flask.Response) -> flask.Response:
    """Add to an answer what every answer carries."""
    for name, value in ANSWER_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = flask.g.request_id
    return response


def init_app(app: flask.Flask) -> None:
    """Make `app` read and write as this module says."""
    app.json = ExactJSON(app)
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT
    app.url_map.converters["uuid"] = UUIDInPath
    app.url_map.converters["ticket"] = TicketInPath
    # A redirect would be an answer that is not JSON, and would lose a POST's body.
    app.url_map.merge_slashes = False
    app.before_request(_name_request)
    app.after_request(_complete)
    app.wsgi_app = JoinedCookies(app.wsgi_app)  # type: ignore[method-assign]
