"""The page /docs in a browser"""
import json
import os
import shutil
import subprocess
import time

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ..support.browser import BROWSER, SHOWN_OPERATIONS, Page
from ..support.engines import on_sqlite
from ..support.payments import ENCODER, payment
from ..support.tokens import make_token
from ..support.waiting import wait_until

pytestmark = on_sqlite
in_a_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")

FILES = {
    "swagger-ui.css": "text/css",
    "page.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "page.js": "text/javascript",
}

# Tokens that are made before the first test are used long after.
LATER = int(time.time()) + 24 * 60 * 60
BY_COOKIE = "Signed in with this browser's cookie. Commands for curl take the token from $ACCESS_TOKEN."


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Start a browser for all tests of this module."""
    started = Page(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@in_a_browser
def test_every_operation_is_shown_with_its_permission(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    _, document = server.request("GET", "/openapi.json")
    assert {tuple(operation) for operation in page.run(SHOWN_OPERATIONS)} == {
        (method.upper(), path, operation["security"][0]["accessToken"][0] if operation["security"] else "")
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


@in_a_browser
def test_a_signed_in_user_can_read(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    status, body = page.try_out("get", "/payments/methods")
    assert status == 200
    assert "Cash" in [method["name"] for method in json.loads(body)]


@in_a_browser
def test_a_signed_in_user_can_record_a_payment(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    status, body = page.try_out("post", "/payments")
    assert status == 201
    assert [payment["id"] for payment in server.request("GET", "/payments")[1]] == [json.loads(body)["id"]]


@in_a_browser
def test_amounts_are_shown_with_all_their_decimals(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    assert page.try_out("post", "/payments")[0] == 201
    assert '"amount": 78.90\n' in page.try_out("get", "/payments")[1]


@in_a_browser
def test_only_the_service_is_called_and_the_console_is_empty(server, page):
    origin = f"http://127.0.0.1:{server.port}"
    page.show(f"{origin}/docs")
    page.try_out("get", "/payments/methods")
    page.try_out("post", "/payments")
    files = [f"/docs/{name}" for name in FILES]
    assert set(page.asked()) == {
        origin + path for path in ["/docs", *files, "/openapi.json", "/payments/methods", "/payments"]
    }
    assert page.complaints() == []


@in_a_browser
@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("", "Not signed in. Authorize with an access token."),
        ("not-valid", "Not signed in. The access token is not valid."),
        (make_token(exp=1), "Not signed in. The access token has expired: refresh it."),
        (make_token(exp=LATER), BY_COOKIE),
        (make_token(exp=LATER, permissions=[]), BY_COOKIE),
    ],
    ids=["none", "not valid", "expired", "valid", "without permissions"],
)
def test_the_page_says_whether_a_cookie_signs_in(server, page, token, said):
    page.show(f"http://127.0.0.1:{server.port}/docs", token)
    assert page.sign_in_status() == said


@in_a_browser
@pytest.mark.parametrize(
    ("token", "said", "code"),
    [
        ("not valid", "Not signed in. The access token is not valid.", 401),
        (make_token(exp=1), "Not signed in. The access token has expired: refresh it.", 401),
        (make_token(exp=LATER), "Signed in with the token that you entered.", 201),
        (make_token(exp=LATER, permissions=[]), "Signed in with the token that you entered.", 403),
    ],
    ids=["not valid", "expired", "valid", "without permissions"],
)
@pytest.mark.parametrize("cookie", ["", None], ids=["no cookie", "cookie"])
def test_an_entered_token_counts_whatever_the_cookie(server, page, cookie, token, said, code):
    page.show(f"http://127.0.0.1:{server.port}/docs", cookie)
    page.sign_in_status()
    page.authorize(token)
    wait_until(lambda: page.sign_in_status() == said)
    assert page.try_out("post", "/payments")[0] == code


@in_a_browser
def test_the_page_notices_that_one_is_not_signed_in_any_more(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    assert page.sign_in_status() == BY_COOKIE
    page.call("Network.clearBrowserCookies")
    assert page.try_out("get", "/payments/currencies")[0] == 401
    wait_until(lambda: page.sign_in_status() == "Not signed in. Authorize with an access token.")


@in_a_browser
def test_only_a_token_that_a_page_can_send_can_be_entered(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    page.click(".btn.authorize")
    assert page.wait_for("document.querySelector('.modal-ux-content').innerText").startswith("bearerAuth")
    assert page.run("document.querySelectorAll('.modal-ux-content input').length") == 1


# Characters that mean something to a shell.
TRICKY = "it's \"5\" $HOME \\ `id` !x & table/4?"


@in_a_browser
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("entered", [True, False], ids=["token", "cookie"])
def test_a_copied_command_for_curl_works(server, page, entered):
    token = make_token(exp=LATER)
    page.show(f"http://127.0.0.1:{server.port}/docs", "" if entered else token)
    if entered:
        page.authorize(token)
    variables = {} if entered else {"ACCESS_TOKEN": token}

    def run_copied():
        command = page.copy_curl()
        shell = ["bash", "-c", f"{command} --silent --show-error --write-out '\n%{{http_code}}'"]
        result = subprocess.run(shell, env=os.environ | variables, capture_output=True, text=True, check=True)
        body, _, code = result.stdout.rpartition("\n")
        return int(code), json.loads(body)

    # Not the example: its transaction_id could not be used twice.
    body = ENCODER.encode(payment(transaction_id="")).decode()
    payment_id = json.loads(page.try_out("post", "/payments", body=body)[1])["id"]
    code, copied = run_copied()
    assert code == 201
    assert {listed["id"] for listed in server.request("GET", "/payments")[1]} == {payment_id, copied["id"]}

    server.request("POST", "/payments/ticket-payments", {"payment_id": payment_id, "ticket_id": TRICKY})
    page.show(f"http://127.0.0.1:{server.port}/docs", "" if entered else token)
    if entered:
        page.authorize(token)
    path = "/payments/ticket-payments/by-ticket/{ticket_id}"
    assert page.try_out("get", path, ticket_id=TRICKY)[0] == 200
    code, copied = run_copied()
    assert (code, [listed["ticket_id"] for listed in copied]) == (200, [TRICKY])


@in_a_browser
def test_the_page_calls_its_own_address_whatever_is_documented(app, serve, page):
    def proxied(environ, start_response):
        return app(environ | {"HTTP_HOST": "internal:8080"}, start_response)

    address = serve(proxied)
    page.show(f"{address}/docs")
    assert page.try_out("get", "/payments/methods")[0] == 200
    assert page.complaints() == []
    assert f"'{address}/payments/methods'" in page.copy_curl()


@in_a_browser
def test_the_page_works_where_another_program_mounts_it(app, serve, page):
    page.show(serve(DispatcherMiddleware(NotFound(), {"/pos": app})) + "/pos/docs")
    assert page.try_out("get", "/payments/methods")[0] == 200
    assert page.try_out("post", "/payments")[0] == 201
    assert page.complaints() == []
