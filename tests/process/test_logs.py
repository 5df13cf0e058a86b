"""The log: a line for each request, and no secrets"""
import json
import re
import shlex

import pytest

from ..support.engines import on_sqlite
from ..support.payments import EUR, payment
from ..support.tokens import SECRET, make_token
from ..support.waiting import wait_until

pytestmark = on_sqlite


def lines_of(server):
    """Return the lines that the server has logged, as dictionaries."""
    lines = [shlex.split(line) for line in server.log if line.startswith("time=")]
    return [dict(pair.partition("=")[::2] for pair in line) for line in lines]


def requests_of(server, count):
    """Wait for the lines of a number of requests and return them."""
    wait_until(lambda: len([line for line in lines_of(server) if line["event"] == "request"]) >= count)
    return [line for line in lines_of(server) if line["event"] == "request"]


def test_each_request_is_a_line(server):
    server.request("POST", "/payments", payment(), **{"X-Request-Id": "till-1"})
    server.request("GET", "/payments/payment-uuid-1")
    server.request("GET", "/nowhere")
    lines = requests_of(server, 3)
    assert [{name: line[name] for name in ("method", "route", "status", "user")} for line in lines] == [
        {"method": "POST", "route": "/payments", "status": "201", "user": "12"},
        {"method": "GET", "route": "/payments/<uuid:payment_id>", "status": "404", "user": "12"},
        {"method": "GET", "route": "", "status": "404", "user": "12"},
    ]
    assert lines[0]["request_id"] == "till-1"
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
        assert re.fullmatch(r"\d+\.\d", line["ms"])
        assert line["address"] == "127.0.0.1"


def test_the_lines_are_json_if_that_is_set(start_server):
    server = start_server(LOG_FORMAT="json")
    server.request("GET", "/payments")
    wait_until(lambda: '"event": "request"' in server.log[-1])
    lines = [json.loads(line) for line in server.log]
    assert {"method": "GET", "route": "/payments", "status": 204, "user": "12"}.items() <= lines[-1].items()
    assert [line for line in lines if line["event"] == "Starting"]


def test_errors_of_waitress_are_logged_too(server):
    server.request("GET", "/payments", **{"X-Long": "x" * 20_000})
    (line,) = requests_of(server, 1)
    assert line["status"] == "431"
    assert line["request_id"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ({"exp": 1}, "exp has passed"),
        ({"exp": None}, "exp is missing"),
        ({"exp": "soon"}, "exp is not a number"),
        ({"exp": 1_900_000_000_000}, "exp is more than ten years ahead"),
        ({"iat": 2**33}, "iat is in the future"),
        ({"iat": "now"}, "iat is not a number"),
        ({"nbf": 2**33}, "nbf is in the future"),
        ({"nbf": []}, "nbf is not a number"),
        ({"iss": None}, "iss is missing"),
        ({"iss": "somebody-else"}, "iss is not PAYMENTS_JWT_ISSUER"),
        ({"aud": None}, "aud is missing"),
        ({"aud": "orders"}, "aud is not in PAYMENTS_JWT_AUDIENCE"),
        ({"azp": None}, "azp is missing"),
        ({"azp": "kitchen"}, "azp is not that of PAYMENTS_JWT_REQUIRED_CLAIM"),
        ({"secret": "x" * 64}, "no key verifies the signature"),
        ({"algorithm": "HS512"}, "alg is not HS256"),
        ({"type": "refresh"}, "type is not that of an access token"),
        ({"token_use": "id"}, "token_use is not that of an access token"),
        ({"headers": {"typ": "dpop+jwt"}}, "typ in the header is not that of an access token"),
        ({"scope": "wallet_access"}, "scope is that of a wallet token"),
        ({"scope": 5}, "scope has the wrong type"),
        ({"permissions": "payments_read"}, "permissions has the wrong type"),
        ({"role": {}}, "role has the wrong type"),
        ({"userId": []}, "userId is not the id of a user"),
        ({"userId": "", "sub": "a\nb"}, "sub is not the id of a user"),
        ({"userId": "x" * 9000}, "the token is too long"),
    ],
    ids=str,
)
def test_a_rejected_token_is_a_warning_with_its_reason(make_app, caplog, token, reason):
    app = make_app(JWT_ISSUER="pos-sign-in", JWT_AUDIENCE="payments,reports", JWT_REQUIRED_CLAIM="azp=till")
    cookie = f"accessToken={make_token(**{'iss': 'pos-sign-in', 'aud': 'payments', 'azp': 'till'} | token)}"
    assert app.test_client(use_cookies=False).get("/payments", headers={"Cookie": cookie}).status_code == 401
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert (warning.message, warning.reason) == ("Rejected an access token", reason)


