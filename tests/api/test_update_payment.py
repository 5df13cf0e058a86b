"""PUT /payments/{id}"""
from decimal import Decimal

import pytest

from ..support.payments import BTC, CREDIT_CARD, NOBODY, payment


def test_the_response_is_the_documented_text(client, add_payment):
    response = client.put(f"/payments/{add_payment()}", json=payment())
    assert response.status_code == 200
    assert response.json == "Payment updated successfully"


def test_every_field_changes(client, add_payment):
    payment_id = add_payment()
    body = payment(method_id=CREDIT_CARD, currency_id=BTC, transaction_id="txn-2", amount=Decimal("0.00000005"))
    client.put(f"/payments/{payment_id}", json=body)
    assert client.get(f"/payments/{payment_id}").json == body | {"id": payment_id}


def test_other_payments_stay_as_they_are(client, add_payment):
    other = add_payment(amount=7)
    client.put(f"/payments/{add_payment()}", json=payment(amount=8))
    assert client.get(f"/payments/{other}").json["amount"] == 7


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_or_absent_transaction_id_keeps_the_stored_one(client, add_payment, blank):
    payment_id = add_payment(transaction_id="txn-1")
    assert client.put(f"/payments/{payment_id}", json=payment(transaction_id=blank)).status_code == 200
    assert client.get(f"/payments/{payment_id}").json["transaction_id"] == "txn-1"


def test_null_in_an_optional_field_counts_as_absent(client, add_payment):
    payment_id = add_payment(transaction_id="txn-1")
    body = payment(amount=2) | {"id": None, "transaction_id": None}
    assert client.put(f"/payments/{payment_id}", json=body).status_code == 200
    stored = client.get(f"/payments/{payment_id}").json
    assert (stored["transaction_id"], stored["amount"]) == ("txn-1", 2)


def test_a_payment_can_be_read_edited_and_written_back(client, add_payment):
    payment_id = add_payment(transaction_id="txn-1", amount=1)
    body = client.get(f"/payments/{payment_id}").json | {"amount": 2}
    assert client.put(f"/payments/{payment_id}", json=body).status_code == 200
    assert client.get(f"/payments/{payment_id}").json == body


def test_the_id_of_another_payment_in_the_body_is_rejected(client, add_payment):
    payment_id, other = add_payment(amount=1), add_payment()
    response = client.put(f"/payments/{payment_id}", json=payment(id=other, amount=2))
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["id"]
    assert client.get(f"/payments/{payment_id}").json["amount"] == 1


def test_a_transaction_id_of_another_payment_is_rejected(client, add_payment):
    add_payment(transaction_id="txn-1")
    payment_id = add_payment(transaction_id="txn-2", amount=1)
    response = client.put(f"/payments/{payment_id}", json=payment(transaction_id="txn-1", amount=2))
    assert response.status_code == 409
    assert client.get(f"/payments/{payment_id}").json["amount"] == 1


@pytest.mark.parametrize("unknown", [NOBODY, "payment-uuid-1"])
def test_an_id_that_names_nothing_is_not_found(client, unknown):
    assert client.put(f"/payments/{unknown}", json=payment()).status_code == 404
    assert client.get("/payments").status_code == 204


@pytest.mark.parametrize("field", ["method_id", "currency_id"])
def test_a_reference_to_nothing_is_named(client, add_payment, field):
    payment_id = add_payment(amount=1)
    response = client.put(f"/payments/{payment_id}", json=payment(amount=2) | {field: NOBODY})
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == [field]
    assert client.get(f"/payments/{payment_id}").json["amount"] == 1


@pytest.mark.parametrize("field", ["method_id", "currency_id", "amount"])
def test_a_missing_field_is_named(client, add_payment, field):
    response = client.put(f"/payments/{add_payment()}", json=payment(**{field: None}))
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == [field]
