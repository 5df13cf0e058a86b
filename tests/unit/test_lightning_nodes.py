"""What the service asks of LNbits and phoenixd, and what it makes of their answers"""
import socket
import threading
import time
from decimal import Decimal

import pytest
from werkzeug import Response
from werkzeug.serving import make_server

from payments_service.errors import BackendFault, SettingError
from payments_service.lightning import Health, Look, client, make_backend
from payments_service.lightning.bolt11 import read_invoice

from ..support.fake_lnbits import FakeLnbits
from ..support.fake_phoenixd import FakePhoenixd
from ..support.serving import serving

FAKES = {"lnbits": FakeLnbits, "phoenixd": FakePhoenixd}
ID = "01950000-0000-7000-8000-0000000000aa"
NO_HASH = "00" * 32
ORDER = {"external_id": ID, "sat": 2100, "memo": "Table 7", "seconds": 4200}


def settings(name, **changed):
    return {"LIGHTNING": name, "LIGHTNING_URL": None, "LIGHTNING_KEY": None, "LIGHTNING_KEY_FILE": None} | changed


def backend_of(name, url, key):
    return make_backend(settings(name, LIGHTNING_URL=url, LIGHTNING_KEY=key))


@pytest.fixture(params=FAKES)
def name(request):
    """Return the name of a kind of node: a test runs with each."""
    return request.param


@pytest.fixture
def fake(name):
    """Make a fake of the node."""
    fake = FAKES[name]()
    yield fake
    fake.recover()


@pytest.fixture
def url(fake, serve):
    """Serve the fake, and return its URL."""
    return serve(fake, threaded=True)


@pytest.fixture
def backend(name, url, fake):
    """Make the backend for the fake, with the key that can only receive."""
    return backend_of(name, url, fake.key)


@pytest.fixture
def short_calls(monkeypatch):
    """Give calls one second."""
    monkeypatch.setattr(client, "CALL_SECONDS", 1)


with_lnbits = pytest.mark.parametrize("name", ["lnbits"], indirect=True)
with_phoenixd = pytest.mark.parametrize("name", ["phoenixd"], indirect=True)

# Invoices


def test_an_invoice_is_made_as_it_was_ordered(backend, fake):
    before = time.time()
    offer = backend.create_invoice(**ORDER)
    invoice = read_invoice(offer.bolt11)
    assert (invoice.amount_msat, invoice.payment_hash) == (2_100_000, offer.payment_hash)
    assert before + 4199 <= invoice.expires_at <= time.time() + 4200
    made = fake.invoices[offer.payment_hash]
    assert (made.external_id, made.memo) == (ID, "Table 7")


@pytest.mark.parametrize(
    "name, memo, written",
    [
        ("phoenixd", "a" * 200, "a" * 128),
        ("phoenixd", "a" * 127 + "🍕", "a" * 127),
        ("phoenixd", "é & ü=+ ☕", "é & ü=+ ☕"),
        ("lnbits", "é" * 320, "é" * 319),
    ],
    indirect=["name"],
)
def test_a_memo_is_cut_off_where_the_node_would_fail(backend, fake, memo, written):
    offer = backend.create_invoice(**ORDER | {"memo": memo})
    assert fake.invoices[offer.payment_hash].memo == written


def test_an_invoice_is_found_after_its_answer_was_lost(backend, fake):
    assert backend.find_invoice(ID) is None
    fake.trouble = "late"
    with pytest.raises(BackendFault):
        backend.create_invoice(**ORDER)
    fake.recover()
    (made,) = fake.invoices.values()
    assert backend.find_invoice(ID) == (made.bolt11, made.payment_hash)
    assert backend.find_invoice(ID.replace("aa", "ab")) is None


def test_an_expired_invoice_is_not_found(backend, fake):
    expired = fake.invoices[backend.create_invoice(**ORDER).payment_hash]
    expired.expires_at = 0
    assert backend.find_invoice(ID) is None


def test_an_lnbits_without_the_filter_finds_no_other_invoice(serve):
    listing = Response(f'[{{"bolt11": "lnbc1", "payment_hash": "{NO_HASH}"}}]', content_type="application/json")
    assert backend_of("lnbits", serve(listing), "key").find_invoice(ID) is None


# Looks


