"""/payments/lightning: invoices, without the thread that settles them"""
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.lightning import LIGHTNING, bitcoin, new_address, wanted
from ..support.payments import BTC, EUR, NOBODY, UNKNOWN
from ..support.rows import stored
from ..support.tokens import make_token


@pytest.fixture
def app_settings(lightning_settings):
    """Return the settings of an application that asks the fake node."""
    return lightning_settings


def test_an_invoice_has_what_was_asked_and_what_was_offered(client, node):
    address = new_address()
    response = client.put(address, json=wanted(memo="Table 4"))
    assert response.status_code == 201, response.text
    (made,) = node.invoices.values()
    assert (made.msat, made.memo, made.external_id) == (12_400_000, "Table 4", address.rpartition("/")[2])
    invoice = response.json
    created, expires = (datetime.fromisoformat(invoice.pop(name)) for name in ("created_at", "expires_at"))
    assert timedelta(seconds=600) <= expires - created < timedelta(seconds=610)
    # The node takes the money for an hour longer.
    assert made.expires_at > expires.timestamp() + 3500
    assert invoice == {
        "id": made.external_id,
        "state": "open",
        "ticket_id": "table-4",
        "currency_id": EUR,
        "currency": "EUR",
        "amount": Decimal("12.40"),
        "amount_sat": 12400,
        "rate": None,
        "memo": "Table 4",
        "bolt11": made.bolt11,
        "payment_hash": made.payment_hash,
        "payment_id": None,
        "received_sat": None,
        "paid_at": None,
    }
    assert client.get(address).json == response.json
    assert client.get(address).headers["Cache-Control"] == "no-store"


def test_the_same_request_leads_to_the_same_invoice(client, node):
    address = new_address()
    first = client.put(address, json=wanted())
    # 12.4 is 12.40, and null is absent.
    again = client.put(address, json=wanted(amount=Decimal("12.4")) | {"memo": None})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json
    assert len(node.invoices) == 1


def test_the_same_request_six_times_at_once_makes_one(app, node):
    address = new_address()

    def put(_):
        response = client_of(app, make_token()).put(address, json=wanted())
        return response.status_code, response.json["bolt11"]

    with ThreadPoolExecutor(6) as tills:
        answers = list(tills.map(put, range(6)))
    assert sorted(status for status, _ in answers) == [200] * 5 + [201]
    assert len({bolt11 for _, bolt11 in answers}) == len(node.invoices) == 1


@pytest.mark.parametrize(
    "changed",
    [{"amount": Decimal("12.41")}, {"amount_sat": 12401}, {"amount_sat": None}, {"ticket_id": "table-5"},
     {"ticket_id": None}, {"memo": "Table 4"}, {"currency_id": BTC, "amount": Decimal("0.00012400")}],
    ids=str,
)
def test_other_content_under_the_same_id_is_a_conflict(client, node, changed):
    address = new_address()
    client.put(address, json=wanted())
    assert client.put(address, json=wanted(**changed)).status_code == 409
    assert client.get(address).json["amount"] == Decimal("12.40")
    assert len(node.invoices) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (wanted(amount=0), "amount"),
        (wanted(amount=Decimal("1.001")), "amount"),
        (wanted(currency_id=UNKNOWN), "currency_id"),
        (wanted(amount_sat=0), "amount_sat"),
        (wanted(amount_sat=Decimal("1.5")), "amount_sat"),
        (wanted(amount_sat="12400"), "amount_sat"),
        (wanted(amount_sat=2_100_000_000_000_001), "amount_sat"),
        (wanted(ticket_id="table-4 "), "ticket_id"),
        (wanted(memo=" "), "memo"),
        (wanted(memo="x" * 129), "memo"),
        (wanted(tip=1), "tip"),
        (bitcoin(amount=Decimal("0.000000001")), "amount"),
        (bitcoin(amount=21_000_001), "amount"),
        (bitcoin(amount_sat=12401), "amount_sat"),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(client, node, body, field):
    response = client.put(new_address(), json=body)
    assert response.status_code == 422
    assert field in response.json["errors"]["json"]
    assert node.calls == []


def test_an_amount_in_bitcoin_is_a_number_of_satoshi(client, node):
    for body in (bitcoin(), bitcoin(amount_sat=12400)):
        invoice = client.put(new_address(), json=body).json
        assert (invoice["amount_sat"], invoice["rate"]) == (12400, None)
    assert not [call for call in node.calls if "rate" in call]


@pytest.mark.parametrize(
    ("rate", "amount", "sat"),
    [("1000.0", "12.40", 12400), ("1234.56789", "30.50", 37654), ("970.873786407767", "0.01", 10), ("1e3", "7", 7000)],
)
def test_the_rate_of_the_node_is_used_and_kept(client, node, rate, amount, sat):
    node.rates["EUR"] = rate
    address = new_address()
    body = wanted(amount=Decimal(amount), amount_sat=None)
    invoice = client.put(address, json=body).json
    assert (invoice["amount_sat"], invoice["rate"]) == (sat, Decimal(rate))
    # It is fixed when the invoice is made.
    node.rates["EUR"] = "2000.0"
    assert client.put(address, json=body).json == invoice


