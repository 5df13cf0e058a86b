"""`/payments/lightning`: invoices that guests pay by Lightning, and whether they have."""
import io

import flask
import segno
from flask import Response
from marshmallow import EXCLUDE

from .. import offering, store
from ..errors import BackendFault, Conflict, NotFound
from ..schemas.errors import ErrorBodySchema
from ..schemas.lightning_invoices import (
    LIGHTNING_INVOICE_EXAMPLE, LIGHTNING_INVOICE_INPUT_EXAMPLE, PAID_LIGHTNING_INVOICE_EXAMPLE, QR_EXAMPLE,
    LightningInvoiceInputSchema, LightningInvoiceQuerySchema, LightningInvoiceSchema, LightningWaitSchema,
)
from ..store.lightning_invoices import InvoiceFilter, State
from ..tokens.permissions import Permission
from ..web.blueprint import PUBLIC, Blueprint, Owners
from ..web.request_state import request_state
from ..web.responses import json_response
from ..web.runtime import find_settler, runtime
from ..web.streaming import LINK, page_size, respond_with_list

blp = Blueprint(
    "lightning",
    __name__,
    url_prefix="/payments/lightning",
    description="Lightning invoices. The service asks its node whether they are paid, and records the payments",
)

SVG = "image/svg+xml"
# Whoever shows an invoice to a guest may see whether it is paid.
OWNERS = Owners(Permission.CREATE, store.lightning_invoices.find_user)


# What each of the operations needs.
NODE = {503: "the Lightning node is not configured, does not respond, or has no rate"}


def needs_node(view):
    """Decorator: document that a view needs a node."""
    view.further_errors = NODE
    return view


@blp.before_request
def require_node():
    """Raise `NotConfigured` if the settings name no node."""
    find_settler()


@blp.route("/<uuid:invoice_id>", methods=["PUT"], permission=Permission.CREATE)
@blp.arguments(LightningInvoiceInputSchema, example=LIGHTNING_INVOICE_INPUT_EXAMPLE)
@blp.response(200, LightningInvoiceSchema, example=LIGHTNING_INVOICE_EXAMPLE)
@blp.alt_response(201, schema=LightningInvoiceSchema, example=LIGHTNING_INVOICE_EXAMPLE, success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="The id is not a UUID")
@blp.alt_response(409, schema=ErrorBodySchema, description="Another invoice has this id, with other values")
@needs_node
def create_lightning_invoice(wanted, invoice_id):
    """Make a Lightning invoice

    The till makes the id, a UUID. The same request again, as after a lost response, leads to the same invoice, with
    200. Without amount_sat, an amount in another currency than bitcoin is converted by the node's rate, and rejected
    with 503 if there is none. If the node does not respond, the response is 503, and the same request works later.
    """
    if invoice_id is None:
        raise NotFound("The id of an invoice is a UUID that the till makes.")
    backend = find_settler().backend
    try:
        is_new = offering.offer(
            backend,
            invoice_id,
            seconds=flask.current_app.config["LIGHTNING_SECONDS"],
            wait_for_node=runtime().waits.for_node,
            caller=request_state().caller,
            **wanted,
        )
    except BackendFault:
        runtime().metrics.backend_errors.labels(backend.name).inc()
        raise
    response = json_response(store.lightning_invoices.get(invoice_id).show())
    response.status_code = 201 if is_new else 200
    return response


@blp.route("/<uuid:invoice_id>", methods=["GET"], permission=Permission.READ, owners=OWNERS)
@blp.arguments(LightningWaitSchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, LightningInvoiceSchema, example=PAID_LIGHTNING_INVOICE_EXAMPLE)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such invoice")
@needs_node
def get_lightning_invoice(invoice_id, wait=0):
    """Get a Lightning invoice

    The node is not asked: the service does that by itself. With wait, the response may take until the invoice is paid,
    expired or withdrawn. It comes at once if too many other requests wait, so pause before the next one.
    """
    invoice = store.lightning_invoices.get(invoice_id)
    if wait and invoice.state is State.OPEN:
        runtime().waits.until(lambda: store.lightning_invoices.get(invoice_id).state is not State.OPEN, wait)
        invoice = store.lightning_invoices.get(invoice_id)
    return json_response(invoice.show())


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.arguments(LightningInvoiceQuerySchema, location="query", as_kwargs=True)
@blp.response(200, LightningInvoiceSchema(many=True), example=[PAID_LIGHTNING_INVOICE_EXAMPLE], headers=LINK)
@blp.alt_response(204, description="No invoices found", success=True)
@needs_node
def list_lightning_invoices(limit=None, after=None, state=None, **filters):
    """Get all Lightning invoices

    In the order of making. With limit, one page, whose Link header has the next.
    """
    wanted = InvoiceFilter(state=state and State(state), **filters)
    return respond_with_list(store.lightning_invoices.iterate_pages(page_size(limit), wanted, after), limit)


@blp.route("/<uuid:invoice_id>", methods=["DELETE"], permission=Permission.CREATE)
@blp.response(204)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such invoice")
@blp.alt_response(409, schema=ErrorBodySchema, description="It is paid")
@needs_node
def withdraw_lightning_invoice(invoice_id):
    """Withdraw a Lightning invoice

    It is not offered any more. A guest's wallet may still pay it: such money is recorded all the same.
    """
    store.lightning_invoices.withdraw(invoice_id)
    runtime().waits.notify()


@blp.route("/<uuid:invoice_id>/qr", methods=["GET"], permission=Permission.READ, owners=OWNERS)
@blp.response(200, {"type": "string"}, content_type=SVG, example=QR_EXAMPLE)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such invoice")
@blp.alt_response(409, schema=ErrorBodySchema, description="It is not open")
@needs_node
def get_qr_of_lightning_invoice(invoice_id):
    """Get the QR code of an open Lightning invoice

    An SVG, with what wallets read.
    """
    invoice = store.lightning_invoices.get(invoice_id)
    if invoice.state is not State.OPEN:
        raise Conflict("This invoice is not open: nobody should pay it.")
    svg = io.BytesIO()
    # In upper case, the code has fewer dots.
    segno.make_qr(f"LIGHTNING:{str(invoice.bolt11).upper()}").save(svg, kind="svg", border=4, scale=4, omitsize=True)
    return Response(svg.getvalue(), content_type=SVG)


@blp.route("/wake", methods=["POST"], permission=PUBLIC)
@blp.response(204)
@blp.alt_response(503, schema=ErrorBodySchema, description="Lightning is not configured")
def wake_settling():
    """Look for payments earlier

    For the webhook of a node. Nothing of the request is read or believed. Needs no access token.
    """
    find_settler().wake()
