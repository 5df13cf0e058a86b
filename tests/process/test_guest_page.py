"""The page /payments/lightning/{id}/page in a browser, and what the page of the back office shows of invoices"""
from decimal import Decimal

import pytest
from flask.testing import FlaskClient

from ..support.browser import BROWSER, CashUpPage
from ..support.engines import on_sqlite
from ..support.fake_lnbits import FakeLnbits
from ..support.payments import BTC, EUR
from ..support.tokens import make_token

pytestmark = on_sqlite
in_a_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")

INVOICE = "0190a7b4-5c3e-4f0a-9d55-1f2e3d4c5b6a"
PAGE = f"/payments/lightning/{INVOICE}/page"


@pytest.fixture
def node(serve):
    """Start a fake of LNbits that knows a rate for euros."""
    started = FakeLnbits()
    started.rates["EUR"] = "1000.0"
    started.url = serve(started)
    return started


@pytest.fixture
def server(start_server, node):
    """Start a server that uses the node."""
    return start_server(LIGHTNING="lnbits", LIGHTNING_URL=node.url, LIGHTNING_KEY=node.key)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Start a browser for all tests of this module."""
    started = CashUpPage(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


def make_invoice(server, amount="4.20", currency=EUR, ticket="table-4", invoice=INVOICE):
    """Make an invoice and return the response."""
    body = {"ticket_id": ticket, "currency_id": currency, "amount": Decimal(amount)}
    status, made = server.request("PUT", f"/payments/lightning/{invoice}", body)
    assert status == 201, made
    return made


def visit(page, server, token=None):
    """Open the guest's page."""
    page.visit(f"http://127.0.0.1:{server.port}{PAGE}", token)


def test_the_page_and_its_files_need_no_token(app):
    app.test_client_class = FlaskClient
    client = app.test_client()
    response = client.get(PAGE, buffered=True)
    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    policy = "Content-Security-Policy"
    assert response.headers[policy] == client.get("/docs", buffered=True).headers[policy]
    for name, content_type in (("page.css", "text/css"), ("page.js", "text/javascript")):
        response = client.get(f"/payments/lightning/page/{name}", buffered=True)
        assert response.content_type.startswith(content_type)
    assert client.get("/payments/lightning/page/page.html").status_code == 401


@in_a_browser
def test_the_page_says_paid_as_it_happens(server, node, page):
    made = make_invoice(server)
    visit(page, server)
    page.has("main", "4.20 EUR 4200 sat")
    assert page.wait_for("document.querySelector('#qr').naturalWidth > 0")
    assert page.run("document.querySelector('#wallet').href") == f"lightning:{made['bolt11']}"
    page.has("#left", "9:5")
    node.pay(made["payment_hash"])
    page.has("main", "Paid. Thank you!")
    assert not page.run("document.querySelector('#qr').checkVisibility()")
    assert page.complaints() == []


@in_a_browser
def test_the_page_hides_the_code_of_a_withdrawn_invoice(server, page):
    make_invoice(server)
    visit(page, server)
    page.has("main", "4.20 EUR")
    assert server.request("DELETE", f"/payments/lightning/{INVOICE}")[0] == 204
    page.has("main", "This code is no longer valid.")
    assert not page.run("document.querySelector('#qr').checkVisibility()")


@in_a_browser
@pytest.mark.parametrize("token, text", [("", "Nobody is signed in"), (None, "There is no")])
def test_the_page_says_why_it_shows_no_invoice(server, page, token, text):
    visit(page, server, token)
    page.has("main", text)


@in_a_browser
def test_the_page_of_the_guest_needs_only_its_own_user(server, page):
    token = make_token(userId="till-2", permissions=["payments_create"])
    body = {"currency_id": BTC, "amount": Decimal("0.00001000")}
    status, _ = server.request("PUT", f"/payments/lightning/{INVOICE}", body, Cookie=f"accessToken={token}")
    assert status == 201
    visit(page, server, token)
    page.has("main", "0.00001000 BTC 1000 sat")


@in_a_browser
def test_the_back_office_sees_open_and_paid_invoices(server, node, page):
    paid = make_invoice(server, "10.00", ticket="table-1", invoice="0190a7b4-5c3e-4f0a-9d55-1f2e3d4c5b6b")
    node.pay(paid["payment_hash"])
    assert server.request("GET", f"/payments/lightning/{paid['id']}?wait=30")[1]["state"] == "paid"
    make_invoice(server)
    page.show(f"http://127.0.0.1:{server.port}/payments/cash-up")
    page.has("#lightning", "10.00 EUR 10000 paid table-1")
    page.has("#lightning", "4.20 EUR 4200 open, show to the guest table-4")


@in_a_browser
def test_the_back_office_hides_invoices_without_a_node(start_server, page):
    server = start_server()
    page.show(f"http://127.0.0.1:{server.port}/payments/cash-up")
    assert page.run("document.querySelector('#lightning').hidden")