def test_an_invoice_is_open_until_it_is_paid(backend, fake):
    payment_hash = backend.create_invoice(**ORDER).payment_hash
    look = backend.look(payment_hash)
    assert (look.paid, look.received_msat, look.fees_msat) == (False, None, 0)
    fake.pay(payment_hash)
    assert backend.look(payment_hash) == Look(True, 2_100_000, 0)
    assert backend.look(NO_HASH) is None


@with_phoenixd
@pytest.mark.parametrize("received_msat, fees_msat", [(2_234_000, 15_803_000), (2_233_500, 15_803_500)])
def test_phoenixd_tells_what_is_left_after_its_fees(backend, fake, received_msat, fees_msat):
    payment_hash = backend.create_invoice(**ORDER | {"sat": 18037}).payment_hash
    # It responds with whole satoshi and with millisatoshi.
    fake.pay(payment_hash, received_msat, fees_msat)
    assert backend.look(payment_hash)[:3] == (True, received_msat, fees_msat)


def test_less_or_more_than_asked_is_told(backend, fake):
    for received_msat in (2_000_000, 2_200_000):
        payment_hash = backend.create_invoice(**ORDER).payment_hash
        fake.pay(payment_hash, received_msat=received_msat)
        assert backend.look(payment_hash)[:3] == (True, received_msat, 0)


@with_lnbits
def test_an_lnbits_that_cannot_reach_its_node_tells_nothing(backend, fake):
    payment_hash = backend.create_invoice(**ORDER).payment_hash
    fake.pay(payment_hash)
    fake.trouble = "no status"
    assert backend.look(payment_hash) is None
    fake.recover()
    assert backend.look(payment_hash).paid


# Rates


@with_lnbits
@pytest.mark.parametrize(
    "rate, read", [("1040.3288687619931", Decimal("1040.3288687619931")), ("1e3", 1000), ("0.0", None), ("0", None)]
)
def test_a_rate_is_exact_and_zero_is_none(backend, fake, rate, read):
    fake.rates["EUR"] = rate
    assert backend.read_rate("EUR") == read
    assert backend.read_rate("USD") is None


@with_lnbits
@pytest.mark.parametrize("rate", ["-1", "NaN", "Infinity", "1e300", "1e-300", "100000001", '"5"', "null", "1" * 99])
def test_an_impossible_rate_is_a_fault(backend, fake, rate):
    fake.rates["EUR"] = rate
    with pytest.raises(BackendFault):
        backend.read_rate("EUR")


@with_phoenixd
def test_phoenixd_has_no_rates(backend, fake):
    assert backend.read_rate("EUR") is None
    assert not fake.calls


# Faults


def every_call(backend):
    yield lambda: backend.create_invoice(**ORDER)
    yield lambda: backend.find_invoice(ID)
    yield lambda: backend.look(NO_HASH)
    if backend.name == "lnbits":
        yield lambda: backend.read_rate("EUR")


@pytest.mark.parametrize(
    "trouble, reason",
    [
        ("down", "cannot be reached"),
        ("malformed", "invalid JSON"),
        ("huge", "more than 262144 bytes"),
        (401, "rejects the key (status 401)"),
        (403, "does not permit this to the key (status 403)"),
        (429, "limits the rate of calls (status 429)"),
        (500, "fails (status 500)"),
        (502, "fails (status 502)"),
        (302, "redirects, which is not followed (status 302)"),
        (204, "fails (status 204)"),
    ],
)
def test_trouble_of_the_node_is_a_fault_with_its_reason(backend, fake, trouble, reason):
    fake.trouble = trouble
    for call in every_call(backend):
        with pytest.raises(BackendFault) as caught:
            call()
        assert reason in caught.value.reason
        assert caught.value.__cause__ is None
    assert reason in backend.check().fault


@pytest.mark.parametrize("trouble", ["hang", "drip"])
def test_a_call_ends_in_time_whatever_the_node_does(backend, fake, trouble, short_calls):
    fake.trouble = trouble
    with pytest.raises(BackendFault) as caught:
        backend.look(NO_HASH)
    assert caught.value.reason.endswith("does not respond within 1 seconds")


def test_a_call_ends_in_time_if_the_name_is_not_found_out(name, monkeypatch, short_calls):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: released.wait(30) and [])
    with pytest.raises(BackendFault, match="Lightning node"):
        backend_of(name, "https://node.example", "key").look(NO_HASH)
    released.set()


