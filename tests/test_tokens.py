"""The accessToken cookie"""
import base64
import json
import time

import jwt
import pytest

from .conftest import PERMISSIONS, SECRET, client_of, make_token


def get_payments(app, token):
    return client_of(app, token).get("/payments")


def test_a_good_token_is_let_in(app):
    assert get_payments(app, make_token()).status_code == 204


@pytest.mark.parametrize(
    "claims",
    [
        {"type": "access"},
        {"sub": 7},
        {"sub": "7", "jti": 9},
        {"userId": 7},
        {"aud": "anyone", "iss": "anywhere"},
        {"scope": "orders payments"},
    ],
    ids=str,
)
def test_claims_that_say_nothing_against_access_are_let_in(app, claims):
    assert get_payments(app, make_token(**claims)).status_code == 204


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": []},
        {"exp": int(time.time()) - 86400},
        {"nbf": int(time.time()) + 86400},
        {"type": "refresh"},
        {"type": "refreshed"},
        {"type": 1},
        {"scope": "wallet_access"},
        {"scope": "orders wallet_access"},
        {"scope": ["wallet_access"]},
        {"scope": "orders,WALLET_ACCESS"},
        {"scope": 5},
        {"permissions": "payments_read"},
        {"permissions": {"payments_read": True}},
        {"permissions": ["payments_read", 1]},
        {"role": ["admin"]},
        {"role": 1},
    ],
    ids=str,
)
def test_claims_that_are_not_an_access_tokens_are_refused(app, claims):
    assert get_payments(app, make_token(**claims)).status_code == 401


def unsigned():
    return make_token(algorithm="none", secret=None)


def with_other_payload():
    head, _, signature = make_token(permissions=[]).split(".")
    return ".".join([head, make_token().split(".")[1], signature])


def with_claims_that_are_a_list():
    header, payload = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({"alg": "HS256"}, [1]))
    signed = header.rstrip(b"=") + b"." + payload.rstrip(b"=")
    key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = base64.urlsafe_b64encode(key.sign(signed, SECRET.encode())).rstrip(b"=")
    return (signed + b"." + signature).decode()


def with_a_header_nested_deeply():
    return base64.urlsafe_b64encode(b'{"alg":' + b"[" * 5000).decode().rstrip("=") + ".e30.AA"


@pytest.mark.parametrize(
    "token",
    [
        make_token(secret="another secret, over 32 bytes long as well"),
        make_token(algorithm="HS512"),
        unsigned(),
        with_other_payload(),
        make_token()[:-2],
        make_token() + ".",
        with_claims_that_are_a_list(),
        with_a_header_nested_deeply(),
        make_token(padding="x" * 8192),
        "not-a-token",
        "a.b.c",
        "...",
        "\xff\xfe",
    ],
    ids=lambda token: token[-12:],
)
def test_what_our_secret_did_not_sign_as_a_token_is_refused(app, token):
    response = get_payments(app, token)
    assert response.status_code == 401
    assert response.json["message"] == "The access token is not valid."


def test_the_answer_tells_an_expired_token_from_a_missing_one(app):
    expired = get_payments(app, make_token(exp=int(time.time()) - 60))
    assert (expired.status_code, "refresh" in expired.json["message"]) == (401, True)
    missing = app.test_client().get("/payments")
    assert (missing.status_code, "accessToken" in missing.json["message"]) == (401, True)
    assert missing.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_refresh_token_in_its_own_cookie_is_ignored(app):
    client = app.test_client()
    client.set_cookie("refreshToken", make_token())
    assert client.get("/payments").status_code == 401
    client.set_cookie("refreshToken", "anything")
    client.set_cookie("accessToken", make_token())
    assert client.get("/payments").status_code == 204


def test_a_token_in_another_place_is_ignored(app):
    client = app.test_client()
    assert client.get("/payments", headers={"Authorization": f"Bearer {make_token()}"}).status_code == 401
    assert client.get(f"/payments?accessToken={make_token()}").status_code == 401


def test_the_issuer_and_audience_are_checked_where_they_are_set(make_app):
    app = make_app(JWT_ISSUER="sign-in", JWT_AUDIENCE="payments")
    assert get_payments(app, make_token(iss="sign-in", aud="payments")).status_code == 204
    assert get_payments(app, make_token(iss="sign-in", aud=["orders", "payments"])).status_code == 204
    for claims in ({}, {"iss": "sign-in"}, {"aud": "payments"}, {"iss": "x", "aud": "payments"}):
        assert get_payments(app, make_token(**claims)).status_code == 401


def test_the_leeway_is_a_setting(make_app):
    expired = make_token(exp=int(time.time()) - 5)
    assert get_payments(make_app(JWT_LEEWAY=60), expired).status_code == 204
    assert get_payments(make_app(JWT_LEEWAY=0), expired).status_code == 401


def test_the_box_issues_tokens_that_open_everything(make_app):
    app = make_app(JWT_ISSUER="sign-in", JWT_AUDIENCE="payments")
    token = app.test_cli_runner().invoke(args=["token"]).output.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="payments")
    assert sorted(claims["permissions"]) == sorted(PERMISSIONS)
    assert claims["exp"] - claims["iat"] == 3600
    assert get_payments(app, token).status_code == 204
