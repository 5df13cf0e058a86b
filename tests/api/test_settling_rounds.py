"""What is recorded of the money that arrives at a Lightning node"""
from decimal import Decimal

import pytest

from payments_service import settling, store
from payments_service.store.currencies import BITCOIN_ID
from payments_service.store.methods import LIGHTNING_ID

from ..support.clients import client_of
from ..support.closings import CLOSINGS, NEXT, close, line_of
from ..support.engines import on_one_engine
from ..support.fake_phoenixd import FakePhoenixd
from ..support.lightning import LIGHTNING, bitcoin, new_address, settings_of, wanted
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, EUR
from ..support.rows import stored
from ..support.tickets import balance, link_share, refund
from ..support.tokens import make_token


@pytest.fixture
def app_settings(lightning_settings):
    """Return the settings of an application that asks the fake node."""
    return lightning_settings


@pytest.fixture
def offer(client):
    """Ask for an invoice, and return it."""

    def offer(**changed):
        response = client.put(new_address(), json=wanted(**changed))
        assert response.status_code == 201, response.text
        return response.json

    return offer


@pytest.fixture
def read(client):
    """Read an invoice again."""
    return lambda invoice: client.get(f"{LIGHTNING}/{invoice['id']}").json


def payments_of(client, ticket_id="table-4"):
    """Return the payments of a ticket."""
    return client.get(f"/payments/ticket-payments/by-ticket/{ticket_id}").json or []


def test_the_money_is_recorded_as_asked_with_its_ticket(client, node, offer, settle, read):
    invoice = offer()
    assert settle() == 0
    node.pay(invoice["payment_hash"])
    assert settle() == 1
    (recorded,) = payments_of(client)
    assert (recorded["method_id"], recorded["currency_id"]) == (BITCOIN_LIGHTNING, EUR)
    assert recorded["transaction_id"] == invoice["payment_hash"]
    assert recorded["amount"] == recorded["share"] == Decimal("12.40")
    paid = read(invoice)
    assert (paid["state"], paid["payment_id"], paid["received_sat"]) == ("paid", recorded["id"], 12400)
    assert settle() == 0
    assert len(client.get("/payments").json) == 1


def test_an_invoice_without_a_ticket_is_a_payment_alone(client, node, offer, settle):
    node.pay(offer(ticket_id=None)["payment_hash"])
    assert settle() == 1
    (recorded,) = client.get("/payments").json
    assert client.get(f"/payments/ticket-payments/by-payment/{recorded['id']}").status_code == 204


def test_the_history_names_who_asked_and_their_request(app, node, settle, client):
    anna = client_of(app, make_token(userId="anna"))
    response = anna.put(new_address(), json=bitcoin(), headers={"X-Request-Id": "till-3-request-9"})
    node.pay(response.json["payment_hash"])
    settle()
    (recorded,) = client.get("/payments").json
    history = client.get(f"/payments/{recorded['id']}/history").json
    assert [entry["action"] for entry in history] == ["created", "linked"]
    assert {(entry["user_id"], entry["request_id"]) for entry in history} == {("anna", "till-3-request-9")}


@pytest.mark.parametrize("trouble", ["down", "malformed", "no status", 500, 404, 401])
def test_silence_is_neither_unpaid_nor_expired(node, offer, settle, read, trouble):
    invoice = offer()
    node.pay(invoice["payment_hash"])
    node.trouble = trouble
    assert settle() == 0
    assert read(invoice)["state"] == "open"
    node.recover()
    assert settle() == 1


def test_late_money_is_recorded(node, offer, settle, read, rows):
    invoice = offer()
    rows.execute("UPDATE lightning_invoice SET expires_at = created_at")
    assert settle() == 0
    assert read(invoice)["state"] == "expired"
    node.pay(invoice["payment_hash"])
    assert settle() == 1
    assert read(invoice)["state"] == "paid"


def test_late_money_for_a_ticket_that_was_paid_is_recorded(client, node, offer, settle, add_payment):
    invoice = offer()
    assert link_share(client, add_payment(amount=Decimal("12.40")), "table-4", "12.40", "12.40") == 201
    node.pay(invoice["payment_hash"])
    assert settle() == 1
    (found,) = balance(client, "table-4", f"currency_id={EUR}&total=12.40")
    # A person gives it back.
    assert (found["paid"], found["remaining"]) == ("24.80", "-12.40")