def test_a_port_that_nobody_listens_on_is_a_fault(name):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    assert backend_of(name, url, "key").check().fault.endswith("cannot be reached: Connection refused")


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "null", "1", '"paid"', "{}", '{"paid": "yes", "isPaid": 1}', "[" * 100_000,
        '{"paid": true, "isPaid": true, "details": {"amount": "1"}, "receivedSat": true}',
        '{"paid": true, "isPaid": true, "details": {"amount": 1.5}, "receivedSat": 1.5}',
        '{"paid": true, "isPaid": true, "details": {"amount": 1e99}, "receivedSat": 1e99}',
        '{"paid": true, "isPaid": true, "details": [], "receivedSat": []}',
        '{"payment_hash": "../wallet", "bolt11": "lnbc1", "paymentHash": "../", "serialized": "lnbc1"}',
        f'{{"payment_hash": "{NO_HASH}", "bolt11": "ü", "paymentHash": "{NO_HASH}", "serialized": "ü"}}',
    ],
    ids=lambda body: body[:60],
)
def test_an_answer_of_another_shape_is_a_fault(name, serve, body):
    backend = backend_of(name, serve(Response(body)), "key")
    for call in (lambda: backend.create_invoice(**ORDER), lambda: backend.look(NO_HASH)):
        with pytest.raises(BackendFault):
            call()


# The key and the connection


def test_whether_the_key_can_pay_is_found_out(name, url, fake):
    assert backend_of(name, url, fake.key).check() == Health(None, False)
    assert backend_of(name, url, fake.full_key).check() == Health(None, True)
    health = backend_of(name, url, "wrong").check()
    assert "the key" in health.fault
    assert health.can_pay is None
    assert not fake.invoices


def test_the_key_is_sent_to_no_other_server(name, serve):
    seen = []

    def elsewhere(environ, start_response):
        seen.append(environ)
        return Response("{}")(environ, start_response)

    url = serve(Response(status=307, headers={"Location": serve(elsewhere) + "/"}))
    with pytest.raises(BackendFault, match="try again"):
        backend_of(name, url, "key").create_invoice(**ORDER)
    assert not seen


def test_a_proxy_of_the_environment_is_not_used(backend, monkeypatch):
    for variable in ("http_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert backend.check().fault is None


def test_an_untrusted_certificate_is_a_fault(name, fake):
    with serving(make_server("127.0.0.1", 0, fake, threaded=True, ssl_context="adhoc")) as server:
        assert "no valid certificate" in backend_of(name, f"https://127.0.0.1:{server.port}", "key").check().fault
    assert not fake.calls


def test_the_api_may_be_below_a_path(name, fake, serve):
    def below(environ, start_response):
        assert environ["PATH_INFO"].startswith("/node/")
        return fake(environ | {"PATH_INFO": environ["PATH_INFO"].removeprefix("/node")}, start_response)

    assert backend_of(name, serve(below) + "/node/", fake.key).create_invoice(**ORDER).payment_hash in fake.invoices


# Settings


def test_no_node_is_made_without_the_setting():
    assert make_backend(settings(None)) is None


def test_the_key_is_read_from_a_file(name, url, fake, tmp_path):
    file = tmp_path / "lightning-key"
    file.write_text(f"{fake.key}\n")
    backend = make_backend(settings(name, LIGHTNING_URL=url, LIGHTNING_KEY_FILE=str(file)))
    assert (backend.name, backend.check()) == (name, Health(None, False))


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({}, "PAYMENTS_LIGHTNING_KEY and PAYMENTS_LIGHTNING_KEY_FILE are not set"),
        ({"LIGHTNING_KEY": "secret", "LIGHTNING_KEY_FILE": "/dev/null"}, "must not be set together"),
        ({"LIGHTNING_KEY_FILE": "/nowhere/key"}, "PAYMENTS_LIGHTNING_KEY_FILE /nowhere/key cannot be read"),
        ({"LIGHTNING_KEY_FILE": "/dev/null"}, "PAYMENTS_LIGHTNING_KEY_FILE /dev/null must be one key"),
        ({"LIGHTNING_KEY": "secret\r\nX-Other: 1"}, "PAYMENTS_LIGHTNING_KEY must be one key"),
        ({"LIGHTNING_KEY": "secret ü"}, "PAYMENTS_LIGHTNING_KEY must be one key"),
    ],
)
def test_a_setting_without_a_usable_key_is_rejected(name, changed, reason):
    with pytest.raises(SettingError) as caught:
        make_backend(settings(name, **changed))
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
