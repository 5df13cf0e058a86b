"""The page /docs, which shows /openapi.json and can call its operations"""
import functools
import re
import time

import pytest
from flask.testing import FlaskClient

from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.tokens import make_token

pytestmark = on_sqlite

FILES = {
    "swagger-ui.css": "text/css",
    "page.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "page.js": "text/javascript",
}
each_file = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def get(app):
    """Send a request without a token, to any path, and read the whole response."""
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
    addresses = re.findall('<(?:link|script).* (?:href|src)="(.*?)"', get("/docs").text)
    assert addresses == ["data:,"] + [f"docs/{name}" for name in FILES]


def test_the_page_leads_to_the_page_for_cashing_up(get):
    assert re.findall('<a href="(.*?)"', get("/docs").text) == ["payments/cash-up"]


@each_file
def test_a_file_has_its_type_and_needs_no_token(get, name):
    response = get(f"/docs/{name}")
    assert response.status_code == 200
    assert response.content_type == f"{FILES[name]}; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in FILES)])
def test_a_browser_caches_the_page_and_revalidates_it(get, path):
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


@pytest.mark.parametrize("path", ["/", "/docs/"])
@pytest.mark.parametrize("mount", ["", "/pos"])
def test_addresses_that_people_try_lead_to_the_page(get, path, mount):
    response = get(path, base_url=f"http://box:9154{mount}")
    assert (response.status_code, response.headers["Location"]) == (302, f"http://box:9154{mount}/docs")
    assert response.data == b"" and "Content-Type" not in response.headers
    assert get(path, base_url=f"http://box:9154{mount}", follow_redirects=True).text.startswith("<!doctype html>")


PUBLIC = ["/", "/docs", "/docs/", "/docs/page.js", "/docs/swagger-ui.css"]
PUBLIC += ["/openapi.json", "/health/live", "/health/ready", "/metrics"]


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "MADEUP"])
@pytest.mark.parametrize(
    "token",
    [None, "not valid", make_token(exp=int(time.time()) + 24 * 60 * 60)],
    ids=["no token", "bad token", "token"],
)
def test_public_addresses_are_only_for_reading(app, get, path, method, token):
    client = client_of(app, token) if token else app.test_client()
    response = client.open(path, method=method)
    assert (response.status_code, response.json["code"]) == (405, 405)
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", ["/payments", "/payments/methods", "/payments/x", "/payments/ticket-payments"])
@pytest.mark.parametrize("method", ["PATCH", "TRACE", "MADEUP"])
def test_other_addresses_tell_their_methods_only_to_users(app, get, path, method):
    response = app.test_client().open(path, method=method)
    assert response.status_code == 401
    assert "Allow" not in response.headers
    assert client_of(app, make_token(permissions=[])).open(path, method=method).status_code == 405