@pytest.mark.parametrize(("rate", "amount"), [("0.001", "0.01"), ("1000000", "999999999999999")])
def test_an_amount_that_is_no_number_of_satoshi_is_422(client, node, rate, amount):
    node.rates["EUR"] = rate
    response = client.put(new_address(), json=wanted(amount=Decimal(amount), amount_sat=None))
    assert response.status_code == 422
    assert "amount" in response.json["errors"]["json"]
    assert node.invoices == {}


def test_without_a_rate_there_is_no_invoice(client, node):
    address = new_address()
    body = wanted(amount_sat=None)
    response = client.put(address, json=body)
    assert response.status_code == 503
    assert "amount_sat" in response.json["message"]
    assert node.invoices == {}
    assert client.get(address).status_code == 404
    node.rates["EUR"] = "1000.0"
    assert client.put(address, json=body).status_code == 201


@pytest.mark.parametrize("trouble", ["down", "malformed", 500, 401, 404])
def test_a_node_in_trouble_is_503_and_a_retry_works_later(client, node, trouble):
    address = new_address()
    node.trouble = trouble
    response = client.put(address, json=wanted())
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert node.key not in response.text
    node.recover()
    assert client.put(address, json=wanted()).status_code == 201


def test_an_invoice_whose_response_got_lost_is_found_again(client, node):
    address = new_address()
    node.trouble = "late"
    assert client.put(address, json=wanted()).status_code == 503
    node.recover()
    assert client.put(address, json=wanted()).status_code == 201
    assert len(node.invoices) == 1


def test_a_found_invoice_over_another_amount_is_not_used(client, node):
    node.rates["EUR"] = "1000.0"
    address = new_address()
    body = wanted(amount_sat=None)
    client.put(new_address(), json=body)
    node.trouble = "late"
    # The rate is read first, and that response gets lost.
    assert client.put(address, json=body).status_code == 503
    node.recover()
    node.add_invoice(address.rpartition("/")[2], 12_399_000, "", 4200)
    assert client.put(address, json=body).json["amount_sat"] == 12400
    assert client.get(address).json["bolt11"] == list(node.invoices.values())[-1].bolt11


def test_an_invoice_over_another_amount_than_asked_is_rejected(client, node):
    address = new_address()
    node.surcharge_msat = 1000
    assert client.put(address, json=wanted()).status_code == 503
    assert client.get(address).status_code == 404


@on_one_engine
@pytest.mark.parametrize("address", [f"{LIGHTNING}/not-a-uuid", f"{LIGHTNING}/{NOBODY}"])
def test_an_invoice_that_does_not_exist_is_404(client, address):
    assert client.get(address).status_code == client.get(f"{address}/qr").status_code == 404
    assert client.delete(address).status_code == 404


@on_one_engine
def test_an_id_that_is_no_uuid_is_404(client):
    assert client.put(f"{LIGHTNING}/1", json=wanted()).status_code == 404


@on_one_engine
def test_without_a_node_every_operation_says_so(make_app):
    client = client_of(make_app(), make_token())
    address = new_address()
    for method, path in [("PUT", address), ("GET", address), ("DELETE", address), ("GET", f"{address}/qr"),
                         ("GET", LIGHTNING), ("POST", f"{LIGHTNING}/wake")]:
        response = client.open(path, method=method, json=wanted() if method == "PUT" else None)
        assert response.status_code == 503
        assert "not configured" in response.json["message"]
        assert "Retry-After" not in response.headers


def test_whoever_made_it_may_see_it_without_reading_others(make_client):
    anna = make_client(userId="anna", permissions=["payments_create"])
    address = new_address()
    assert anna.put(address, json=wanted()).status_code == 201
    assert anna.get(address).status_code == anna.get(f"{address}/qr").status_code == 200
    for other in (make_client(userId="ben", permissions=["payments_create"]),
                  make_client(userId=None, permissions=["payments_create"]),
                  make_client(userId="anna", permissions=["payments_update", "payments_delete"])):
        for path in (address, f"{address}/qr"):
            response = other.get(path)
            assert response.status_code == 403
            assert "payments_read" in response.json["message"]
    assert make_client(userId="ben", permissions=["payments_read"]).get(address).status_code == 200
    assert anna.get(LIGHTNING).status_code == 403


def test_an_invoice_of_nobody_is_not_that_of_another_nobody(make_client):
    nobody = make_client(userId=None, permissions=["payments_create"])
    address = new_address()
    assert nobody.put(address, json=wanted()).status_code == 201
    assert nobody.get(address).status_code == 403


def test_the_qr_code_is_an_svg_of_what_wallets_read(client):
    address = new_address()
    client.put(address, json=wanted())
    response = client.get(f"{address}/qr")
    assert response.status_code == 200
    assert response.content_type == "image/svg+xml"
    assert re.match(rb"<\?xml [^>]*>\s*<svg [^>]*viewBox=", response.data)


