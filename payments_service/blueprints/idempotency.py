"""`Idempotency-Key`: a request that is sent again does not do again what it does

By the IETF's draft-ietf-httpapi-idempotency-key-header.
"""
import functools
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import flask

from .. import store
from ..access import Blueprint
from ..schemas import IdempotencyKeySchema
from ..store.idempotency_keys import Answer, KeyedRequest
from ..wire import REPLAYED

HEADERS = {REPLAYED: {"schema": {"const": "true"}, "description": "If this is the answer to an earlier request"}}
REFUSALS = {400: "the Idempotency-Key is not one", 422: "the Idempotency-Key was used with another body"}


def idempotent(blp: Blueprint) -> Callable[[Callable[[Any], flask.Response]], Callable[..., Any]]:
    """Let callers send a view's requests again: the answer of the first one is kept with what it has written.

    The view takes a body and returns a `Response`; errors that it raises are not kept.
    """

    def decorate(view: Callable[[Any], flask.Response]) -> Callable[..., Any]:
        @functools.wraps(view)
        def idempotent_view(body: Any, headers: dict[str, str]) -> flask.Response:
            if "key" not in headers:
                return view(body)

            def make_answer() -> Answer:
                response = view(body)
                return Answer(response.status_code, response.get_data(as_text=True))

            request = flask.request
            answer = store.idempotency_keys.answer_once(
                # Tokens that name nobody share their keys: the token itself may be another when a request comes again.
                KeyedRequest(flask.g.user_id or "", request.method, request.path, headers["key"]),
                hashlib.sha256(request.get_data()).hexdigest(),
                timedelta(days=flask.current_app.config["IDEMPOTENCY_DAYS"]),
                make_answer,
            )
            response = flask.Response(answer.text, answer.status, mimetype="application/json")
            if answer.replayed:
                response.headers[REPLAYED] = "true"
            return response

        vars(idempotent_view)["_apidoc"] = {**vars(view)["_apidoc"], "further_refusals": REFUSALS}
        with_key = blp.arguments(IdempotencyKeySchema, location="headers", error_status_code=400)(idempotent_view)
        return blp.doc(responses={201: {"headers": HEADERS}})(with_key)

    return decorate
