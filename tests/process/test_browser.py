"""Pages in a real browser, of other origins and of trusted ones"""
import contextlib
import http.client
import http.server
import json
import os
import queue
import signal
import subprocess

import pytest

from ..support.browser import BROWSER, OPTIONS, RESOLVE
from ..support.engines import on_sqlite
from ..support.payments import ENCODER, payment
from ..support.serving import serving
from ..support.tokens import make_token
from ..support.waiting import wait_until

pytestmark = [on_sqlite, pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")]

# 0 turns off the mode in which Chromium blocks cookies of other sites.
PREFERENCES = {"profile": {"cookie_controls_mode": 0}}

# The service is at 127.0.0.1. Cookies ignore ports, so a page on another port is of the same site.
SITES = pytest.mark.parametrize(("host", "site"), [("127.0.0.1", "same-site"), ("localhost", "cross-site")])

CALLING_PAGE = """<!doctype html><script type="module">
const results = [];
for (const [path, options] of %s) {
    try {
        const answer = await fetch("%s" + path, {credentials: "include", ...options});
        results.push([answer.status, await answer.text()]);
    } catch (error) {
        results.push(error.name);
    }
}
await fetch("/report", {method: "POST", body: JSON.stringify(results)});
</script>"""

# Sent as text/plain, the name and the value of its field make a JSON object.
FORM_PAGE = """<!doctype html><form method="post" enctype="text/plain" action="%s/payments">
<input name='%s' value='"}'></form><script>document.forms[0].submit()</script>"""


class Handler(http.server.BaseHTTPRequestHandler):
    """The request handler of a `Site`."""

    # Browsers open connections that they may not use.
    timeout = 30

    def respond(self):
        """Respond to a request of any method."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        if path == "/sign-in":
            # SameSite=None, so that pages of other sites send it too.
            cookie = f"accessToken={make_token()}; Path=/; HttpOnly; Secure; SameSite=None"
            self.answer(303, [("Location", query), ("Set-Cookie", cookie)])
        elif path == "/page":
            self.answer(200, [("Content-Type", "text/html")], self.server.page.encode())
        elif path == "/report":
            self.server.reports.put(json.loads(body))
            self.answer(204)
        elif path.startswith("/payments"):
            self.pass_on(body)
        else:
            self.answer(404)

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = respond

    def pass_on(self, body):
        """Pass a request on to the service and note it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.service.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            signed_in = "accessToken=" in self.headers.get("Cookie", "")
            self.server.notes.append((self.command, self.headers["Sec-Fetch-Site"], signed_in, response.status))
            self.answer(response.status, response.getheaders(), response.read())

    def answer(self, status, headers=(), body=b""):
        """Send a response that ends with the connection."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Log nothing."""


class Site(http.server.ThreadingHTTPServer):
    """A server of a page. It passes requests on to the service, if there is one, and notes them in `notes`.

    A note is the method, Sec-Fetch-Site, whether there was a token, and the status of the response.
    """

    # So that closing it waits for its threads.
    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.service = None
        self.page = ""
        self.reports = queue.Queue()
        self.notes = []

    def origin(self, host="127.0.0.1"):
        """Return its origin under one of its host names."""
        return f"http://{host}:{self.server_port}"


@pytest.fixture
def make_site():
    """Start sites, which are closed after the test."""
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(serving(Site()))


@pytest.fixture
def front(make_site):
    """Start the site that passes requests on to the service."""
    return make_site()


@pytest.fixture
def elsewhere(make_site):
    """Start a site without the service."""
    return make_site()


@pytest.fixture
def visit(front, elsewhere, tmp_path):
    """Start browsers that sign in and then open a page. They are ended after the test."""
    with contextlib.ExitStack() as started:

        def visit(origin, *options):
            (tmp_path / "profile/Default").mkdir(parents=True)
            (tmp_path / "profile/Default/Preferences").write_text(json.dumps(PREFERENCES))
            log = started.enter_context(open(tmp_path / "browser.log", "w"))
            command = [BROWSER, *OPTIONS, RESOLVE, f"--user-data-dir={tmp_path}/profile", *options]
            browser = subprocess.Popen(
                [*command, f"{front.origin()}/sign-in?{origin}/page"],
                env=os.environ | {"HOME": str(tmp_path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            started.callback(browser.wait, timeout=30)
            started.callback(os.killpg, browser.pid, signal.SIGKILL)

        yield visit


@pytest.fixture
def call(front, visit):
    """Let a page call the service. Return each response's status and text, or the error's name."""

    def call(site, host, calls, *options):
        site.page = CALLING_PAGE % (ENCODER.encode(calls).decode(), front.origin())
        visit(site.origin(host), *options)
        return site.reports.get(timeout=60)

    return call


def sent(method, content_type="application/json", **changed):
    """Return the options of a fetch that sends a payment."""
    body = ENCODER.encode(payment(**changed)).decode()
    return {"method": method, "headers": {"Content-Type": content_type}, "body": body}


def put_and_delete(server):
    """Record two payments. Return a call that changes one and a call that deletes the other."""
    paths = []
    for transaction_id in ("first", "second"):
        status, answer = server.request("POST", "/payments", payment(transaction_id=transaction_id))
        assert status == 201
        paths.append(f"/payments/{answer['id']}")
    return [(paths[0], sent("PUT", transaction_id="changed")), (paths[1], {"method": "DELETE"})]


def transactions(rows):
    """Return the transaction ids of the stored payments."""
    return {transaction_id for transaction_id, in rows.all("SELECT transaction_id FROM payment")}


@SITES
def test_a_page_of_another_origin_can_neither_read_nor_write(
    start_server, front, elsewhere, call, rows, host, site
):
    front.service = start_server()
    calls = [
        ("/payments", {}),
        ("/payments", {"mode": "no-cors"}),
        ("/payments", sent("POST", "text/plain")),
        ("/payments", sent("POST", "text/plain") | {"mode": "no-cors"}),
        ("/payments", sent("POST")),
        *put_and_delete(front.service),
    ]
    # Without CORS a page may send requests, but cannot see the status and the text of the response.
    assert call(elsewhere, host, calls) == ["TypeError", [0, ""], "TypeError", [0, ""]] + ["TypeError"] * 3
    # Requests that need CORS are only preflighted, without the cookie, and never sent.
    reads, posts, asks = ("GET", site, True, 200), ("POST", site, True, 403), ("OPTIONS", site, False, 401)
    assert front.notes == [reads] * 2 + [posts] * 2 + [asks] * 3
    assert transactions(rows) == {"first", "second"}


@SITES
def test_a_browser_without_preflight_requests_is_rejected(
    start_server, front, elsewhere, call, rows, host, site
):
    front.service = start_server()
    calls = [("/payments", sent("POST")), *put_and_delete(front.service)]
    call(elsewhere, host, calls, "--disable-web-security")
    assert front.notes == [(method, site, True, 403) for method in ("POST", "PUT", "DELETE")]
    assert transactions(rows) == {"first", "second"}


@SITES
def test_a_plain_form_of_another_origin_is_rejected(start_server, front, elsewhere, visit, rows, host, site):
    front.service = start_server()
    # The last value is a text, because the form puts "=" between the name and the value.
    body = ENCODER.encode(payment(transaction_id=None) | {"transaction_id": ""}).decode()
    elsewhere.page = FORM_PAGE % (front.origin(), body.removesuffix('"}'))
    visit(elsewhere.origin(host))
    wait_until(lambda: front.notes)
    assert front.notes == [("POST", site, True, 403)]
    assert not transactions(rows)


@pytest.mark.parametrize("trusted", ["127.0.0.1", "localhost", None])
def test_a_page_of_a_trusted_or_the_same_origin_can_write(
    start_server, front, elsewhere, call, rows, trusted
):
    front.service = start_server(TRUSTED_ORIGINS=elsewhere.origin(trusted) if trusted else "")
    calls = [("/payments", sent("POST")), *put_and_delete(front.service), ("/payments", {})]
    results = call(elsewhere, trusted, calls) if trusted else call(front, "127.0.0.1", calls)
    assert [result[0] for result in results] == [201, 200, 204, 200]
    assert {listed["transaction_id"] for listed in json.loads(results[-1][1])} == {"txn-1", "changed"}
    assert transactions(rows) == {"txn-1", "changed"}
