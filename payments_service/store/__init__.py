"""Every query and every transaction, a module a noun. Knows nothing of HTTP."""
from . import (
    archives, business_days, cash_movements, clock, closings, currencies, health, history, idempotency, journal,
    listing, methods, payments, postings, takings, ticket_payments, totals, verifying,
)

__all__ = [
    "archives", "business_days", "cash_movements", "clock", "closings", "currencies", "health", "history",
    "idempotency", "journal", "listing", "methods", "payments", "postings", "takings", "ticket_payments", "totals",
    "verifying",
]
