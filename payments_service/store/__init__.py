"""Every query and every transaction, a module a noun. Knows nothing of HTTP."""
from . import clock, currencies, health, history, idempotency, listing, methods, payments, ticket_payments

__all__ = [
    "clock", "currencies", "health", "history", "idempotency", "listing", "methods", "payments", "ticket_payments",
]
