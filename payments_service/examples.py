"""The examples of the API document, with the ids that every installation has for its methods and currencies."""
from decimal import Decimal

CASH = "01950000-0000-7000-8000-000000000001"
CREDIT_CARD = "01950000-0000-7000-8000-000000000002"
BITCOIN_LIGHTNING = "01950000-0000-7000-8000-000000000004"
EUR = "01950000-0000-7000-8000-000000000101"
USD = "01950000-0000-7000-8000-000000000102"
BTC = "01950000-0000-7000-8000-000000000104"

PAYMENT = {
    "id": "019aa9b2-3c00-7a4e-8d15-6f0c2b9e7a31",
    "method_id": CASH,
    "currency_id": EUR,
    "transaction_id": "txn-123456",
    "amount": Decimal("45.50"),
}
OTHER_PAYMENT = {
    "id": "019aa9b3-51d8-7c02-9b6e-3a1d84f0c752",
    "method_id": CREDIT_CARD,
    "currency_id": EUR,
    "transaction_id": "txn-789012",
    "amount": Decimal("32.80"),
}
NEW_PAYMENT = {
    "method_id": CASH,
    "currency_id": EUR,
    "transaction_id": "txn-345678",
    "amount": Decimal("78.90"),
}
PAYMENT_ADDED = {"id": "019aa9b4-0c37-7e91-a4d2-57b8c60e1f93", "message": "Payment added successfully"}
PAYMENT_UPDATED = "Payment updated successfully"

METHODS = [
    {"id": CASH, "name": "Cash"},
    {"id": CREDIT_CARD, "name": "Credit Card"},
    {"id": BITCOIN_LIGHTNING, "name": "Bitcoin Lightning"},
]
CURRENCIES = [
    {"id": EUR, "acronym": "EUR"},
    {"id": USD, "acronym": "USD"},
    {"id": BTC, "acronym": "BTC"},
]

TICKET = "ticket-1"
TICKET_PAYMENT = {"payment_id": PAYMENT["id"], "ticket_id": TICKET}
TICKET_PAYMENT_ADDED = {
    "paymentId": PAYMENT["id"],
    "ticketId": TICKET,
    "message": "Ticket payment relationship created successfully",
}
PAYMENT_OF_TICKET = {**PAYMENT, **TICKET_PAYMENT}

LIVE = {"status": "live"}
READY = {"status": "ready"}

HISTORY = [
    {
        "at": "2026-11-22T12:30:05.120000+00:00",
        "user_id": "12",
        "request_id": "till-4-00017",
        "action": "created",
        "before": None,
        "after": PAYMENT,
    },
    {
        "at": "2026-11-22T12:31:40.005000+00:00",
        "user_id": "12",
        "request_id": "till-4-00018",
        "action": "linked",
        "before": None,
        "after": TICKET_PAYMENT,
    },
]