def test_less_than_asked_is_not_recorded_but_named(app, node, offer, settle, read, client, add_payment, caplog):
    invoice = offer()
    node.pay(invoice["payment_hash"], received_msat=12_399_000)
    for _ in range(2):
        assert settle() == 0
    found = read(invoice)
    assert (found["state"], found["received_sat"], found["payment_id"]) == ("open", 12399, None)
    assert client.get("/payments").status_code == 204
    # Once, not at each look.
    assert len([record for record in caplog.records if "Less arrived" in record.message]) == 1
    named = f"12399000 of 12400000 msat arrived for invoice {invoice['id']}"
    assert named in app.test_cli_runner().invoke(args=["doctor"]).output
    # Until somebody records what arrived.
    add_payment(method_id=BITCOIN_LIGHTNING, transaction_id=invoice["payment_hash"], amount=Decimal("12.39"))
    assert named not in app.test_cli_runner().invoke(args=["doctor"]).output


def test_more_than_asked_is_recorded_as_asked(client, node, offer, settle, read):
    invoice = offer()
    node.pay(invoice["payment_hash"], received_msat=15_000_000)
    assert settle() == 1
    assert payments_of(client)[0]["amount"] == Decimal("12.40")
    assert read(invoice)["received_sat"] == 15000


def test_what_a_node_keeps_as_fees_counts_as_received(make_app, serve):
    node = FakePhoenixd()
    app = make_app(**settings_of(node, serve(node, threaded=True)))
    client = client_of(app, make_token())
    invoice = client.put(new_address(), json=bitcoin(amount=Decimal("0.00018037"))).json
    # phoenixd drops fractions of a satoshi.
    node.pay(invoice["payment_hash"], received_msat=2_233_000, fees_msat=15_803_001)
    assert app.extensions["payments"].settler.run_round() == (1, None)
    assert payments_of(client)[0]["amount"] == Decimal("0.00018037")
    assert client.get(f"{LIGHTNING}/{invoice['id']}").json["received_sat"] == 2233


def test_a_payment_recorded_by_hand_is_adopted(client, node, offer, settle, read, add_payment):
    invoice = offer()
    by_hand = add_payment(
        method_id=BITCOIN_LIGHTNING, transaction_id=invoice["payment_hash"], amount=Decimal("12.40")
    )
    node.pay(invoice["payment_hash"])
    assert settle() == 1
    assert read(invoice)["payment_id"] == by_hand
    # It gets the ticket that it lacks.
    assert [(found["id"], found["share"]) for found in payments_of(client)] == [(by_hand, Decimal("12.40"))]
    assert len(client.get("/payments").json) == 1


def test_a_payment_recorded_by_the_whole_invoice_is_adopted(node, offer, settle, read, add_payment):
    invoice = offer()
    by_hand = add_payment(transaction_id=invoice["bolt11"].upper(), amount=Decimal("12.40"))
    node.pay(invoice["payment_hash"])
    settle()
    assert read(invoice)["payment_id"] == by_hand


@pytest.mark.parametrize(
    ("fields", "tickets"),
    [
        # It has this ticket, another one, or its money cannot be this ticket's share.
        ({"amount": Decimal("12.40")}, [("table-4", None)]),
        ({"amount": Decimal("12.40")}, [("table-5", "12.40")]),
        ({"amount": Decimal("12.39")}, []),
        ({"amount": Decimal("12.40"), "tip": Decimal("0.01")}, []),
        ({"amount": Decimal("0.00012400"), "currency_id": BTC}, []),
    ],
    ids=str,
)
def test_an_adopted_payment_keeps_what_a_person_said(client, node, offer, settle, add_payment, fields, tickets):
    invoice = offer()
    by_hand = add_payment(transaction_id=invoice["payment_hash"], **fields)
    for ticket_id, share in tickets:
        assert link_share(client, by_hand, ticket_id, share) == 201
    node.pay(invoice["payment_hash"])
    assert settle() == 1
    links = client.get(f"/payments/ticket-payments/by-payment/{by_hand}").json
    expected = tickets or [("table-4", None)]
    assert [(link["ticket_id"], link.get("share")) for link in links] == [
        (ticket_id, share and Decimal(share)) for ticket_id, share in expected
    ]
    assert client.get(f"/payments/{by_hand}").json["amount"] == fields["amount"]


