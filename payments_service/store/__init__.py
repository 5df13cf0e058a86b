"""Every query and every transaction, a module a noun. Knows nothing of HTTP."""
from . import (
    archives, balances, business_days, cash_movements, clock, closings, currencies, exports, health, history,
    idempotency, imports, journal, lightning_invoices, listing, methods, payments, postings, refunds, takings,
    ticket_payments, totals, verifying,
)

__all__ = [
    "archives", "balances", "business_days", "cash_movements", "clock", "closings", "currencies", "exports",
    "health", "history", "idempotency", "imports", "journal", "lightning_invoices", "listing", "methods",
    "payments", "postings", "refunds", "takings", "ticket_payments", "totals", "verifying",
]
