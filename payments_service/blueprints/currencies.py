"""`/payments/currencies`: currencies."""
from .. import store
from ..schemas.currencies import CURRENCIES_EXAMPLE, CurrencySchema
from ..schemas.errors import ErrorBodySchema
from ..tokens.permissions import Permission
from ..web.blueprint import Blueprint

blp = Blueprint("currencies", __name__, url_prefix="/payments/currencies", description="Currencies")


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.response(200, CurrencySchema(many=True), example=CURRENCIES_EXAMPLE)
@blp.alt_response(204, description="No currencies found", success=True)
def list_currencies():
    """Get all currencies

    Oldest first.
    """
    currencies = store.currencies.list_all()
    return currencies, 200 if currencies else 204


@blp.route("/<uuid:currency_id>", methods=["GET"], permission=Permission.READ)
@blp.response(200, CurrencySchema, example=CURRENCIES_EXAMPLE[0])
@blp.alt_response(404, schema=ErrorBodySchema, description="No such currency")
def get_currency(currency_id):
    """Get a currency"""
    return store.currencies.get(currency_id)
