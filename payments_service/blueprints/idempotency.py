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
from ..store.idempotency_keys import Answer, Use

REPLAYED = "Idempotency-Replayed"
REPLAYED_DOC = {"schema": {"const": "true"}, "description": "Only if this is the answer of an earlier request"}


def idempotent(blp: Blueprint) -> Callable[[Callable[..., flask.Response]], Callable[..., Any]]:
    """Let callers send a view's requests again: the answer of the first one is kept with what it has written.

    The view has to return a `Response`; errors that it raises are not kept.
    """

    def decorate(view: Callable[..., flask.Response]) -> Callable[..., Any]:
        @blp.doc(responses={201: {"headers": {REPLAYED: REPLAYED_DOC}}})
        @blp.arguments(IdempotencyKeySchema, location="headers", error_status_code=400)
        @functools.wraps(view)
        def answer_once(*args: Any) -> flask.Response:
            *args, headers = args  # type: ignore[assignment]
            if "key" not in headers:
                return view(*args)

            def make_answer() -> Answer:
                response = view(*args)
                return Answer(response.status_code, response.get_data(as_text=True))

            request = flask.request
            answer = store.idempotency_keys.answer_once(
                # Tokens that name nobody share their keys: the token itself may be another when a request comes again.
                Use(flask.g.user_id or "", request.method, request.path, headers["key"]),
                hashlib.sha256(request.get_data()).hexdigest(),
                timedelta(days=flask.current_app.config["IDEMPOTENCY_DAYS"]),
                make_answer,
            )
            response = flask.Response(answer.text, answer.status, mimetype="application/json")
            if answer.replayed:
                response.headers[REPLAYED] = "true"
            return response

        return answer_once

    return decorate
