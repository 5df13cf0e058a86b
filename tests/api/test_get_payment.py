"""GET /payments/{id}"""
from decimal import Decimal

import pytest

from ..support.payments import CASH, EUR, NOBODY


def test_a_payment_has_the_five_documented_fields(client, add_payment):
    payment_id = add_payment(transaction_id="txn-123456", amount=Decimal("45.50"))
    response = client.get(f"/payments/{payment_id}")
    assert response.status_code == 200
    assert response.json == {
        "id": payment_id,
        "method_id": CASH,
        "currency_id": EUR,
        "transaction_id": "txn-123456",
        "amount": Decimal("45.50"),
    }


def test_an_id_in_upper_case_finds_the_payment(client, add_payment):
    payment_id = add_payment()
    assert client.get(f"/payments/{payment_id.upper()}").json["id"] == payment_id


@pytest.mark.parametrize("unknown", [NOBODY, "payment-uuid-1", "1", "%00", "%FF", "x" * 5000])
def test_an_id_that_names_nothing_is_not_found(client, add_payment, unknown):
    add_payment()
    response = client.get(f"/payments/{unknown}")
    assert response.status_code == 404
    assert response.json == {"code": 404, "status": "Not Found", "message": "There is no payment with this id."}


def test_only_the_canonical_form_of_a_uuid_is_accepted(client, add_payment):
    payment_id = add_payment()
    for spelling in (payment_id.replace("-", ""), f"{{{payment_id}}}", f"urn:uuid:{payment_id}", f"{payment_id} "):
        assert client.get(f"/payments/{spelling}").status_code == 404
