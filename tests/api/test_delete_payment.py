"""DELETE /payments/{id}"""
import pytest

from ..support.payments import NOBODY


def test_a_deleted_payment_is_gone_and_others_stay(client, add_payment):
    payment_id, other = add_payment(), add_payment()
    response = client.delete(f"/payments/{payment_id}")
    assert (response.status_code, response.data) == (204, b"")
    assert client.get(f"/payments/{payment_id}").status_code == 404
    assert [listed["id"] for listed in client.get("/payments").json] == [other]


def test_a_payment_linked_to_a_ticket_is_not_deleted(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    response = client.delete(f"/payments/{payment_id}")
    assert response.status_code == 409
    assert "unlink" in response.json["message"]
    assert client.get(f"/payments/{payment_id}").status_code == 200
    assert len(client.get("/payments/ticket-payments/by-ticket/ticket-1").json) == 1


def test_an_unlinked_payment_can_be_deleted(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    client.delete("/payments/ticket-payments/by-ticket/ticket-1")
    assert client.delete(f"/payments/{payment_id}").status_code == 204


@pytest.mark.parametrize("unknown", [NOBODY, "payment-uuid-1"])
def test_an_id_that_names_nothing_is_not_found(client, add_payment, unknown):
    add_payment()
    assert client.delete(f"/payments/{unknown}").status_code == 404
    assert len(client.get("/payments").json) == 1
