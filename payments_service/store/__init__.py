"""Every query and every transaction, a module a noun."""
from . import currencies, history, idempotency_keys, methods, payments, ticket_payments

__all__ = ["currencies", "history", "idempotency_keys", "methods", "payments", "ticket_payments"]
