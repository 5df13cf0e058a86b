"""Requests of web pages of other origins"""
import pytest

from payments_service import SettingError

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import OTHER_ID, payment
from ..support.tokens import make_token

pytestmark = on_one_engine

OFFICE = "https://office.example"

HOST = "till.example:8443"

# The decisions of Go's http.CrossOriginProtection for a service at this host.
PASS = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://till.example:8443"},
    {"Origin": "http://till.example:8443"},
    {"Origin": OFFICE},
    {"Sec-Fetch-Site": "cross-site", "Origin": OFFICE},
    {"Sec-Fetch-Site": "same-site", "Origin": OFFICE},
]
REFUSED = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "Same-Origin"},
    {"Sec-Fetch-Site": "anything"},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://till.example:8443"},
    {"Origin": "https://evil.example"},
    {"Origin": "https://till.example"},
    {"Origin": "https://till.example:443"},
    {"Origin": "null"},
    {"Origin": "till.example:8443"},
    {"Origin": "https://[::1"},
    {"Origin": f"{OFFICE}, https://evil.example"},
    {"Origin": f"{OFFICE}.evil.example"},
    {"Origin": OFFICE.upper()},
    {"Origin": f"{OFFICE}/"},
]


@pytest.fixture
def office_app(make_app):
    return make_app(TRUSTED_ORIGINS=OFFICE)


@pytest.fixture
def till(office_app):
    return client_of(office_app, make_token())


@pytest.mark.parametrize("headers", PASS, ids=str)
def test_requests_that_are_not_cross_origin_are_accepted(till, headers):
    assert till.post("/payments", json=payment(), headers=headers | {"Host": HOST}).status_code == 201


@pytest.mark.parametrize("headers", REFUSED, ids=str)
def test_writes_of_a_page_of_another_origin_are_rejected(till, headers):
    for method, path in [("POST", "/payments"), ("PUT", "/payments/x"), ("DELETE", "/payments/x")]:
        response = till.open(path, method=method, json=payment(), headers=headers | {"Host": HOST})
        assert response.status_code == 403
        assert "PAYMENTS_TRUSTED_ORIGINS" in response.json["message"]
        assert "Access-Control-Allow-Origin" not in response.headers
    assert till.get("/payments").status_code == 204


@pytest.mark.parametrize("headers", REFUSED, ids=str)
def test_no_page_of_another_origin_can_see_a_response(till, headers):
    response = till.get("/payments", headers=headers)
    assert response.status_code == 204
    assert not [name for name in response.headers.keys() if name.startswith("Access-Control")]
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("pay_box:9154", "http://pay_box:9154", 201),
        ("box:80", "http://box:80", 201),
        ("box:80", "http://box", 403),
        ("box", "http://box.evil.example", 403),
        ("box", "http://box:9154", 403),
        ("pay_box:9154", "null", 403),
        ("", "null", 403),
        ("a,b", "null", 403),
        ("b c", "http://", 403),
        ("localhost", "capacitor://localhost", 403),
        ("localhost", "http://localhost", 201),
        ("\xff", "null", 403),
    ],
)
def test_the_origin_is_compared_with_the_host_header(till, host, origin, code):
    response = till.post("/payments", json=payment(), headers={"Host": host, "Origin": origin})
    assert response.status_code == code


def test_the_token_is_checked_before_the_origin(office_app):
    response = office_app.test_client().post("/payments", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/payments", "/payments/methods", "/nowhere"])
def test_a_trusted_page_may_read_responses_and_errors(till, path):
    response = till.get(path, headers={"Origin": OFFICE, "Sec-Fetch-Site": "cross-site"})
    assert response.headers["Access-Control-Allow-Origin"] == OFFICE
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    exposed = "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-Id"
    assert response.headers["Access-Control-Expose-Headers"] == exposed


def test_a_trusted_page_may_read_which_page_of_a_list_is_next(till, insert_payments):
    insert_payments({"transaction_id": "txn-1"}, {"transaction_id": "txn-2", "id": OTHER_ID})
    response = till.get("/payments?limit=1", headers={"Origin": OFFICE, "Sec-Fetch-Site": "cross-site"})
    assert response.headers["Link"]
    assert response.headers["Access-Control-Expose-Headers"].endswith(", Link")


def test_a_preflight_request_of_a_trusted_page_needs_no_token(office_app):
    asked = {"Origin": OFFICE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    response = office_app.test_client().options("/payments/x", headers=asked)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == OFFICE
    assert {"PUT", "DELETE"} <= set(response.headers["Access-Control-Allow-Methods"].split(", "))
    allowed = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
    assert response.headers["Access-Control-Allow-Headers"] == allowed
    assert response.headers["Access-Control-Max-Age"] == "600"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_methods_of_other_origins_are_accepted(till, method):
    assert till.open("/payments/methods", method=method, headers={"Origin": "https://evil.example"}).status_code == 200


def test_an_options_request_that_is_no_preflight_needs_a_token(office_app):
    assert office_app.test_client().options("/payments", headers={"Origin": OFFICE}).status_code == 401


def test_a_preflight_request_of_another_page_is_rejected(office_app):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    response = office_app.test_client().options("/payments/x", headers=asked)
    assert response.status_code == 401
    assert not [name for name in response.headers.keys() if name.startswith("Access-Control")]


def test_without_trusted_origins_there_are_no_such_headers(client):
    response = client.get("/payments", headers={"Origin": OFFICE})
    assert not [name for name in response.headers.keys() if name.startswith("Access-Control")]
    assert client.post("/payments", json=payment(), headers={"Origin": OFFICE}).status_code == 403


def test_several_origins_are_trusted(make_app):
    client = client_of(make_app(TRUSTED_ORIGINS=f" {OFFICE}, http://10.0.0.5:3000,http://[fd00::1]"), make_token())
    for number, origin in enumerate([OFFICE, "http://10.0.0.5:3000", "http://[fd00::1]"]):
        sent = payment(transaction_id=f"txn-{number}")
        assert client.post("/payments", json=sent, headers={"Origin": origin}).status_code == 201


@pytest.mark.parametrize(
    "origin",
    [
        *("capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://localhost", "app://.", "app://"),
        *("ionic://", "tauri://", "com.example.till://localhost", "chrome-extension://abcdefghijklm", "app://-:80"),
    ],
)
def test_an_apps_own_pages_may_be_trusted(make_app, origin):
    client = client_of(make_app(TRUSTED_ORIGINS=f"{OFFICE},{origin}"), make_token())
    response = client.post("/payments", json=payment(), headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 201
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert client.post("/payments", json=payment(), headers={"Origin": f"{origin}x"}).status_code == 403


@pytest.mark.parametrize(
    "value",
    [
        *("capacitor:localhost", "app:/", "app:///", "app://localhost/", "app://a b", "file://", "data://", "1app://a"),
        *("htps://office.example", "htttp://office.example", "wss://office.example", "app://*", "://office", "app"),
        "*",
        "null",
        "office.example",
        "https://",
        "https://*.example",
        "https://Office.example",
        "https://me@office.example",
        "ftp://office.example",
        "http://office.example:80",
        f"{OFFICE}:443",
        f"{OFFICE}/",
        f"{OFFICE}/page",
        f"{OFFICE},",
        f"{OFFICE} {OFFICE}",
    ],
)
def test_an_invalid_trusted_origin_stops_the_start(make_new_app, value):
    with pytest.raises(SettingError, match="PAYMENTS_TRUSTED_ORIGINS"):
        make_new_app(TRUSTED_ORIGINS=value)
