"""The addresses that responses name: Location, Link and the document's servers"""
import re
from urllib.parse import urlsplit

import pytest

from ..support.engines import on_one_engine
from ..support.payments import ID, OTHER_ID, payment

LINKS = "/payments/ticket-payments"

# What a client sends, and the address at which it reaches the service.
REACHED = pytest.mark.parametrize(
    ("sent", "root"),
    [
        ({"Host": "box:9154"}, "http://box:9154"),
        ({"Host": "[::1]:9154"}, "http://[::1]:9154"),
        ({"Host": "box", "X-Forwarded-Proto": "https"}, "https://box"),
        ({"Host": "box:8443", "X-Forwarded-Proto": "HTTPS"}, "https://box:8443"),
        ({"Host": "box", "X-Forwarded-Proto": "javascript"}, "http://box"),
        ({"Host": "box", "X-Forwarded-Proto": "https, http"}, "http://box"),
        ({"Host": "box", "X-Forwarded-Host": "other"}, "http://box"),
        ({"Host": "not valid>"}, ""),
        ({"Host": ""}, ""),
    ],
    ids=str,
)


def path_of(response):
    return urlsplit(response.headers["Location"]).path


def test_a_new_payment_is_at_its_location(client):
    response = client.post("/payments", json=payment())
    assert response.headers["Location"] == f"http://localhost/payments/{response.json['id']}"
    assert client.get(path_of(response)).json["id"] == response.json["id"]


def test_a_new_link_is_listed_at_its_location(client, add_payment):
    body = {"payment_id": add_payment(), "ticket_id": "table/4"}
    response = client.post(LINKS, json=body)
    assert response.headers["Location"].startswith("http://localhost/")
    assert client.get(path_of(response)).json == [body]


@pytest.mark.parametrize("path", ["/payments", LINKS])
def test_a_replay_has_the_headers_of_the_first_response(client, add_payment, path):
    body = payment(transaction_id="") if path == "/payments" else {"payment_id": add_payment(), "ticket_id": "t-1"}
    first, again = (client.post(path, json=body, headers={"Idempotency-Key": "key-1"}) for _ in range(2))
    assert again.headers["Idempotency-Replayed"] == "true"
    # Those of the request, not of the response.
    changing = {"X-Request-Id", "Idempotency-Replayed"}
    headers, headers_again = ({n: v for n, v in r.headers if n not in changing} for r in (first, again))
    assert headers == headers_again
    assert headers["Location"]
    assert ("ETag" in headers) == (path == "/payments")


@on_one_engine
@REACHED
def test_a_location_is_where_the_client_reaches_the_service(client, sent, root):
    response = client.post("/payments", json=payment(), headers=sent)
    assert response.headers["Location"] == f"{root}/payments/{response.json['id']}"


@on_one_engine
@REACHED
def test_the_next_page_is_where_the_client_reaches_it(client, insert_payments, sent, root):
    insert_payments({"transaction_id": "txn-1"}, {"transaction_id": "txn-2", "id": OTHER_ID})
    link = client.get("/payments?limit=1", headers=sent).headers["Link"]
    assert re.fullmatch('<(.*)>; rel="next"', link)[1] == f"{root}/payments?limit=1&after={ID}"


@on_one_engine
@REACHED
def test_the_document_names_where_the_client_reaches_it(client, sent, root):
    assert client.get("/openapi.json", headers=sent).json["servers"] == [{"url": root or "/"}]


@on_one_engine
@pytest.mark.parametrize(
    ("prefix", "shown"), [("pos", "pos"), ("a b/caf\u00e9", "a%20b/caf%C3%A9"), ("\u4f1a", "%E4%BC%9A")]
)
def test_addresses_of_a_mounted_service_have_its_prefix(client, insert_payments, prefix, shown):
    insert_payments({"transaction_id": "txn-1"}, {"transaction_id": "txn-2", "id": OTHER_ID})
    mounted, root = {"base_url": f"http://localhost/{prefix}"}, f"http://localhost/{shown}"
    created = client.post("/payments", json=payment(transaction_id=""), **mounted)
    assert created.headers["Location"] == f"{root}/payments/{created.json['id']}"
    assert client.get("/payments?limit=1", **mounted).headers["Link"].startswith(f"<{root}/payments?")
    assert client.get("/openapi.json", **mounted).json["servers"] == [{"url": root}]