def test_a_request_without_a_token_is_no_warning(app, caplog):
    assert app.test_client().get("/payments").status_code == 401
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_database_error_is_logged_with_request_and_trace(short_timeouts, start_server, rows):
    server = start_server()
    rows.execute("ALTER TABLE payment RENAME TO elsewhere")
    server.request("GET", "/payments", **{"X-Request-Id": "till-1"})
    requests_of(server, 1)
    (line,) = [line for line in lines_of(server) if line["level"] == "error"]
    assert line["request_id"] == "till-1"
    assert line["event"] == "The database failed at GET /payments: no such table: payment"
    assert "exc_info" not in line
    assert any(line.startswith("Traceback") for line in server.log)


def test_an_exception_is_logged_with_request_and_trace(start_server, rows):
    server = start_server()
    rows.execute("ALTER TABLE payment ADD COLUMN unforeseen TEXT CHECK (unforeseen IS NOT NULL)")
    assert server.request("POST", "/payments", payment(), **{"X-Request-Id": "till-1"})[0] == 500
    requests_of(server, 1)
    (line,) = [line for line in lines_of(server) if line["level"] == "error"]
    assert line["request_id"] == "till-1"
    assert any(line.startswith("Traceback") for line in server.log)


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_no_token_cookie_body_or_query_is_in_the_log(start_server, rows, log_format):
    server = start_server(LOG_FORMAT=log_format)
    secrets = {
        "good": make_token(), "expired": make_token(exp=1), "forged": make_token(secret="x" * 64), "junk": "e.y.J" * 9
    }
    for token in secrets.values():
        for method in ("GET", "POST"):
            cookie = f"accessToken={token}; refreshToken=refresh-{token}; session=guest-of-table-4"
            body = payment(transaction_id="guest-of-table-5") if method == "POST" else None
            server.request(method, "/payments?transaction_id=guest-of-table-6", body, Cookie=cookie)
    rows.execute("ALTER TABLE payment RENAME TO elsewhere")
    server.request("POST", "/payments", payment(transaction_id="guest-of-table-5"))
    wait_until(lambda: sum("request" in line and "status" in line for line in server.log) >= 9)
    server.stop()
    log = "".join(server.log)
    for token in secrets.values():
        assert not [part for part in token.split(".") if part in log and len(part) > 9]
    assert not [secret for secret in ("guest-of-table", SECRET, EUR) if secret in log]


def test_control_characters_in_a_log_line_are_escaped(start_server, rows):
    server = start_server()
    rows.execute("ALTER TABLE ticket_payment RENAME TO elsewhere")
    server.request("GET", "/payments/ticket-payments/by-ticket/a%0Atime=0%1B%5B2J%0D")
    requests_of(server, 1)
    (line,) = [line for line in server.log if "level=error" in line]
    assert "a\\ntime=0\\x1b[2J\\r" in line.replace("\\\\", "\\")
    assert not [line for line in server.log if line.startswith("time=0")]


def test_the_start_says_what_it_runs_on(start_server, tmp_path):
    server = start_server()
    (line,) = [line for line in lines_of(server) if line["event"] == "Starting"]
    assert line["version"]
    assert line["database"].startswith("sqlite:////")
    assert (line["keys"], line["keys_from"]) == ("HS256", "PAYMENTS_JWT_SECRET")
    assert [line for line in lines_of(server) if line["event"] == f"Serving on http://127.0.0.1:{server.port}"]


@pytest.mark.parametrize(
    ("trusted", "logged"),
    [
        ("127.0.0.1", "10.0.0.7"),
        ("127.0.0.0/8", "10.0.0.7"),
        ("0.0.0.0/0", "10.0.0.7"),
        ("10.0.0.1", "127.0.0.1"),
        ("10.0.0.0/8", "127.0.0.1"),
        ("::/0", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_clients_address_comes_from_a_trusted_proxy(start_server, trusted, logged):
    server = start_server(TRUSTED_PROXY=trusted)
    server.request("GET", "/payments", **{"X-Forwarded-For": "10.0.0.7"})
    assert [line["address"] for line in requests_of(server, 1)] == [logged]
