"""Every query and every transaction, a module a noun."""
from . import currencies, methods, payments, ticket_payments

__all__ = ["currencies", "methods", "payments", "ticket_payments"]
