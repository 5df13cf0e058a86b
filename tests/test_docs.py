"""/docs, the page that shows /openapi.json and lets a browser call what it describes"""
import contextlib
import functools
import json
import os
import re
import select
import signal
import threading

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from .conftest import client_of, make_token, on_sqlite
from .postgresql import wait_until
from .test_browser import BROWSER, OPTIONS, RESOLVE

pytestmark = on_sqlite
in_a_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")

FILES = {
    "swagger-ui.css": "text/css",
    "page.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "page.js": "text/javascript",
}
each_file = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def get(app):
    """Let clients ask for what is no operation; ask without a token and read the answer to its end."""
    app.test_client_class = FlaskClient
    return functools.partial(app.test_client().get, buffered=True)


def test_the_page_is_shown_without_a_token(get):
    response = get("/docs")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"


def test_the_page_may_run_and_ask_for_nothing_but_the_service(get):
    headers = get("/docs").headers
    policy = dict(directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_is_made_of_exactly_the_files_that_are_served(get):
    addresses = re.findall('(?:href|src)="(.*?)"', get("/docs").text)
    assert addresses == ["data:,"] + [f"docs/{name}" for name in FILES]


@each_file
def test_a_file_has_its_type_and_needs_no_token(get, name):
    response = get(f"/docs/{name}")
    assert response.status_code == 200
    assert response.content_type == f"{FILES[name]}; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in FILES)])
def test_a_browser_keeps_what_it_has_and_asks_whether_it_is_still_the_newest(get, path):
    response = get(path)
    assert response.headers["Cache-Control"] == "no-cache"
    again = get(path, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    """__init__.py page.html index.html oauth2-redirect.html swagger-ui.js PAGE.JS page.js/ page.js%00 page.js%0a
    /page.js ./page.js ../openapi.json ../methods.py ..%2fmethods.py %2e%2e/methods.py ..%5cmethods.py
    ../../../requirements.txt %2fetc%2fpasswd /etc/passwd swagger-ui.css/../swagger-ui.js""".split(),
)
def test_no_other_file_is_served(app, get, name):
    assert get(f"/docs/{name}").status_code == 401
    assert client_of(app, make_token()).get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/docs/page.js", "/docs/swagger-ui.css"])
def test_the_page_is_only_for_reading(app, get, path):
    response = client_of(app, make_token()).post(path)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


class Browser:
    """A headless Chromium and its newest tab, driven by its DevTools protocol: JSON before NULs, on its fds 3 and 4."""

    def __init__(self, folder):
        self.output, fd_4 = os.pipe()
        fd_3, self.input = os.pipe()
        log = os.O_WRONLY | os.O_CREAT
        self.pid = os.posix_spawn(
            BROWSER,
            [BROWSER, *OPTIONS, RESOLVE, "--remote-debugging-pipe", f"--user-data-dir={folder}/profile"],
            os.environ | {"HOME": str(folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{folder}/browser.log", log, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, fd_3, 3),
                (os.POSIX_SPAWN_DUP2, fd_4, 4),
            ],
            setsid=True,
        )
        os.close(fd_3)
        os.close(fd_4)
        self.received = b""
        self.called = 0
        self.session = {}
        self.events = []

    def open(self):
        """Open a tab; `events` has what happens in it."""
        self.session, self.events = {}, []
        target = self.call("Target.createTarget", url="about:blank")
        self.session = {"sessionId": self.call("Target.attachToTarget", **target, flatten=True)["sessionId"]}
        for domain in ("Network", "Log", "Runtime", "Audits"):
            self.call(f"{domain}.enable")

    def close(self):
        """End it."""
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.input)
        os.close(self.output)

    def call(self, method, **params):
        """Return the result of a method of the protocol."""
        self.called += 1
        message = {"id": self.called, "method": method, "params": params} | self.session
        os.write(self.input, json.dumps(message).encode() + b"\0")
        while (message := self.receive()).get("id") != self.called:
            if message.get("sessionId") == self.session.get("sessionId"):
                self.events.append(message)
        assert "error" not in message, message
        return message["result"]

    def receive(self):
        """Return its next message."""
        while b"\0" not in self.received:
            assert select.select([self.output], [], [], 60)[0]
            received = os.read(self.output, 1 << 16)
            assert received, "Chromium has ended"
            self.received += received
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def run(self, script):
        """Return what a script gives."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, script):
        """Return what a script gives as soon as that is true."""
        return wait_until(lambda: self.run(script))


OPERATIONS = """[...document.querySelectorAll(".opblock")].map(block => [
    block.querySelector(".opblock-summary-method").innerText,
    block.querySelector(".opblock-summary-path").dataset.path,
    block.querySelector(".permission").innerText,
])"""


class Page(Browser):
    """The page, for someone who is signed in."""

    def show(self, address):
        """Sign in and show the page at an address."""
        self.open()
        cookie = {"name": "accessToken", "value": make_token(), "httpOnly": True, "sameSite": "Lax"}
        self.call("Network.setCookie", url=address, **cookie)
        self.call("Page.navigate", url=address)
        self.wait_for("document.querySelectorAll('.opblock').length")

    def try_out(self, method, path):
        """Expand an operation, try it with what it suggests, and return the status and the body that are shown."""
        block = f"document.querySelector('.opblock-{method}:has([data-path=\"{path}\"])')"
        for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
            self.wait_for(f"!!{block}.querySelector('{button}')")
            self.run(f"{block}.querySelector('{button}').click()")
        answer = f"{block}.querySelector('.live-responses-table .response')"
        self.wait_for(f"!!{answer}?.querySelector('pre')")
        return (
            int(self.run(f"{answer}.querySelector('.response-col_status').innerText")),
            self.run(f"{answer}.querySelector('pre').innerText"),
        )

    def asked(self):
        """Return the addresses that it has asked for, other than those that hold what they lead to."""
        self.run("0")
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")]

    def complaints(self):
        """Return what the console shows, and what the page's policy blocked."""
        self.run("0")
        return [
            event
            for event in self.events
            if event["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
            or event["method"] == "Audits.issueAdded"
            and event["params"]["issue"]["code"] == "ContentSecurityPolicyIssue"
        ]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Start a browser, which is ended after these tests."""
    started = Page(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@in_a_browser
def test_every_operation_of_the_document_is_shown_with_its_permission(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    _, document = server.request("GET", "/openapi.json")
    assert {tuple(operation) for operation in page.run(OPERATIONS)} == {
        (method.upper(), path, operation["security"][0]["accessToken"][0] if "security" in operation else "")
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


@in_a_browser
def test_who_is_signed_in_can_read(server, page):
    page.show(f"http://127.0.0.1:{server.port}/docs")
    status, body = page.try_out("get", "/payments/methods")
    assert status == 200
    assert "Cash" in [method["name"] for method in json.loads(body)]


@in_a_browser
def test_who_is_signed_in_can_record_a_payment(server, page):
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
def test_nobody_but_the_service_is_asked_and_the_console_stays_empty(server, page):
    origin = f"http://127.0.0.1:{server.port}"
    page.show(f"{origin}/docs")
    page.try_out("get", "/payments/methods")
    page.try_out("post", "/payments")
    files = [f"/docs/{name}" for name in FILES]
    assert sorted(page.asked()) == sorted(
        origin + path for path in ["/docs", *files, "/openapi.json", "/payments/methods", "/payments"]
    )
    assert page.complaints() == []


@pytest.fixture
def serve():
    """Serve a WSGI application in a thread, which is ended after the test, and return its origin."""
    with contextlib.ExitStack() as started:

        def serve(application):
            server = started.enter_context(make_server("127.0.0.1", 0, application))
            thread = threading.Thread(target=server.serve_forever, args=[1 / 100])
            thread.start()
            started.callback(thread.join)
            started.callback(server.shutdown)
            return f"http://127.0.0.1:{server.port}"

        yield serve


@in_a_browser
def test_it_works_where_another_program_mounts_it(app, serve, page):
    page.show(serve(DispatcherMiddleware(NotFound(), {"/pos": app})) + "/pos/docs")
    assert page.try_out("get", "/payments/methods")[0] == 200
    assert page.try_out("post", "/payments")[0] == 201
    assert page.complaints() == []
