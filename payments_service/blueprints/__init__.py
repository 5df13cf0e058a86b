"""HTTP, a module a noun."""
from . import currencies, docs, health, methods, openapi, payments, ticket_payments

# In the order of the API document. A new noun is one line here.
OPERATIONS = [payments.blp, methods.blp, currencies.blp, ticket_payments.blp, openapi.blp, health.blp]
# Pages are not in the API document.
PAGES = [docs.blp]
