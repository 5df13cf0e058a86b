"""`/payments/{id}/refunds`: money of a payment that was given back."""
from flask import request
from marshmallow import EXCLUDE

from .. import store
from ..schemas.errors import ErrorBodySchema
from ..schemas.refunds import (
    REFUND_ADDED_EXAMPLE, REFUND_EXAMPLE, REFUND_INPUT_EXAMPLE, RefundAddedSchema, RefundInputSchema, RefundQuerySchema,
    RefundSchema,
)
from ..tokens.permissions import Permission
from ..web.addresses import find_root
from ..web.blueprint import Blueprint
from ..web.idempotency import idempotent
from ..web.request_state import request_state
from ..web.streaming import LINK, page_size, respond_with_list

blp = Blueprint(
    "refunds",
    __name__,
    url_prefix="/payments",
    description="Money of payments that was given back. A refund is a record: the service moves no money",
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The address of the payment's refunds"}}


def make_headers_of_new_refund(_response: dict[str, str]) -> dict[str, str]:
    """Return where a new refund is listed: it has no address of its own that could be read."""
    return {"Location": f"{find_root()}/payments/{(request.view_args or {})['payment_id']}/refunds"}


@blp.route("/<uuid:payment_id>/refunds", methods=["POST"], permission=Permission.UPDATE)
@blp.arguments(RefundInputSchema, example=REFUND_INPUT_EXAMPLE)
@idempotent(blp, make_headers_of_new_refund, records="The refund {id}")
@blp.response(201, RefundAddedSchema, example=REFUND_ADDED_EXAMPLE, headers=LOCATION)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment")
@blp.alt_response(409, schema=ErrorBodySchema, description="Less is left of what was paid")
def create_refund(refund, payment_id):
    """Record a refund

    No money moves: give back cash from the drawer, and refund cards and Lightning payments at the terminal or in the
    wallet. The refund belongs to the closing that is open now, under its own method, also if the payment was closed
    before.
    """
    refund_id = store.refunds.add(payment_id, **refund, caller=request_state().caller)
    return {"id": refund_id, "message": "Refund added successfully"}


@blp.route("/<uuid:payment_id>/refunds", methods=["GET"], permission=Permission.READ)
@blp.arguments(RefundQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, RefundSchema(many=True), example=[REFUND_EXAMPLE], headers=LINK)
@blp.alt_response(204, description="The payment has no refunds", success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment")
def list_refunds(payment_id, limit=None, after=None):
    """Get all refunds of a payment

    Oldest first. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.refunds.iterate_pages(page_size(limit), payment_id, after), limit)


@blp.route("/<uuid:payment_id>/refunds/<uuid:refund_id>", methods=["DELETE"], permission=Permission.DELETE)
@blp.response(204)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment, or no such refund of it")
def delete_refund(payment_id, refund_id):
    """Delete a refund that is a mistake

    Posts a correction in the closing that is open now, under the refund's method.
    """
    store.refunds.delete(payment_id, refund_id, caller=request_state().caller)
