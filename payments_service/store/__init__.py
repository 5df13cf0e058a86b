"""Every query and every transaction, a module a noun."""
from . import currencies, health, history, idempotency_keys, methods, payments, ticket_payments

__all__ = ["currencies", "health", "history", "idempotency_keys", "methods", "payments", "ticket_payments"]
