"""HTTP, a module a noun."""
from . import (
    cash_movements, cash_up, closings, currencies, docs, guest, health, lightning, methods, openapi, payments, refunds,
    takings, ticket_payments,
)

# In the order of the API document. A new noun is one line here.
OPERATIONS = [
    payments.blp, refunds.blp, methods.blp, currencies.blp, ticket_payments.blp, lightning.blp, takings.blp,
    closings.blp, cash_movements.blp, openapi.blp, health.blp,
]
# Pages are not in the API document.
PAGES = [docs.blp, cash_up.blp, guest.blp]