def test_it_belongs_to_the_closing_that_is_open_when_it_comes(client, node, offer, settle):
    invoice = offer()
    assert close(client) == 1
    node.pay(invoice["payment_hash"])
    settle()
    assert client.get(f"{CLOSINGS}/1").json["lines"] == []
    assert line_of(client.get(NEXT).json, BITCOIN_LIGHTNING, EUR)["payments"] == Decimal("12.40")


def test_it_is_recorded_whatever_method_and_currency_are_named(app, client, node, offer, settle):
    invoice = offer()
    with app.app_context():
        store.methods.rename("Bitcoin Lightning", "Lightning")
        store.methods.add("Bitcoin Lightning")
        store.currencies.rename("EUR", "EURO")
    node.pay(invoice["payment_hash"])
    assert settle() == 1
    assert payments_of(client)[0]["method_id"] == BITCOIN_LIGHTNING


def test_the_ids_of_a_new_installation_are_those_in_the_code(client):
    names = {method["id"]: method["name"] for method in client.get("/payments/methods").json}
    assert names[str(LIGHTNING_ID)] == "Bitcoin Lightning"
    acronyms = {currency["id"]: currency["acronym"] for currency in client.get("/payments/currencies").json}
    assert acronyms[str(BITCOIN_ID)] == "BTC"


def test_it_can_be_refunded_and_verified_like_any_other(client, node, offer, settle, read, verify):
    invoice = offer()
    node.pay(invoice["payment_hash"])
    settle()
    payment_id = read(invoice)["payment_id"]
    assert refund(client, payment_id, "12.40", method_id=CASH).status_code == 201
    close(client)
    verify()


def test_a_paid_invoice_without_its_payment_is_named(app, node, offer, settle, rows):
    invoice = offer()
    node.pay(invoice["payment_hash"])
    settle()
    other = "00000000-0000-7000-8000-00000000beef"
    rows.execute("UPDATE lightning_invoice SET payment_id = ?", stored(other))
    result = app.test_cli_runner().invoke(args=["verify"])
    assert result.exit_code == 1
    assert f"Lightning invoice {invoice['id']}" in result.output


def test_a_deleted_payment_is_not_recorded_again(client, node, offer, settle, read, verify):
    invoice = offer(ticket_id=None)
    node.pay(invoice["payment_hash"])
    settle()
    assert client.delete(f"/payments/{read(invoice)['payment_id']}").status_code == 204
    assert settle() == 0
    assert client.get("/payments").status_code == 204
    verify()


@on_one_engine
def test_a_fault_of_one_invoice_leaves_the_others(app, node, offer, read, monkeypatch):
    broken, paid = offer(), offer()
    node.pay(paid["payment_hash"])
    respond = node.respond

    def fail_at_one(request):
        if broken["payment_hash"] in request.path:
            raise RuntimeError("a bug of the node")
        return respond(request)

    monkeypatch.setattr(node, "respond", fail_at_one)
    recorded, fault = app.extensions["payments"].settler.run_round(is_whole=True)
    assert recorded == 1
    assert fault
    assert [read(invoice)["state"] for invoice in (broken, paid)] == ["open", "paid"]


@on_one_engine
def test_more_invoices_than_fit_into_a_round_get_their_turn(app, node, offer, monkeypatch):
    # A look takes longer than a round.
    monkeypatch.setattr(settling, "ROUND_SECONDS", 1 / 1000)
    monkeypatch.setattr(settling, "LOOK_SECONDS", 0)
    hashes = {offer()["payment_hash"] for _ in range(5)}
    node.calls.clear()
    for _ in range(20):
        app.extensions["payments"].settler.run_round()
    assert {call.rpartition("/")[2] for call in node.calls} == hashes


@on_one_engine
def test_a_payment_that_cannot_be_recorded_leaves_the_others(app, node, offer, read, monkeypatch):
    broken, paid = offer(), offer()
    for invoice in (broken, paid):
        node.pay(invoice["payment_hash"])
    settle = store.lightning_invoices.settle

    def fail_at_one(invoice_id, **arrived):
        if str(invoice_id) == broken["id"]:
            raise RuntimeError("a bug")
        return settle(invoice_id, **arrived)

    with monkeypatch.context() as patched:
        patched.setattr(store.lightning_invoices, "settle", fail_at_one)
        with pytest.raises(RuntimeError, match="a bug"):
            app.extensions["payments"].settler.run_round()
    assert [read(invoice)["state"] for invoice in (broken, paid)] == ["open", "paid"]
    assert app.extensions["payments"].settler.run_round(is_whole=True) == (1, None)


