"""The operations of the API page, each with its permission"""
from .payments import NOBODY

# Copied from the page, not from the code.
OPERATIONS = [
    ("GET", "/payments", "payments_read"),
    ("GET", f"/payments/{NOBODY}", "payments_read"),
    ("GET", f"/payments/{NOBODY}/history", "payments_read"),
    ("POST", "/payments", "payments_create"),
    ("PUT", f"/payments/{NOBODY}", "payments_update"),
    ("DELETE", f"/payments/{NOBODY}", "payments_delete"),
    ("GET", "/payments/methods", "payments_read"),
    ("GET", f"/payments/methods/{NOBODY}", "payments_read"),
    ("GET", "/payments/currencies", "payments_read"),
    ("GET", f"/payments/currencies/{NOBODY}", "payments_read"),
    ("POST", "/payments/ticket-payments", "payments_create"),
    ("GET", "/payments/ticket-payments/by-ticket/ticket-1", "payments_read"),
    ("GET", f"/payments/ticket-payments/by-payment/{NOBODY}", "payments_read"),
    ("DELETE", f"/payments/ticket-payments?paymentId={NOBODY}&ticketId=ticket-1", "payments_delete"),
    ("DELETE", "/payments/ticket-payments/by-ticket/ticket-1", "payments_delete"),
    ("GET", "/payments/takings", "payments_read"),
    ("GET", "/payments/closings/next", "payments_read"),
    ("GET", "/payments/closings/next/postings", "payments_read"),
    ("GET", "/payments/closings/next/count-sheet", "payments_create"),
    ("POST", "/payments/closings", "payments_create"),
    ("GET", "/payments/closings", "payments_read"),
    ("GET", "/payments/closings/42", "payments_read"),
    ("GET", "/payments/closings/42/postings", "payments_read"),
    ("GET", "/payments/closings/42/archive", "payments_read"),
    ("POST", "/payments/cash-movements", "payments_create"),
    ("GET", "/payments/cash-movements", "payments_read"),
]
