"""Errors as responses, all in the shape of `ErrorBodySchema`."""
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import flask
import flask_smorest
from werkzeug.exceptions import HTTPException
from werkzeug.http import quote_etag

from ..database import DATABASE_FAULTS, is_outage, lacks_migrations
from ..errors import (
    BackendFault, ClosingNumberTaken, Invalid, NotMigrated, NotSignedIn, PaymentsError, PreconditionFailed,
    TokenRejected, TransactionIdTaken, Unavailable,
)
from ..schemas.errors import ErrorBodySchema
from ..tokens.permissions import Permission
from .parsing import MAX_BODY_BYTES
from .request_state import request_state

MAX_HEADER_BYTES = 16 * 1024
RETRY_AFTER = {"Retry-After": "2"}
# RFC 9110, section 11.6.1: a 401 names a scheme.
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="payments"'}
# RFC 6750, section 3.1: only a request that carries a token is told that it is not valid.
INVALID_TOKEN = {"WWW-Authenticate": 'Bearer realm="payments", error="invalid_token"'}

# For errors that Flask and waitress make themselves.
MESSAGES = {
    400: "The request is not valid HTTP.",
    404: "There is nothing at this address.",
    405: "This address does not allow this method: see the Allow header.",
    413: f"The body is too large: {MAX_BODY_BYTES // 1024} KiB are accepted.",
    431: f"The request line and headers are too large: {MAX_HEADER_BYTES // 1024} KiB are accepted.",
    500: "The service failed; its log says why.",
    501: "The service does not know this transfer encoding.",
}

# What marshmallow says of each.
UNKNOWN_FIELD = ["Unknown field."]

ErrorResponse = tuple[dict[str, Any], int, dict[str, str]]

logger = logging.getLogger(__name__)


def make_error_body(code: int, message: str | None = None, errors: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of an error, as `ErrorBodySchema` describes it."""
    status = HTTPStatus(code)
    body: dict[str, Any] = {
        "code": code,
        "status": status.phrase,
        "message": message or MESSAGES.get(code, status.phrase),
    }
    if errors:
        body["errors"] = errors
    return body


class Api(flask_smorest.Api):
    """flask-smorest's Api with this service's error handlers."""

    ERROR_SCHEMA = ErrorBodySchema
    # Each operation documents its own errors.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_pagination_header(self) -> None:
        """Document no pages: flask-smorest 0.47 adds the schema of its own pages, which no operation has."""

    def _register_error_handlers(self) -> None:
        super()._register_error_handlers()
        self._app.register_error_handler(PaymentsError, handle_payments_error)
        for fault in DATABASE_FAULTS:
            self._app.register_error_handler(fault, handle_database_fault)

    def handle_http_exception(self, error: HTTPException) -> ErrorResponse:
        """Return the response to an error of Flask, or of marshmallow through webargs."""
        headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
        code = error.code or 500
        # webargs keeps marshmallow's messages, by location and field, in `data`.
        errors = _make_encodable(getattr(error, "data", {}).get("messages", {}))
        body = make_error_body(code, _join_messages(errors), errors)
        request_state().reason = _join_messages(_name_unknown_fields(errors)) or body["message"]
        return body, code, headers


def handle_payments_error(error: PaymentsError) -> ErrorResponse:
    """Return the response to an error of the service, with the error's status."""
    message, errors, headers = str(error), None, {}
    request_state().reason = error.explain()
    if isinstance(error, NotSignedIn):
        headers = INVALID_TOKEN if isinstance(error, TokenRejected) else CHALLENGE
    elif isinstance(error, Unavailable):
        headers = RETRY_AFTER
        if error.__cause__ and not isinstance(error, BackendFault):
            report_database_fault(error.__cause__)
    elif isinstance(error, PreconditionFailed):
        headers = {"ETag": quote_etag(str(error.version))}
    elif isinstance(error, TransactionIdTaken) and request_state().may(Permission.READ):
        message = f"{message} It is payment {error.payment_id}."
    elif isinstance(error, ClosingNumberTaken) and request_state().may(Permission.READ):
        message = f"{message} {error.detail}"
    elif isinstance(error, Invalid):
        # Requests that read have no body: the store rejects what their query names.
        location = "query" if flask.request.method in ("GET", "HEAD") else "json"
        errors = {location: {field: [reason] for field, reason in error.fields.items()}}
        message = request_state().reason = _join_messages(errors)
    return make_error_body(error.status, message, errors), error.status, headers


def handle_database_fault(error: Exception) -> ErrorResponse:
    """Return a 503 for a fault of the box or the database, such as a full disk or a lost table.

    A fault of the code remains a 500.
    """
    if not is_outage(error):
        raise error
    if lacks_migrations(error):
        return handle_payments_error(NotMigrated())
    report_database_fault(error)
    code, message = HTTPStatus.SERVICE_UNAVAILABLE, "The database is not available now: try again."
    request_state().reason = message
    return make_error_body(code, message), code, RETRY_AFTER


def report_database_fault(error: BaseException) -> None:
    """Log why the database failed, and mark the request, so that its connection is closed."""
    request_state().database_failed = True
    # Only the first cause, to keep the log short: an outage repeats it for each request, and the log may be on the disk
    # that is full. As in a stack trace, what `from None` hides is no cause.
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = cause
    request, reason = flask.request, " ".join(str(error).split())
    logger.error("The database failed at %s %s: %s", request.method, request.path, reason, exc_info=error)


def _make_encodable(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return errors by location and field, with names in UTF-8: a client can send a field whose name is not."""
    return {
        location: {field.encode("utf-8", "replace").decode(): messages for field, messages in by_field.items()}
        for location, by_field in errors.items()
    }


def _name_unknown_fields(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return errors for the log: the name of an unknown field is the client's, and may be anything."""
    named = {"an unknown field": UNKNOWN_FIELD}
    return {
        location: {field: texts for field, texts in by_field.items() if texts != UNKNOWN_FIELD}
        | (named if UNKNOWN_FIELD in by_field.values() else {})
        for location, by_field in errors.items()
    }


def _join_messages(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """Return all messages in one line, each with its field."""
    lines = []
    for by_field in errors.values():
        for field, messages in by_field.items():
            text = " ".join(messages)
            lines.append(text if field == "_schema" else f"{field}: {text}")
    return " ".join(lines)