@on_one_engine
def test_a_node_that_fails_is_left_alone_until_somebody_wakes(app, client, node, offer):
    settler = app.extensions["payments"].settler
    for _ in range(3):
        offer()
    node.trouble = 500
    node.calls.clear()
    settler.run_round()
    # The first fault may be that of one invoice.
    assert len(node.calls) == 2
    settler.run_round()
    assert len(node.calls) == 2
    assert app.test_client().post(f"{LIGHTNING}/wake", data="x" * 100_000).status_code == 204
    settler.run_round()
    assert len(node.calls) == 3
    assert 'payments_lightning_backend_errors_total{backend="lnbits"} 3.0' in client.get("/metrics").text


@on_one_engine
def test_an_invoice_that_was_paid_is_not_asked_about_again(node, offer, settle):
    node.pay(offer()["payment_hash"])
    settle()
    node.calls.clear()
    settle()
    assert node.calls == []


@on_one_engine
def test_the_metrics_tell_of_open_invoices(client, node, offer, settle):
    invoice = offer()
    offer()
    settle()
    assert "payments_lightning_open_invoices 2.0" in client.get("/metrics").text
    node.pay(invoice["payment_hash"])
    settle()
    settle()
    metrics = client.get("/metrics").text
    assert "payments_lightning_open_invoices 1.0" in metrics
    assert "payments_lightning_settle_seconds_count 1.0" in metrics


@on_one_engine
def test_the_command_settles_once_and_says_so(app, client, node, offer):
    invoices = [offer() for _ in range(3)]
    for invoice in invoices[1:]:
        node.pay(invoice["payment_hash"])
    runner = app.test_cli_runner()
    assert runner.invoke(args=["settle"]).output == "Payments recorded: 2.\n"
    assert runner.invoke(args=["settle"]).output == "Payments recorded: 0.\n"
    node.trouble = 500
    failed = runner.invoke(args=["settle"])
    assert (failed.exit_code, "status 500" in failed.output) == (1, True)


@on_one_engine
def test_the_command_needs_a_node(make_app):
    result = make_app().test_cli_runner().invoke(args=["settle"])
    assert (result.exit_code, "not configured" in result.output) == (1, True)


@on_one_engine
@pytest.mark.parametrize(
    ("key", "trouble", "line"),
    [
        ("key", None, "ok      lightning: lnbits responds, and the key can only receive"),
        ("full_key", None, "fault   lightning: lnbits lets the key send money"),
        ("key", "down", "fault   lightning: lnbits cannot be used"),
    ],
)
def test_the_doctor_tells_of_the_node(make_app, node, lightning_settings, key, trouble, line):
    app = make_app(**lightning_settings | {"LIGHTNING_KEY": getattr(node, key)})
    node.trouble = trouble
    output = app.test_cli_runner().invoke(args=["doctor"]).output
    assert line in output
    assert getattr(node, key) not in output


@on_one_engine
def test_the_doctor_tells_of_a_key_that_all_users_can_read(make_app, node, lightning_settings, tmp_path):
    file = tmp_path / "key"
    file.write_text(node.key)
    app = make_app(**lightning_settings | {"LIGHTNING_KEY": "", "LIGHTNING_KEY_FILE": str(file)})
    for mode, is_named in ((0o644, True), (0o640, False)):
        file.chmod(mode)
        output = app.test_cli_runner().invoke(args=["doctor"]).output
        assert (f"chmod o= {file}" in output) is is_named


@on_one_engine
def test_the_doctor_names_what_the_node_does_not_know(app, node, offer):
    invoice = offer()
    # It was restored from a backup.
    node.invoices.clear()
    assert f"does not know invoice {invoice['id']}" in app.test_cli_runner().invoke(args=["doctor"]).output


@on_one_engine
def test_the_doctor_says_nothing_without_a_node(make_app):
    assert "lightning" not in make_app().test_cli_runner().invoke(args=["doctor"]).output
