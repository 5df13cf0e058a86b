"""The Idempotency-Key header: a retry of a request changes nothing and gets the first response.

As in the IETF's draft-ietf-httpapi-idempotency-key-header.
"""
import functools
import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import flask

from .. import store
from ..codec import encode_sorted, parse_json
from ..schemas.idempotency import IdempotencyKeySchema
from ..store.idempotency import KeyedRequest, StoredResponse
from .blueprint import Blueprint

KEY_HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
HEADERS = {REPLAYED: {"schema": {"const": "true"}, "description": "If this is the response to an earlier request"}}
FURTHER_ERRORS = {400: "the Idempotency-Key is malformed", 422: "the Idempotency-Key was used with other values"}


def make_fingerprint(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a request's values as its schema read them, not of the bytes that spell them.

    Retries meet the fingerprints that earlier releases stored, so it may not change. Values that mean absent are left
    out, so that a new optional field changes no fingerprint.
    """
    sent = {name: value for name, value in values.items() if value not in (None, "")}
    return hashlib.sha256(encode_sorted(sent)).hexdigest()


def idempotent(
    blp: Blueprint, make_headers: Callable[[Any], dict[str, str]], records: str
) -> Callable[[Callable[..., flask.Response]], Callable[..., Any]]:
    """Make a view's requests safe to retry: its response is stored in one transaction with what it writes.

    The whole view runs inside that write transaction, and runs again after a deadlock. So it must do no network or
    file work, and nothing that takes long: it would keep all other writes waiting. Such work belongs between two
    transactions, by `database.write_around`, in a view that is idempotent by itself, such as a PUT.

    The view takes a body, and the ids in its path, and returns a `Response`. Errors are not stored. `make_headers`
    returns the response's headers for its JSON, so that a stored response gets them too. `records` says what the view
    records, with the fields of its response as placeholders: "The payment {id}".
    """

    def decorate(view: Callable[..., flask.Response]) -> Callable[..., Any]:
        @functools.wraps(view)
        def respond_once(body: Any, headers: dict[str, str], **ids_in_path: Any) -> flask.Response:
            def respond() -> StoredResponse:
                response = view(body, **ids_in_path)
                return StoredResponse(response.status_code, response.get_data(as_text=True))

            request = flask.request
            stored = store.idempotency.respond_once(
                # Not the user: another one may have signed in at the same till before the retry.
                KeyedRequest(request.method, request.path, headers["key"]),
                make_fingerprint(body),
                timedelta(days=flask.current_app.config["IDEMPOTENCY_DAYS"]),
                respond,
                describe=lambda stored_body: records.format(**parse_json(stored_body)),
                # What version 1.2 stored.
                other_fingerprints=[hashlib.sha256(request.get_data()).hexdigest()],
            )
            response = flask.Response(stored.body, stored.status, mimetype="application/json")
            if stored.replayed:
                response.headers[REPLAYED] = "true"
            return add_headers(response)

        def add_headers(response: flask.Response) -> flask.Response:
            response.headers.update(make_headers(response.json))
            return response

        with_key = blp.arguments(IdempotencyKeySchema, location="headers", error_status_code=400)(respond_once)

        @functools.wraps(with_key)
        def idempotent_view(body: Any, **ids_in_path: Any) -> flask.Response:
            if KEY_HEADER in flask.request.headers:
                response: flask.Response = with_key(body, **ids_in_path)
                return response
            return add_headers(view(body, **ids_in_path))

        idempotent_view.further_errors = FURTHER_ERRORS  # type: ignore[attr-defined]
        documented: Callable[..., Any] = blp.doc(responses={201: {"headers": HEADERS}})(idempotent_view)
        return documented

    return decorate
