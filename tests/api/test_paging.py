"""Every list that can be long is read in pages, and streamed without a limit"""
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest
from requests.utils import parse_header_links

from payments_service.store import ticket_payments
from payments_service.web import streaming

from ..support.clients import client_of
from ..support.payments import NOBODY, payment
from ..support.tokens import make_token

LINKS = "/payments/ticket-payments"


@pytest.fixture
def histories(client, add_payment):
    """Return the path of a history with five entries."""
    payment_id = add_payment()
    for amount in range(4):
        client.put(f"/payments/{payment_id}", json=payment(amount=amount, transaction_id=""))
    return f"/payments/{payment_id}/history"


@pytest.fixture
def tickets(add_payment, link):
    """Return the path of the list of five tickets of a payment."""
    payment_id = add_payment()
    for ticket in ("table 9", "table 1", "a~b", "~", "&after=x"):
        link(payment_id, ticket)
    return f"{LINKS}/by-payment/{payment_id}"


@pytest.fixture
def payments(add_payment, link):
    """Return the path of the list of five payments of a ticket."""
    for _ in range(5):
        link(add_payment(), "table/4")
    return f"{LINKS}/by-ticket/table/4"


@pytest.fixture(params=["histories", "tickets", "payments"])
def path(request):
    """Name the path of a list with five items."""
    return request.getfixturevalue(request.param)


def next_page(response, address):
    """Return the address that the Link header leads to, None without one."""
    links = parse_header_links(response.headers.get("Link", ""))
    return urljoin(address, links[0]["url"]) if links else None


def follow(client, address):
    """Return the items of a page and of all that its Link header leads to."""
    items = []
    while address:
        response = client.get(address)
        assert response.status_code == 200
        items.append(response.json)
        address = next_page(response, address)
    return items


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (1000, [5])])
def test_the_pages_are_the_list(client, path, limit, sizes):
    pages = follow(client, f"{path}?limit={limit}")
    assert [len(page) for page in pages] == sizes
    assert [item for page in pages for item in page] == client.get(path).json


def test_a_long_list_is_streamed_byte_for_byte(client, path, monkeypatch):
    whole = client.get(path).data
    monkeypatch.setattr(streaming, "MAX_ITEMS_IN_MEMORY", 2)
    assert client.get(path).data == whole


def test_the_last_page_links_to_no_other(client, path):
    last = next_page(client.get(f"{path}?limit=4"), path).replace("limit=4", "limit=1")
    response = client.get(last)
    assert (response.status_code, len(response.json), next_page(response, path)) == (200, 1, None)


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", ""])
def test_a_wrong_limit_is_rejected(client, path, limit):
    response = client.get(f"{path}?limit={limit}")
    assert (response.status_code, list(response.json["errors"]["query"])) == (422, ["limit"])


@pytest.mark.parametrize("after", ["x", "%00", "1e5", "9" * 30])
def test_a_wrong_after_is_rejected(client, path, after):
    response = client.get(f"{path}?after={after}")
    assert (response.status_code, list(response.json["errors"]["query"])) == (422, ["after"])


def test_other_query_parameters_are_ignored(client, path):
    assert client.get(f"{path}?_=1764061200").json == client.get(path).json


def test_the_after_of_a_ticket_outlives_its_link(client, tickets):
    pages = follow(client, f"{tickets}?limit=1")
    second = next_page(client.get(f"{tickets}?limit=1"), tickets)
    first = pages[0][0]
    client.delete(LINKS, query_string={"paymentId": first["payment_id"], "ticketId": first["ticket_id"]})
    assert follow(client, second) == pages[1:]


def test_a_deleted_payment_keeps_the_pages_of_its_history(client, histories):
    client.delete(histories.removesuffix("/history"))
    assert [len(page) for page in follow(client, f"{histories}?limit=4")] == [4, 2]


@pytest.mark.parametrize("path", [f"/payments/{NOBODY}/history", f"{LINKS}/by-payment/{NOBODY}"])
def test_pages_of_an_unknown_payment_are_404(client, path):
    assert client.get(f"{path}?limit=1").status_code == 404


@pytest.mark.parametrize("batch", [1, 2, 5, 500])
def test_all_links_of_a_ticket_are_unlinked_in_batches(client, payments, batch, monkeypatch):
    monkeypatch.setattr(ticket_payments, "UNLINK_BATCH", batch)
    ids = [item["id"] for item in client.get(payments).json]
    assert client.delete(payments).status_code == 204
    assert client.get(payments).status_code == 204
    for payment_id in ids:
        last = client.get(f"/payments/{payment_id}/history").json[-1]
        assert (last["action"], last["after"]) == ("unlinked", None)
        assert last["before"] == {"payment_id": payment_id, "ticket_id": "table/4"}


def test_two_at_once_unlink_each_payment_once(app, client, payments, monkeypatch):
    monkeypatch.setattr(ticket_payments, "UNLINK_BATCH", 2)
    ids = [item["id"] for item in client.get(payments).json]
    with ThreadPoolExecutor() as threads:
        statuses = list(threads.map(lambda _: client_of(app, make_token()).delete(payments).status_code, range(4)))
    assert statuses == [204] * 4
    for payment_id in ids:
        actions = [entry["action"] for entry in client.get(f"/payments/{payment_id}/history").json]
        assert actions == ["created", "linked", "unlinked"]
