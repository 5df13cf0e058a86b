"""The page /docs in a browser"""
import contextlib
import json
import threading

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from ..support.browser import BROWSER, SHOWN_OPERATIONS, Page
from ..support.engines import on_sqlite

pytestmark = on_sqlite
in_a_browser = pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")

FILES = {
    "swagger-ui.css": "text/css",
    "page.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "page.js": "text/javascript",
}


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
        (method.upper(), path, operation["security"][0]["accessToken"][0] if "security" in operation else "")
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
    assert sorted(page.asked()) == sorted(
        origin + path for path in ["/docs", *files, "/openapi.json", "/payments/methods", "/payments"]
    )
    assert page.complaints() == []


@pytest.fixture
def serve():
    """Serve a WSGI application in a thread until the end of the test. Return its origin."""
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
def test_the_page_works_where_another_program_mounts_it(app, serve, page):
    page.show(serve(DispatcherMiddleware(NotFound(), {"/pos": app})) + "/pos/docs")
    assert page.try_out("get", "/payments/methods")[0] == 200
    assert page.try_out("post", "/payments")[0] == 201
    assert page.complaints() == []
