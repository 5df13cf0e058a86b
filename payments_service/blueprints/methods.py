"""`/payments/methods`: payment methods."""
from .. import store
from ..schemas.errors import ErrorBodySchema
from ..schemas.methods import METHODS_EXAMPLE, PaymentMethodSchema
from ..tokens.permissions import Permission
from ..web.blueprint import Blueprint

blp = Blueprint("methods", __name__, url_prefix="/payments/methods", description="Payment methods")


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.response(200, PaymentMethodSchema(many=True), example=METHODS_EXAMPLE)
@blp.alt_response(204, description="No payment methods found", success=True)
def list_payment_methods():
    """Get all payment methods

    Oldest first.
    """
    methods = store.methods.list_all()
    return methods, 200 if methods else 204


@blp.route("/<uuid:method_id>", methods=["GET"], permission=Permission.READ)
@blp.response(200, PaymentMethodSchema, example=METHODS_EXAMPLE[0])
@blp.alt_response(404, schema=ErrorBodySchema, description="No such payment method")
def get_payment_method(method_id):
    """Get a payment method"""
    return store.methods.get(method_id)
