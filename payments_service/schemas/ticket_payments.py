"""Links between payments and tickets."""
from marshmallow import Schema, fields

from .fields import TICKET_ID_EXAMPLE, Id, TicketId
from .payments import PAYMENT_EXAMPLE, PaymentSchema
from .responses import ResponseSchema

TICKET_PAYMENT_EXAMPLE = {"payment_id": PAYMENT_EXAMPLE["id"], "ticket_id": TICKET_ID_EXAMPLE}
TICKET_PAYMENT_ADDED_EXAMPLE = {
    "paymentId": PAYMENT_EXAMPLE["id"],
    "ticketId": TICKET_ID_EXAMPLE,
    "message": "Ticket payment relationship created successfully",
}
PAYMENT_OF_TICKET_EXAMPLE = {**PAYMENT_EXAMPLE, **TICKET_PAYMENT_EXAMPLE}


class TicketPaymentInputSchema(Schema):
    """A link to make between a payment and a ticket."""

    payment_id = Id(required=True)
    ticket_id = TicketId(required=True)


class TicketPaymentSchema(ResponseSchema):
    """A link between a payment and a ticket."""

    payment_id = Id(required=True)
    ticket_id = TicketId(required=True)


class TicketInPathSchema(Schema):
    """The ticket that a path names."""

    ticket_id = TicketId(required=True)


class TicketPaymentQuerySchema(Schema):
    """The link that a query string names."""

    payment_id = Id(required=True, data_key="paymentId")
    ticket_id = TicketId(required=True, data_key="ticketId")


class TicketPaymentAddedSchema(ResponseSchema):
    """The response to a new link."""

    payment_id = Id(required=True, data_key="paymentId")
    ticket_id = TicketId(required=True, data_key="ticketId")
    message = fields.String(required=True)


class PaymentOfTicketSchema(PaymentSchema):
    """A payment of a ticket."""

    payment_id = Id(required=True, metadata={"description": "The same as id"})
    ticket_id = TicketId(required=True)
