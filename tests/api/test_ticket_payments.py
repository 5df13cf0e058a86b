"""/payments/ticket-payments: link, list and unlink"""
from decimal import Decimal
from urllib.parse import quote

import pytest

from ..support.engines import on_one_engine
from ..support.invisible import INVISIBLE
from ..support.payments import NOBODY

LINKS = "/payments/ticket-payments"


def tickets_of(client, payment_id):
    response = client.get(f"{LINKS}/by-payment/{payment_id}")
    return [link["ticket_id"] for link in response.json] if response.status_code == 200 else []


def test_linking_returns_both_ids_and_the_documented_message(client, add_payment):
    payment_id = add_payment()
    response = client.post(LINKS, json={"payment_id": payment_id.upper(), "ticket_id": "ticket-1"})
    assert response.status_code == 201
    assert response.json == {
        "paymentId": payment_id,
        "ticketId": "ticket-1",
        "message": "Ticket payment relationship created successfully",
    }


def test_a_link_that_exists_is_rejected(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    response = client.post(LINKS, json={"payment_id": payment_id, "ticket_id": "ticket-1"})
    assert response.status_code == 409
    assert tickets_of(client, payment_id) == ["ticket-1"]


def test_a_link_to_a_payment_that_does_not_exist_is_rejected(client):
    response = client.post(LINKS, json={"payment_id": NOBODY, "ticket_id": "ticket-1"})
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["payment_id"]
    assert client.get(f"{LINKS}/by-ticket/ticket-1").status_code == 204


@on_one_engine
@pytest.mark.parametrize("ticket_id", ["", "   ", "\n", "\u200b", "x" * 256, "ticket\0", 1, None, ["ticket-1"]])
def test_an_invalid_ticket_id_is_named(client, add_payment, ticket_id):
    payment_id = add_payment()
    response = client.post(LINKS, json={"payment_id": payment_id, "ticket_id": ticket_id})
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["ticket_id"]
    assert tickets_of(client, payment_id) == []


@on_one_engine
@pytest.mark.parametrize("field", ["payment_id", "ticket_id"])
def test_a_missing_field_is_named(client, add_payment, field):
    body = {"payment_id": add_payment(), "ticket_id": "ticket-1"}
    del body[field]
    response = client.post(LINKS, json=body)
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == [field]


@pytest.mark.parametrize("ticket_id", ["x" * 255, "😀" * 255, "a/b", "mesa 4 · ñ", "a\nb", "methods", "?#&=%2F"])
def test_a_tickets_id_is_any_text(client, add_payment, link, ticket_id):
    payment_id = add_payment()
    link(payment_id, ticket_id)
    path = f"{LINKS}/by-ticket/{quote(ticket_id, safe='')}"
    assert [found["ticket_id"] for found in client.get(path).json] == [ticket_id]
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 204


@on_one_engine
@pytest.mark.parametrize("invisible", INVISIBLE, ids=ascii)
def test_an_invisible_end_of_a_new_tickets_id_is_rejected(client, add_payment, invisible):
    payment_id = add_payment()
    for ticket_id in (f"ticket-1{invisible}", f"{invisible}ticket-1"):
        response = client.post(LINKS, json={"payment_id": payment_id, "ticket_id": ticket_id})
        assert response.status_code == 422
        assert list(response.json["errors"]["json"]) == ["ticket_id"]
    response = client.post(LINKS, json={"payment_id": NOBODY, "ticket_id": ticket_id})
    assert set(response.json["errors"]["json"]) == {"payment_id", "ticket_id"}
    assert tickets_of(client, payment_id) == []


@pytest.mark.parametrize("ticket_id", ["table 4 ", "\u200btable 4", "table 4\t"], ids=ascii)
def test_a_ticket_of_an_earlier_release_is_found_and_unlinked(client, add_payment, insert_link, ticket_id):
    payment_id = add_payment()
    insert_link(payment_id, ticket_id)
    listed = client.get(f"{LINKS}/by-ticket/{quote(ticket_id)}")
    filtered = client.get("/payments", query_string={"ticket_id": ticket_id})
    assert [found["id"] for found in listed.json + filtered.json] == [payment_id] * 2
    assert client.delete(LINKS, query_string={"paymentId": payment_id, "ticketId": ticket_id}).status_code == 204
    assert tickets_of(client, payment_id) == []


def test_payments_and_tickets_are_linked_many_to_many(client, add_payment, link):
    first, second = add_payment(), add_payment()
    for payment_id, ticket_id in [(second, "t-1"), (first, "t-1"), (first, "t-0")]:
        link(payment_id, ticket_id)
    assert [found["id"] for found in client.get(f"{LINKS}/by-ticket/t-1").json] == [first, second]
    assert tickets_of(client, first) == ["t-1", "t-0"]
    assert tickets_of(client, second) == ["t-1"]


def test_a_tickets_payments_have_the_fields_of_payment_and_link(client, add_payment, link):
    payment_id = add_payment(amount=Decimal("45.50"))
    link(payment_id, "ticket-1")
    alone = client.get(f"/payments/{payment_id}").json
    response = client.get(f"{LINKS}/by-ticket/ticket-1")
    assert response.status_code == 200
    assert response.json == [alone | {"payment_id": payment_id, "ticket_id": "ticket-1"}]


def test_a_payments_tickets_are_pairs_of_ids(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "ticket-1")
    response = client.get(f"{LINKS}/by-payment/{payment_id.upper()}")
    assert response.status_code == 200
    assert response.json == [{"payment_id": payment_id, "ticket_id": "ticket-1"}]


def test_a_ticket_without_payments_gives_204(client, add_payment, link):
    link(add_payment(), "ticket-1")
    response = client.get(f"{LINKS}/by-ticket/ticket-2")
    assert (response.status_code, response.data) == (204, b"")


def test_a_payment_without_tickets_gives_204(client, add_payment):
    response = client.get(f"{LINKS}/by-payment/{add_payment()}")
    assert (response.status_code, response.data) == (204, b"")


@pytest.mark.parametrize("unknown", [NOBODY, "payment-uuid-1"])
def test_the_tickets_of_an_unknown_payment_are_not_found(client, unknown):
    assert client.get(f"{LINKS}/by-payment/{unknown}").status_code == 404


@pytest.mark.parametrize("impossible", ["%20", "x" * 256, "%00", "a%00b"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_path_with_what_cannot_be_a_tickets_id_is_not_found(client, method, impossible):
    assert client.open(f"{LINKS}/by-ticket/{impossible}", method=method).status_code == 404


def test_unlinking_one_ticket_leaves_the_others(client, add_payment, link):
    first, second = add_payment(), add_payment()
    for payment_id, ticket_id in [(first, "t-1"), (first, "t-2"), (second, "t-1")]:
        link(payment_id, ticket_id)
    response = client.delete(f"{LINKS}?paymentId={first.upper()}&ticketId=t-1")
    assert (response.status_code, response.data) == (204, b"")
    assert tickets_of(client, first) == ["t-2"]
    assert tickets_of(client, second) == ["t-1"]


def test_unlinking_a_missing_link_is_not_found(client, add_payment, link):
    payment_id = add_payment()
    link(payment_id, "t-1")
    assert client.delete(f"{LINKS}?paymentId={payment_id}&ticketId=t-2").status_code == 404
    assert client.delete(f"{LINKS}?paymentId={NOBODY}&ticketId=t-1").status_code == 404
    assert tickets_of(client, payment_id) == ["t-1"]


@on_one_engine
@pytest.mark.parametrize(
    ("query", "named"),
    [
        (f"paymentId={NOBODY}", ["ticketId"]),
        ("ticketId=t-1", ["paymentId"]),
        ("", ["paymentId", "ticketId"]),
        ("paymentId=payment-uuid-1&ticketId=t-1", ["paymentId"]),
        (f"paymentId={NOBODY}&ticketId=%00", ["ticketId"]),
        (f"paymentId={NOBODY}&ticketId=t-1&all=1", ["all"]),
        (f"paymentId={NOBODY}&paymentId={NOBODY}&ticketId=t-1", ["paymentId"]),
    ],
)
def test_an_invalid_query_parameter_is_named(client, add_payment, link, query, named):
    payment_id = add_payment()
    link(payment_id, "t-1")
    response = client.delete(f"{LINKS}?{query}")
    assert response.status_code == 422
    assert sorted(response.json["errors"]["query"]) == named
    assert tickets_of(client, payment_id) == ["t-1"]


def test_unlinking_a_ticket_leaves_other_tickets(client, add_payment, link):
    first, second = add_payment(), add_payment()
    for payment_id, ticket_id in [(first, "t-1"), (first, "t-2"), (second, "t-1")]:
        link(payment_id, ticket_id)
    response = client.delete(f"{LINKS}/by-ticket/t-1")
    assert (response.status_code, response.data) == (204, b"")
    assert client.get(f"{LINKS}/by-ticket/t-1").status_code == 204
    assert tickets_of(client, first) == ["t-2"]
    assert len(client.get("/payments").json) == 2


def test_unlinking_a_ticket_that_has_no_payments_succeeds(client):
    assert client.delete(f"{LINKS}/by-ticket/ticket-1").status_code == 204


@pytest.mark.parametrize("bytes_", ["%FF", "%ED%A0%80", "%C3", "ticket%FE", "%EF%BF%BD"])
def test_bytes_that_are_not_text_match_no_ticket(client, add_payment, link, bytes_):
    payment_id = add_payment()
    for ticket_id in ("%FF", "ticket%FE"):
        link(payment_id, ticket_id)
    assert client.get(f"/payments/ticket-payments/by-ticket/{bytes_}").status_code == 404
    assert client.delete(f"/payments/ticket-payments/by-ticket/{bytes_}").status_code == 404
    response = client.delete(f"/payments/ticket-payments?paymentId={payment_id}&ticketId={bytes_}")
    assert response.status_code == 422
    assert list(response.json["errors"]["query"]) == ["ticketId"]
    assert len(client.get(f"/payments/ticket-payments/by-payment/{payment_id}").json) == 2


def test_a_ticket_whose_id_has_lost_a_character_is_rejected(client, add_payment):
    body = {"payment_id": add_payment(), "ticket_id": "ticket-\ufffd"}
    response = client.post("/payments/ticket-payments", json=body)
    assert response.status_code == 422
    assert list(response.json["errors"]["json"]) == ["ticket_id"]
