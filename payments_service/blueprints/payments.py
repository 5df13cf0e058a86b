"""`/payments`: the payments themselves."""
from flask import Response, request
from marshmallow import EXCLUDE
from werkzeug.http import quote_etag

from .. import store
from ..schemas.errors import ErrorBodySchema
from ..schemas.history import HISTORY_EXAMPLE, HistoryEntrySchema, HistoryQuerySchema
from ..schemas.payments import (
    NEW_PAYMENT_EXAMPLE, PAYMENT_ADDED_EXAMPLE, PAYMENT_EXAMPLE, PAYMENT_UPDATED_EXAMPLE, PAYMENTS_EXAMPLE,
    ChangedPaymentSchema, PaymentAddedSchema, PaymentInputSchema, PaymentQuerySchema, PaymentSchema,
)
from ..store.listing import PaymentFilter
from ..store.ticket_payments import TicketShare
from ..tokens.permissions import Permission
from ..web.addresses import find_root
from ..web.blueprint import Blueprint
from ..web.idempotency import idempotent
from ..web.request_state import request_state
from ..web.responses import json_response
from ..web.streaming import LINK, page_size, respond_with_list

blp = Blueprint("payments", __name__, url_prefix="/payments", description="The payments themselves")

TAKEN = "Another payment has this transaction_id; a caller with payments_read is told which"
TOO_MUCH = "more goes to the tickets than the payment has, or than a ticket has left to pay"
ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Names the version of the payment"}}
LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The address of the payment"}}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "ETags: rejected with 412 unless the payment has one of them",
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "ETags: answered 304 without a body if the payment has one of them",
}


def make_headers_of_new_payment(response: dict[str, str]) -> dict[str, str]:
    """Return where a new payment is, and its ETag."""
    etag = quote_etag(str(store.payments.FIRST_VERSION))
    return {"Location": f"{find_root()}/payments/{response['id']}", "ETag": etag}


def read_if_match() -> set[str] | None:
    """Return the versions that If-Match allows (RFC 9110, section 13.1.1), None if it allows any."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return request.if_match.as_set()


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.arguments(PaymentQuerySchema, location="query", as_kwargs=True)
@blp.response(200, PaymentSchema(many=True), example=PAYMENTS_EXAMPLE, headers=LINK)
@blp.alt_response(204, description="No payments found", success=True)
def list_payments(limit=None, after=None, **filters):
    """Get all payments

    Oldest first, by id. With limit, one page, whose Link header has the next. A list of more than 2,000 payments may be
    rejected with 503 while other long lists are being sent: retry, or read it in pages.
    """
    pages = store.listing.iterate_pages(page_size(limit), PaymentFilter(**filters), after)
    return respond_with_list(pages, limit)


@blp.route("/<uuid:payment_id>", methods=["GET"], permission=Permission.READ)
@blp.doc(parameters=[IF_NONE_MATCH])
@blp.response(200, PaymentSchema, example=PAYMENT_EXAMPLE, headers=ETAG)
@blp.alt_response(304, description="The payment's ETag is in If-None-Match", headers=ETAG, success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment")
def get_payment(payment_id):
    """Get a payment"""
    payment, version = store.payments.get(payment_id)
    headers = {"ETag": quote_etag(str(version))}
    if request.if_none_match.contains_weak(str(version)):
        return Response(status=304, headers=headers)
    return json_response(payment, headers)


@blp.route("/<uuid:payment_id>/history", methods=["GET"], permission=Permission.READ)
@blp.arguments(HistoryQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, HistoryEntrySchema(many=True), example=HISTORY_EXAMPLE, headers=LINK)
@blp.alt_response(204, description="The payment is older than the history, and unchanged since", success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="There never was such a payment")
def list_payment_history(payment_id, limit=None, after=0):
    """Get a payment's history

    Oldest first, also that of a deleted payment. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.payments.iterate_history(page_size(limit), payment_id, after), limit)


@blp.route("", methods=["POST"], permission=Permission.CREATE)
@blp.arguments(PaymentInputSchema, example=NEW_PAYMENT_EXAMPLE)
@idempotent(blp, make_headers_of_new_payment, records="The payment {id}")
@blp.response(201, PaymentAddedSchema, example=PAYMENT_ADDED_EXAMPLE, headers=LOCATION | ETAG)
@blp.alt_response(409, schema=ErrorBodySchema, description=f"{TAKEN}; or {TOO_MUCH}")
def create_payment(payment):
    """Record a payment

    The response is sent once the payment is on the disk. If the transaction_id is absent, null or blank, the payment's
    own id is used. With tickets, the payment and its links are recorded together, or nothing is.
    """
    # Not popped: the view may run again.
    tickets = [TicketShare(**ticket) for ticket in payment.get("tickets") or []]
    fields = {name: value for name, value in payment.items() if name != "tickets"}
    payment_id = store.ticket_payments.pay(tickets, **fields, caller=request_state().caller)
    return {"id": payment_id, "message": "Payment added successfully"}


@blp.route("/<uuid:payment_id>", methods=["PUT"], permission=Permission.UPDATE)
@blp.doc(parameters=[IF_MATCH])
@blp.arguments(ChangedPaymentSchema, example=NEW_PAYMENT_EXAMPLE)
@blp.response(200, {"type": "string"}, example=PAYMENT_UPDATED_EXAMPLE, headers=ETAG)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment")
@blp.alt_response(
    409,
    schema=ErrorBodySchema,
    description=f"{TAKEN}; or the amount is less than what is refunded, or than what goes to tickets and the tip",
)
@blp.alt_response(412, schema=ErrorBodySchema, description="The payment's ETag is not in If-Match", headers=ETAG)
def update_payment(payment, payment_id):
    """Change a payment

    If the transaction_id is absent, null or blank, the payment keeps its own. Without a tip, it keeps its own too.
    """
    version = store.payments.update(payment_id, **payment, caller=request_state().caller, versions=read_if_match())
    return json_response("Payment updated successfully", {"ETag": quote_etag(str(version))})


@blp.route("/<uuid:payment_id>", methods=["DELETE"], permission=Permission.DELETE)
@blp.doc(parameters=[IF_MATCH])
@blp.response(204)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment")
@blp.alt_response(409, schema=ErrorBodySchema, description="Linked to a ticket, or refunded")
@blp.alt_response(412, schema=ErrorBodySchema, description="The payment's ETag is not in If-Match", headers=ETAG)
def delete_payment(payment_id):
    """Delete a payment

    Rejected while a ticket is linked to it, so that no ticket loses sight of its money, and while it has refunds.
    """
    store.payments.delete(payment_id, caller=request_state().caller, versions=read_if_match())
