"""Links between payments and tickets."""
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields

from .currencies import EUR
from .fields import TICKET_ID_EXAMPLE, Amount, AmountInQuery, Id, PageSize, Text, TicketId, Timestamp
from .payments import PAYMENT_EXAMPLE, PaymentSchema, ShareSchema
from .responses import ResponseSchema

TICKET_PAYMENT_EXAMPLE = {"payment_id": PAYMENT_EXAMPLE["id"], "ticket_id": TICKET_ID_EXAMPLE}
TICKET_PAYMENT_ADDED_EXAMPLE = {
    "paymentId": PAYMENT_EXAMPLE["id"],
    "ticketId": TICKET_ID_EXAMPLE,
    "message": "Ticket payment relationship created successfully",
}
PAYMENT_OF_TICKET_EXAMPLE = {**PAYMENT_EXAMPLE, **TICKET_PAYMENT_EXAMPLE}
BALANCE_EXAMPLE = {
    "currency_id": EUR,
    "currency": "EUR",
    "paid": Decimal("40.00"),
    "refunded": Decimal("0.00"),
    "unclear": Decimal("0.00"),
    "remaining": Decimal("12.40"),
}
SHARE = {"description": "How much of the payment goes to the ticket; absent if nobody said so", "minimum": 0}


class TicketPaymentInputSchema(ShareSchema):
    """A link to make between a payment and a ticket."""

    payment_id = Id(required=True)
    ticket_id = TicketId(required=True)


class TicketPaymentSchema(ResponseSchema):
    """A link between a payment and a ticket."""

    payment_id = Id(required=True)
    ticket_id = TicketId(required=True)
    share = Amount(metadata=SHARE)


class TicketInPathSchema(Schema):
    """The ticket that a path names."""

    ticket_id = TicketId(required=True)


class PaymentsOfTicketQuerySchema(Schema):
    """Which page of a ticket's payments to list."""

    limit = PageSize()
    after = Id(metadata={"description": "Only payments after this id, which need not be linked any more"})


class LinkPosition(Text):
    """The position of a ticket in the list of a payment: when it was linked, a tilde, and its id."""

    default_error_messages = {"invalid_position": "Send the after of a Link header."}

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        linked_at, tilde, ticket_id = super()._deserialize(value, *args, **kwargs).partition("~")
        if not tilde:
            raise self.make_error("invalid_position")
        return Timestamp().deserialize(linked_at), ticket_id


class TicketsOfPaymentQuerySchema(Schema):
    """Which page of a payment's tickets to list."""

    limit = PageSize()
    after = LinkPosition(metadata={"description": "Only tickets after this position, which a Link header has"})


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
    share = Amount(metadata=SHARE)


class BalanceQuerySchema(Schema):
    """Which balances of a ticket to read, and what the ticket costs in all."""

    currency_id = Id(metadata={"description": "Only the balance in this currency"})
    total = AmountInQuery(
        metadata={"description": "What the ticket costs in all, in the currency of currency_id", "minimum": 0}
    )


class BalanceSchema(ResponseSchema):
    """What was paid for a ticket in a currency. Amounts have exactly the currency's decimals."""

    currency_id = Id(required=True)
    currency = fields.String(required=True)
    paid = Amount(required=True)
    refunded = Amount(required=True)
    unclear = Amount(
        required=True,
        metadata={"description": "What payments of several tickets paid or gave back without saying for which one"},
    )
    remaining = Amount(metadata={"description": "total - paid + refunded: negative if too much was paid"})
