"""`/payments/ticket-payments`: which payments paid which tickets."""
from marshmallow import EXCLUDE

from .. import store
from ..schemas.errors import ErrorBodySchema
from ..schemas.ticket_payments import (
    BALANCE_EXAMPLE, PAYMENT_OF_TICKET_EXAMPLE, TICKET_PAYMENT_ADDED_EXAMPLE, TICKET_PAYMENT_EXAMPLE,
    BalanceQuerySchema, BalanceSchema, PaymentOfTicketSchema, PaymentsOfTicketQuerySchema, TicketInPathSchema,
    TicketPaymentAddedSchema, TicketPaymentInputSchema, TicketPaymentQuerySchema, TicketPaymentSchema,
    TicketsOfPaymentQuerySchema,
)
from ..tokens.permissions import Permission
from ..web.addresses import find_root
from ..web.blueprint import Blueprint
from ..web.idempotency import idempotent
from ..web.request_state import request_state
from ..web.responses import json_response
from ..web.streaming import LINK, page_size, respond_with_list

blp = Blueprint(
    "ticket-payments",
    __name__,
    url_prefix="/payments/ticket-payments",
    description="Which payments paid which tickets: a payment can pay several, and a ticket can take several payments",
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The address of the payment's links"}}


def make_headers_of_new_link(response: dict[str, str]) -> dict[str, str]:
    """Return where a new link is listed: it has no address of its own that could be read."""
    return {"Location": f"{find_root()}/payments/ticket-payments/by-payment/{response['paymentId']}"}


@blp.route("", methods=["POST"], permission=Permission.CREATE)
@blp.arguments(TicketPaymentInputSchema, example=TICKET_PAYMENT_EXAMPLE)
@idempotent(blp, make_headers_of_new_link, records="The link of the payment {paymentId} to the ticket {ticketId}")
@blp.response(201, TicketPaymentAddedSchema, example=TICKET_PAYMENT_ADDED_EXAMPLE, headers=LOCATION)
@blp.alt_response(
    409,
    schema=ErrorBodySchema,
    description="They are linked already, or the amount is more than the payment or the ticket has left",
)
def link_ticket(link):
    """Link a ticket to a payment

    With amount, that much of the payment goes to the ticket. A link is not changed: delete it, and link again.
    """
    store.ticket_payments.link(**link, caller=request_state().caller)
    return {**link, "message": "Ticket payment relationship created successfully"}


@blp.route("/by-ticket/<ticket:ticket_id>", methods=["GET"], permission=Permission.READ)
@blp.arguments(TicketInPathSchema, location="path", as_kwargs=True, error_status_code=404)
@blp.arguments(PaymentsOfTicketQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, PaymentOfTicketSchema(many=True), example=[PAYMENT_OF_TICKET_EXAMPLE], headers=LINK)
@blp.alt_response(204, description="No payment is linked to this ticket", success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="No ticket can have this id")
def list_payments_of_ticket(ticket_id, limit=None, after=None):
    """Get all payments for a ticket

    Oldest payment first. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.ticket_payments.iterate_payments(page_size(limit), ticket_id, after), limit)


@blp.route("/by-payment/<uuid:payment_id>", methods=["GET"], permission=Permission.READ)
@blp.arguments(TicketsOfPaymentQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, TicketPaymentSchema(many=True), example=[TICKET_PAYMENT_EXAMPLE], headers=LINK)
@blp.alt_response(204, description="No ticket is linked to this payment", success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment")
def list_tickets_of_payment(payment_id, limit=None, after=None):
    """Get all tickets for a payment

    In the order of linking. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.ticket_payments.iterate_tickets(page_size(limit), payment_id, after), limit)


@blp.route("/balance/<ticket:ticket_id>", methods=["GET"], permission=Permission.READ)
@blp.arguments(TicketInPathSchema, location="path", as_kwargs=True, error_status_code=404)
@blp.arguments(BalanceQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, BalanceSchema(many=True), example=[BALANCE_EXAMPLE])
@blp.alt_response(204, description="Nothing was paid, and no total was sent", success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="No ticket can have this id")
def get_balance_of_ticket(ticket_id, currency_id=None, total=None):
    """Get what was paid for a ticket

    In each currency, or in one of them. With total, also what remains to pay.
    """
    balances = store.balances.read(ticket_id, currency_id, total)
    return json_response(balances) if balances else ([], 204)


@blp.route("", methods=["DELETE"], permission=Permission.DELETE)
@blp.arguments(TicketPaymentQuerySchema, location="query", as_kwargs=True)
@blp.response(204)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such link")
def unlink_ticket(payment_id, ticket_id):
    """Unlink a ticket from a payment"""
    store.ticket_payments.unlink(payment_id, ticket_id, caller=request_state().caller)


@blp.route("/by-ticket/<ticket:ticket_id>", methods=["DELETE"], permission=Permission.DELETE)
@blp.arguments(TicketInPathSchema, location="path", as_kwargs=True, error_status_code=404)
@blp.response(204)
@blp.alt_response(404, schema=ErrorBodySchema, description="No ticket can have this id")
def unlink_payments_of_ticket(ticket_id):
    """Unlink a ticket from all its payments

    Succeeds also if it has none.
    """
    store.ticket_payments.unlink_all(ticket_id, caller=request_state().caller)
