"""Call the service with the client of openapi-python-client, and print what it got as JSON"""
import json
import sys

from payments_client import AuthenticatedClient
from payments_client.api.payments import (
    create_payment, delete_payment, list_payment_history, list_payments, update_payment,
)
from payments_client.api.ticket_payments import link_ticket, unlink_ticket
from payments_client.models import ChangedPayment, ErrorBody, PaymentInput, TicketPayment, TicketPaymentInput

base_url, token = sys.argv[1:]
client = AuthenticatedClient(base_url, token)

fields = {
    "method_id": "01950000-0000-7000-8000-000000000001",
    "currency_id": "01950000-0000-7000-8000-000000000101",
}


def make(kind, **values):
    """Make a model of the client, as its users read it from JSON."""
    return kind.from_dict(fields | values)


empty = list_payments.sync_detailed(client=client)
body = make(PaymentInput, amount=12)
created = create_payment.sync_detailed(client=client, body=body, idempotency_key="key-1")
replayed = create_payment.sync_detailed(client=client, body=body, idempotency_key="key-1")
payment_id = created.parsed.id
listed = list_payments.sync_detailed(client=client, limit=10)
change = {"body": make(ChangedPayment, amount=13), "if_match": created.headers["ETag"]}
updated = update_payment.sync_detailed(payment_id, client=client, **change)
outdated = update_payment.sync_detailed(payment_id, client=client, **change)
assert isinstance(outdated.parsed, ErrorBody)
invalid = create_payment.sync_detailed(client=client, body=make(PaymentInput, amount=-1))
link = TicketPaymentInput(payment_id=payment_id, ticket_id="ticket-1")
linked = link_ticket.sync_detailed(client=client, body=link)
history = list_payment_history.sync_detailed(payment_id, client=client)
tickets = [entry.after.ticket_id if isinstance(entry.after, TicketPayment) else None for entry in history.parsed]
unlinked = unlink_ticket.sync_detailed(client=client, payment_id=payment_id, ticket_id="ticket-1")
deleted = delete_payment.sync_detailed(payment_id, client=client)

print(json.dumps({
    "empty": [empty.status_code, empty.parsed],
    "created": [created.status_code, created.parsed.message],
    "replayed": [replayed.status_code, replayed.parsed.id == payment_id],
    "listed": [listed.status_code, [payment.amount for payment in listed.parsed]],
    "updated": [updated.status_code, updated.parsed],
    "outdated": [outdated.status_code, outdated.parsed.code],
    "invalid": [invalid.status_code, invalid.parsed.errors.to_dict()["json"]["amount"]],
    "linked": [linked.status_code, linked.parsed.ticket_id],
    "history": [history.status_code, tickets],
    "unlinked": [unlinked.status_code, unlinked.parsed],
    "deleted": [deleted.status_code, deleted.parsed],
}))
