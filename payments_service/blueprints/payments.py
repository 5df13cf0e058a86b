"""`/payments`: the payments themselves."""
from urllib.parse import urlencode

from flask import Response, jsonify, request
from werkzeug.http import quote_etag

from .. import examples, store
from ..access import Blueprint, Permission
from ..errors import ErrorSchema
from ..schemas import (
    ChangedPaymentSchema, HistorySchema, NewPaymentSchema, PaymentAddedSchema, PaymentQuerySchema, PaymentSchema,
)
from ..wire import exact_answer
from .caller import caller
from .idempotency import idempotent
from .streaming import PART_LIMIT, json_list

blp = Blueprint("payments", __name__, url_prefix="/payments", description="Money that was taken")


ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Names the version of the payment"}}
TAKEN = "Another payment has this transaction_id; a caller who may read is told which"
LINK = {
    "Link": {
        "schema": {"type": "string"},
        "description": 'With limit, and if there are more: the next page, as `<?limit=100&after={id}>; rel="next"`',
    }
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "ETags, as from reading the payment: refused with 412 if it has none of them",
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "ETags: answered 304 without a body if the payment still has one of them",
}


def expected_versions():
    """Return the versions of a payment that If-Match (RFC 9110, section 13.1.1) allows, None if it allows any."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return request.if_match.as_set()


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.arguments(PaymentQuerySchema, location="query", as_kwargs=True)
@blp.response(200, PaymentSchema(many=True), example=[examples.PAYMENT, examples.OTHER_PAYMENT], headers=LINK)
@blp.alt_response(204, description="No payments found", success=True)
def list_payments(limit=None, **query):
    """Get all payments

    Oldest first, by their ids. With limit, a page of them, whose Link header leads to the next. Thousands at once are
    refused with 503 while others read as many: try again, or read them by pages.
    """
    pages = store.payments.pages(limit or PART_LIMIT, **query)
    page = next(pages, None)
    if page is None:
        return [], 204
    if limit is None:
        return json_list(page, pages)
    response = jsonify(page.payments)
    if page.more:
        # Relative to the address that the caller used, which a proxy or a mount may have changed.
        query = request.args.to_dict() | {"after": page.payments[-1].id}
        response.headers["Link"] = f'<?{urlencode(query)}>; rel="next"'
    return response


@blp.route("/<uuid:payment_id>", methods=["GET"], permission=Permission.READ)
@blp.doc(parameters=[IF_NONE_MATCH])
@blp.response(200, PaymentSchema, example=examples.PAYMENT, headers=ETAG)
@blp.alt_response(304, description="The payment's ETag is in If-None-Match", headers=ETAG, success=True)
@blp.alt_response(404, schema=ErrorSchema, description="No such payment")
def get_payment(payment_id):
    """Get a payment"""
    payment, version = store.payments.get(payment_id)
    headers = {"ETag": quote_etag(str(version))}
    if request.if_none_match.contains_weak(str(version)):
        return Response(status=304, headers=headers)
    return exact_answer(payment, headers)


@blp.route("/<uuid:payment_id>/history", methods=["GET"], permission=Permission.READ)
@blp.response(200, HistorySchema(many=True), example=examples.HISTORY)
@blp.alt_response(204, description="Nothing has happened to it since there is a history", success=True)
@blp.alt_response(404, schema=ErrorSchema, description="There never was such a payment")
def list_history(payment_id):
    """Get what happened to a payment

    Oldest first, also for a payment that is deleted.
    """
    entries = store.payments.history_of(payment_id)
    return entries, 200 if entries else 204


@blp.route("", methods=["POST"], permission=Permission.CREATE)
@blp.arguments(NewPaymentSchema, example=examples.NEW_PAYMENT)
@idempotent(blp)
@blp.response(201, PaymentAddedSchema, example=examples.PAYMENT_ADDED)
@blp.alt_response(409, schema=ErrorSchema, description=TAKEN)
def add_payment(payment):
    """Record a payment

    The answer is sent once the payment is on the disk. Without a transaction_id, or with a blank one, the payment's
    own id is its transaction_id.
    """
    return {"id": store.payments.add(**payment, caller=caller()), "message": "Payment added successfully"}


@blp.route("/<uuid:payment_id>", methods=["PUT"], permission=Permission.UPDATE)
@blp.doc(parameters=[IF_MATCH])
@blp.arguments(ChangedPaymentSchema, example=examples.NEW_PAYMENT)
@blp.response(200, {"type": "string"}, example=examples.PAYMENT_UPDATED)
@blp.alt_response(404, schema=ErrorSchema, description="No such payment")
@blp.alt_response(409, schema=ErrorSchema, description=TAKEN)
@blp.alt_response(412, schema=ErrorSchema, description="The payment's ETag is not in If-Match", headers=ETAG)
def update_payment(payment, payment_id):
    """Change a payment

    Without a transaction_id, or with a blank one, the payment keeps the one it has.
    """
    store.payments.update(payment_id, **payment, caller=caller(), versions=expected_versions())
    return jsonify("Payment updated successfully")


@blp.route("/<uuid:payment_id>", methods=["DELETE"], permission=Permission.DELETE)
@blp.doc(parameters=[IF_MATCH])
@blp.response(204)
@blp.alt_response(404, schema=ErrorSchema, description="No such payment")
@blp.alt_response(409, schema=ErrorSchema, description="Linked to a ticket")
@blp.alt_response(412, schema=ErrorSchema, description="The payment's ETag is not in If-Match", headers=ETAG)
def delete_payment(payment_id):
    """Delete a payment

    Refused while a ticket is linked to it, so that no ticket loses sight of its money.
    """
    store.payments.delete(payment_id, caller=caller(), versions=expected_versions())