def test_money_for_a_withdrawn_invoice_is_recorded(client, node, settle):
    address = new_address()
    payment_hash = client.put(address, json=wanted()).json["payment_hash"]
    for _ in range(2):
        assert client.delete(address).status_code == 204
    invoice = client.get(address).json
    assert (invoice["state"], invoice["bolt11"]) == ("expired", None)
    assert client.put(address, json=wanted()).json["state"] == "expired"
    assert client.get(f"{address}/qr").status_code == 409
    node.pay(payment_hash)
    assert settle() == 1
    assert client.get(address).json["state"] == "paid"


def test_a_withdrawn_request_gets_no_offer_any_more(client, node):
    address = new_address()
    node.trouble = "down"
    assert client.put(address, json=wanted()).status_code == 503
    assert client.delete(address).status_code == 204
    node.recover()
    response = client.put(address, json=wanted())
    assert (response.status_code, response.json["state"], response.json["bolt11"]) == (200, "expired", None)


def test_a_paid_invoice_cannot_be_withdrawn(client, node, settle):
    address = new_address()
    node.pay(client.put(address, json=wanted()).json["payment_hash"])
    settle()
    assert client.delete(address).status_code == 409
    assert client.get(f"{address}/qr").status_code == 409
    assert client.put(address, json=wanted()).json["state"] == "paid"


def make_invoices(client, number, **changed):
    """Make invoices and return their ids."""
    return [client.put(new_address(), json=wanted(**changed)).json["id"] for _ in range(number)]


def ids_of(client, query=""):
    """Return the ids of a list, and check that paging leads to the same ones."""
    whole = [found["id"] for found in client.get(f"{LIGHTNING}?{query}").json or []]
    paged, address = [], f"{LIGHTNING}?limit=2&{query}"
    while address:
        response = client.get(address)
        paged += [found["id"] for found in response.json or []]
        address = (re.match("<http://[^/]*([^>]*)>", response.headers.get("Link", "")) or [None, None])[1]
    assert paged == whole
    return whole


def test_invoices_are_listed_in_the_order_of_making(client):
    assert client.get(LIGHTNING).status_code == 204
    ids = make_invoices(client, 5)
    assert ids_of(client) == ids


def test_lists_are_filtered_by_state_ticket_and_time_of_payment(client, node, settle, rows):
    first, second, third = make_invoices(client, 3)
    (other,) = make_invoices(client, 1, ticket_id="table-5")
    paid = []
    for invoice_id in (second, first):
        node.pay(client.get(f"{LIGHTNING}/{invoice_id}").json["payment_hash"])
        assert settle() == 1
        paid.append(client.get(f"{LIGHTNING}/{invoice_id}").json["paid_at"].replace("+", "%2B"))
    rows.execute("UPDATE lightning_invoice SET expires_at = created_at WHERE id = ?", stored(third))
    (withdrawn,) = make_invoices(client, 1)
    assert client.delete(f"{LIGHTNING}/{withdrawn}").status_code == 204
    node.trouble = "down"
    assert client.put(new_address(), json=wanted()).status_code == 503
    assert ids_of(client, "state=open") == [other]
    assert ids_of(client, "state=expired") == [third, withdrawn]
    assert ids_of(client, "state=paid") == [first, second]
    assert ids_of(client, "ticket_id=table-5") == [other]
    assert ids_of(client, "ticket_id=table-4&state=paid") == [first, second]
    assert ids_of(client, f"paid_from={paid[0]}") == [first, second]
    assert ids_of(client, f"paid_from={paid[1]}") == [first]


@on_one_engine
@pytest.mark.parametrize(
    "query", ["state=withdrawn", "state=", "paid_from=yesterday", "limit=0", "after=x", "ticket_id=", "id=1"]
)
def test_an_invalid_query_is_422(client, query):
    assert client.get(f"{LIGHTNING}?{query}").status_code == 422


def test_an_id_of_any_version_is_accepted(client):
    assert client.put(f"{LIGHTNING}/{str(uuid4()).upper()}", json=wanted()).status_code == 201


def types_of(shown):
    """Return the types of the fields of an object."""
    return {name: type(value) for name, value in shown.items()}


def test_the_examples_in_the_document_are_real(client, node, settle):
    operation = client.get("/openapi.json").json["paths"][f"{LIGHTNING}/{{invoice_id}}"]
    assert "Whoever has made it needs only `payments_create`." in operation["get"]["description"]
    node.rates["EUR"] = "1000.0"
    address = new_address()
    made = client.put(address, json=operation["put"]["requestBody"]["content"]["application/json"]["example"])
    assert made.status_code == 201
    for status in ("200", "201"):
        example = operation["put"]["responses"][status]["content"]["application/json"]["example"]
        assert types_of(example) == types_of(made.json)
    node.pay(made.json["payment_hash"])
    settle()
    example = operation["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert types_of(example) == types_of(client.get(address).json)
