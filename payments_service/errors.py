"""What can go wrong, and the only place that turns it into an answer.

The rest of the service raises the errors of this module. Every refusal has one shape, `ErrorSchema`.
"""
import logging
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
import flask_smorest
import peewee
from marshmallow import Schema, fields
from playhouse.pool import MaxConnectionsExceeded
from werkzeug.exceptions import HTTPException
from werkzeug.http import quote_etag

BODY_LIMIT = 64 * 1024
HEADER_LIMIT = 16 * 1024
RETRY_AFTER_SECONDS = 2

# The last is Peewee's for a pool without a free connection.
DATABASE_FAULTS = (peewee.DatabaseError, peewee.InterfaceError, sqlite3.Error, MaxConnectionsExceeded)

logger = logging.getLogger(__name__)


class ErrorSchema(Schema):
    """Why a request was refused."""

    code = fields.Integer(required=True, metadata={"description": "The HTTP status", "example": 422})
    status = fields.String(required=True, metadata={"description": "Its name", "example": "Unprocessable Entity"})
    message = fields.String(
        required=True,
        metadata={"description": "What to change", "example": "amount: EUR has 2 decimals."},
    )
    errors = fields.Dict(
        keys=fields.String(),
        metadata={
            "description": "By location and field, where single fields are at fault",
            "example": {"json": {"amount": ["EUR has 2 decimals."]}},
        },
    )


class PaymentsError(Exception):
    """Something a caller can mend; the text tells how."""


class NotSignedIn(PaymentsError):
    """There is no access token, or it is not a good one."""


class NotPermitted(PaymentsError):
    """The access token does not grant what the route needs."""


class NotFound(PaymentsError):
    """What the path names does not exist."""


class Conflict(PaymentsError):
    """What is stored already does not allow it."""


class TransactionIdTaken(PaymentsError):
    """Another payment has the transaction_id; `payment_id` tells which."""

    def __init__(self, payment_id: UUID) -> None:
        super().__init__("Another payment has this transaction_id: send one that is not used yet.")
        self.payment_id = payment_id


class PreconditionFailed(PaymentsError):
    """The payment is not of a version that the caller expects; `version` is the current one."""

    def __init__(self, version: int) -> None:
        super().__init__("The payment's ETag is not in If-Match: read the payment again, and send its ETag.")
        self.version = version


class KeyUsed(PaymentsError):
    """The idempotency key belongs to another request."""


class NotReady(PaymentsError):
    """The service cannot record payments, for a reason that only the box's technician can mend."""


class Busy(PaymentsError):
    """Too much of what takes long is asked for at once."""


class Malformed(PaymentsError):
    """The body is not JSON text."""


class NotJson(PaymentsError):
    """The body does not say that it is JSON."""


class Invalid(PaymentsError):
    """Fields of the body hold values that are refused: `fields` says why, by field."""

    def __init__(self, **fields: str) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = fields


STATUS = {
    Malformed: HTTPStatus.BAD_REQUEST,
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    NotPermitted: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    TransactionIdTaken: HTTPStatus.CONFLICT,
    PreconditionFailed: HTTPStatus.PRECONDITION_FAILED,
    NotJson: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    KeyUsed: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
}

# What Flask and waitress refuse by themselves.
MESSAGES = {
    400: "The request is not one that HTTP allows.",
    404: "There is nothing at this address.",
    405: "This address does not take this method: see the Allow header.",
    413: f"The body is too large: {BODY_LIMIT // 1024} KiB are accepted.",
    431: f"The request line and headers are too large: {HEADER_LIMIT // 1024} KiB are accepted.",
    500: "The service failed; its log says why.",
    501: "The service does not know this transfer encoding.",
}

Answer = tuple[dict[str, Any], int, dict[str, str]]


def error_body(code: int, message: str | None = None, errors: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of a refusal, as `ErrorSchema` describes it."""
    status = HTTPStatus(code)
    body: dict[str, Any] = {
        "code": code,
        "status": status.phrase,
        "message": message or MESSAGES.get(code, status.description or status.phrase),
    }
    if errors:
        body["errors"] = errors
    return body


class Api(flask_smorest.Api):
    """flask-smorest's Api with this service's error handlers."""

    ERROR_SCHEMA = ErrorSchema
    # Each operation documents each refusal by itself.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        super()._register_error_handlers()
        self._app.register_error_handler(PaymentsError, handle_payments_error)
        for fault in DATABASE_FAULTS:
            self._app.register_error_handler(fault, handle_database_fault)

    def handle_http_exception(self, error: HTTPException) -> Answer:
        """Answer what Flask, and marshmallow through webargs, refuse."""
        headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
        code = error.code or 500
        # webargs keeps marshmallow's messages, by location and field, in `data`.
        errors = _printable(getattr(error, "data", {}).get("messages", {}))
        return error_body(code, _sentence(errors), errors), code, headers


def handle_payments_error(error: PaymentsError) -> Answer:
    """Answer an error of this module with its status."""
    code = STATUS[type(error)]
    message, headers = str(error), {}
    if isinstance(error, NotSignedIn):
        # RFC 9110, section 11.6.1: a 401 names the scheme.
        headers["WWW-Authenticate"] = 'Bearer realm="payments"'
    elif isinstance(error, (NotReady, Busy)):
        if error.__cause__:
            _log_database_fault(error.__cause__)
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif isinstance(error, PreconditionFailed):
        headers["ETag"] = quote_etag(str(error.version))
    elif isinstance(error, TransactionIdTaken) and flask.g.may_read:
        message = f"{message} It is payment {error.payment_id}."
    elif isinstance(error, Invalid):
        errors = {"json": {field: [reason] for field, reason in error.fields.items()}}
        return error_body(code, _sentence(errors), errors), code, headers
    return error_body(code, message), code, headers


def handle_database_fault(error: Exception) -> Answer:
    """Answer a fault of the box, such as a full disk or a long lock, with 503. What only we can cause stays a 500."""
    if isinstance(error, (peewee.IntegrityError, peewee.DataError, peewee.ProgrammingError)):
        raise error
    _log_database_fault(error)
    code = HTTPStatus.SERVICE_UNAVAILABLE
    message = "The database is not available now: try again."
    return error_body(code, message), code, {"Retry-After": str(RETRY_AFTER_SECONDS)}


def _log_database_fault(error: BaseException) -> None:
    """Log why the database failed, and have the connection thrown away."""
    flask.g.database_failed = True
    # What it all began with, and no more: an outage is long, and the disk that is full may be the log's own.
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    request, reason = flask.request, " ".join(str(error).split())
    logger.error("The database failed at %s %s: %s", request.method, request.path, reason, exc_info=error)


def _printable(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return errors by location and field with names that UTF-8 can carry: an unknown field's is the caller's."""
    return {
        location: {field.encode("utf-8", "replace").decode(): messages for field, messages in fields_.items()}
        for location, fields_ in errors.items()
    }


def _sentence(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one line for what marshmallow says of each field."""
    reasons = []
    for fields_ in errors.values():
        for field, messages in fields_.items():
            text = " ".join(messages)
            reasons.append(text if field == "_schema" else f"{field}: {text}")
    return " ".join(reasons)
