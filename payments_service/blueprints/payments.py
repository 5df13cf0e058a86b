"""`/payments`: the payments themselves."""
from flask import jsonify

from .. import examples, store
from ..access import Blueprint, Permission
from ..errors import ErrorSchema
from ..schemas import ChangedPaymentSchema, NewPaymentSchema, PaymentAddedSchema, PaymentSchema

blp = Blueprint("payments", __name__, url_prefix="/payments", description="Money that was taken")


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.response(200, PaymentSchema(many=True), example=[examples.PAYMENT, examples.OTHER_PAYMENT])
@blp.alt_response(204, description="No payments found", success=True)
def list_payments():
    """Get all payments

    Oldest first.
    """
    payments = store.payments.list_all()
    return payments, 200 if payments else 204


@blp.route("/<uuid:payment_id>", methods=["GET"], permission=Permission.READ)
@blp.response(200, PaymentSchema, example=examples.PAYMENT)
@blp.alt_response(404, schema=ErrorSchema, description="No such payment")
def get_payment(payment_id):
    """Get a payment"""
    return store.payments.get(payment_id)


@blp.route("", methods=["POST"], permission=Permission.CREATE)
@blp.arguments(NewPaymentSchema, example=examples.NEW_PAYMENT)
@blp.response(201, PaymentAddedSchema, example=examples.PAYMENT_ADDED)
@blp.alt_response(409, schema=ErrorSchema, description="Another payment has this transaction_id")
def add_payment(payment):
    """Record a payment

    The answer is sent once the payment is on the disk. Without a transaction_id, or with a blank one, the payment's
    own id is its transaction_id.
    """
    return {"id": store.payments.add(**payment), "message": "Payment added successfully"}


@blp.route("/<uuid:payment_id>", methods=["PUT"], permission=Permission.UPDATE)
@blp.arguments(ChangedPaymentSchema, example=examples.NEW_PAYMENT)
@blp.response(200, {"type": "string"}, example=examples.PAYMENT_UPDATED)
@blp.alt_response(404, schema=ErrorSchema, description="No such payment")
@blp.alt_response(409, schema=ErrorSchema, description="Another payment has this transaction_id")
def update_payment(payment, payment_id):
    """Change a payment

    Without a transaction_id, or with a blank one, the payment keeps the one it has.
    """
    store.payments.update(payment_id, **payment)
    return jsonify("Payment updated successfully")


@blp.route("/<uuid:payment_id>", methods=["DELETE"], permission=Permission.DELETE)
@blp.response(204)
@blp.alt_response(404, schema=ErrorSchema, description="No such payment")
@blp.alt_response(409, schema=ErrorSchema, description="Linked to a ticket")
def delete_payment(payment_id):
    """Delete a payment

    Refused while a ticket is linked to it, so that no ticket loses sight of its money.
    """
    store.payments.delete(payment_id)
