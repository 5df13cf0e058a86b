"""Where a request carries its access token: in a cookie, in one of several, or in the Authorization header"""
import time

import pytest

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import payment
from ..support.tokens import make_token

pytestmark = on_one_engine

CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]
OTHER_HEADERS = ["Bearer", "Bearer x", "Bearer a.b.c", "Basic dGlsbDpzZWNyZXQ=", "Basic !", "Digest a=b", "x", "\xff"]
# Replaced by headers with such a token.
VALID_BEARER, EXPIRED_BEARER = "a valid token", "an expired token"
EXPIRED = {"exp": 1}


@pytest.fixture
def send(app):
    """Send a request with these cookies, this header and more."""
    client = app.test_client(use_cookies=False)
    bearers = {VALID_BEARER: f"Bearer {make_token()}", EXPIRED_BEARER: f"Bearer {make_token(**EXPIRED)}"}

    def send(cookies=(), authorization=None, method="GET", **headers):
        if cookies:
            headers["Cookie"] = "; ".join(f"accessToken={cookie}" for cookie in cookies)
        if authorization is not None:
            headers["Authorization"] = bearers.get(authorization, authorization)
        body = {"json": payment(transaction_id="")} if method == "POST" else {}
        return client.open("/payments", method=method, headers=headers, **body)

    return send


def user_of(response, client):
    """Return the user that the history names for a new payment."""
    assert response.status_code == 201
    return client.get(f"/payments/{response.json['id']}/history").json[0]["user_id"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_a_bearer_token_signs_in(send, scheme):
    assert send(authorization=f"{scheme} {make_token()}").status_code == 204


@pytest.mark.parametrize(
    "header",
    [
        "{}", "Token {}", "JWT {}", "Basic {}", "Bearer: {}", "Bearer={}", 'Bearer "{}"', "Bearer {},", "Bearer {} {}",
        "Bearer token={}", "Bearer {}, Bearer {}", "Bearer{}",
    ],
)
def test_a_token_in_another_form_of_the_header_is_rejected(send, header):
    assert send(authorization=header.replace("{}", make_token())).status_code == 401


@pytest.mark.parametrize("claims", [EXPIRED, {"type": "refresh"}, {"secret": "x" * 32}, {"userId": []}], ids=str)
def test_a_bearer_token_obeys_the_rules_of_a_cookie(send, claims):
    assert send(authorization=f"Bearer {make_token(**claims)}").status_code == 401


def test_a_bearer_token_grants_what_it_says_alone(app, send):
    assert send(authorization=f"Bearer {make_token(permissions=[])}").status_code == 403
    created = send(authorization=f"Bearer {make_token(userId='ana')}", method="POST")
    assert user_of(created, client_of(app, make_token())) == "ana"


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_a_bearer_token_alone_needs_no_check_of_the_origin(send, headers):
    authorization = f"Bearer {make_token()}"
    assert send(authorization=authorization, method="POST", **headers).status_code == 201
    for cookie in ("", "x", make_token(**EXPIRED), make_token(secret="x" * 32)):
        assert send([cookie], authorization, "POST", **headers).status_code == 201


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
@pytest.mark.parametrize("authorization", [*OTHER_HEADERS, VALID_BEARER, EXPIRED_BEARER], ids=ascii)
def test_the_origin_of_a_cookie_is_checked_whatever_the_header(send, headers, authorization):
    for cookies in ([make_token()], ["x", make_token()], [make_token(**EXPIRED), make_token()]):
        assert send(cookies, authorization, "POST", **headers).status_code == 403


@pytest.mark.parametrize("authorization", [*OTHER_HEADERS, EXPIRED_BEARER], ids=ascii)
def test_a_cookie_signs_in_whatever_the_header(send, authorization):
    assert send([make_token()], authorization).status_code == 204
    assert send([make_token()], authorization, "POST").status_code == 201
    assert send([], authorization).status_code == 401


def test_a_valid_bearer_token_counts_before_a_valid_cookie(app, send):
    cookie, bearer = make_token(userId="cookie", permissions=[]), make_token(userId="bearer")
    created = send([cookie], f"Bearer {bearer}", "POST")
    assert user_of(created, client_of(app, make_token())) == "bearer"


def test_each_of_the_first_cookies_is_tried(send):
    others = ["x", "a.b.c", make_token(**EXPIRED), make_token(type="refresh")]
    for place in range(5):
        assert send([*others[:place], make_token(), *others[place:]]).status_code == 204
    assert send(["", "", "", "", "", *others, make_token()]).status_code == 204
    assert send(others).status_code == 401


def test_not_all_of_many_cookies_are_tried(send):
    assert send(["x"] * 50 + [make_token()]).status_code == 401


@pytest.mark.parametrize("claim", ["iat", "exp"])
def test_the_newest_of_several_valid_cookies_counts(app, send, claim):
    now = int(time.time())
    first, second, third = (
        make_token(userId=str(number), **{"exp": now + 100} | {claim: now + number - 10}) if claim == "iat"
        else make_token(userId=str(number), exp=now + 100 + number)
        for number in range(3)
    )
    client = client_of(app, make_token())
    for cookies in ([first, second, third], [third, second, first], [second, third, first]):
        assert user_of(send(cookies, method="POST"), client) == "2"


def test_cookies_of_several_headers_are_tried_over_a_socket(server):
    cookies = f"Cookie: accessToken=x\r\nCookie: accessToken={make_token()}\r\n"
    assert server.exchange(f"GET /payments HTTP/1.1\r\nHost: x\r\n{cookies}\r\n".encode())[0] == 204


def test_a_bearer_token_signs_in_over_a_socket(server):
    request = f"GET /payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {make_token()}\r\n\r\n"
    assert server.exchange(request.encode())[0] == 204


def test_only_a_request_with_a_token_is_told_it_is_invalid(send):
    plain, invalid = 'Bearer realm="payments"', 'Bearer realm="payments", error="invalid_token"'
    for authorization in (None, "Bearer", "Basic eDp4"):
        assert send(authorization=authorization).headers["WWW-Authenticate"] == plain
    assert send(authorization="Bearer x").headers["WWW-Authenticate"] == invalid
    assert send(["x"]).headers["WWW-Authenticate"] == invalid


def test_an_expired_token_among_others_is_named(send):
    expired = make_token(**EXPIRED)
    for cookies, authorization in ((["x", expired], None), (["x"], f"Bearer {expired}"), ([expired], "Bearer x")):
        assert "refresh" in send(cookies, authorization).json["message"]


def test_a_bad_token_beside_a_good_one_is_not_logged(send, caplog):
    assert send(["x", make_token()]).status_code == 204
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert send(["x", make_token(type="refresh")], "Bearer y").status_code == 401
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.reason == "the token is malformed; type is not that of an access token"


def test_no_part_of_a_bearer_token_is_logged(send, caplog):
    caplog.set_level("DEBUG")
    for token in (make_token(), make_token(**EXPIRED), make_token(secret="x" * 32), make_token()[:-2]):
        send(authorization=f"Bearer {token}")
        send(["x"], f"Bearer {token}", "POST", Origin="https://evil.example")
        assert not [part for part in token.split(".") if part in caplog.text]


def test_a_preflight_request_of_a_trusted_page_allows_a_bearer(make_app):
    client = make_app(TRUSTED_ORIGINS="https://office.example").test_client()
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    response = client.options("/payments", headers=asked | {"Origin": "https://office.example"})
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    response = client.options("/payments", headers=asked | {"Origin": "https://evil.example"})
    assert response.status_code == 401
    assert not [name for name in response.headers.keys() if name.startswith("Access-Control")]
