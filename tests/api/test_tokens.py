"""The accessToken cookie"""
import base64
import json
import time
from datetime import datetime, timedelta, timezone
from unittest.mock import Mock

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from payments_service import SettingError
from payments_service.tokens import access_tokens

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import NOBODY
from ..support.tokens import SECRET, make_token, signed_by_text
from ..support.waiting import wait_until

pytestmark = on_one_engine


def get_payments(app, token):
    return client_of(app, token).get("/payments")


def test_a_valid_token_is_accepted(app):
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
def test_other_claims_of_an_access_token_are_ignored(app, claims):
    assert get_payments(app, make_token(**claims)).status_code == 204


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": []},
        {"exp": 1},
        {"nbf": 2**33},
        {"iat": 2**33},
        {"type": "refresh"},
        {"type": "refreshed"},
        {"type": 1},
        {"scope": "wallet_access"},
        {"scope": "orders wallet_access"},
        {"scope": ["wallet_access"]},
        {"scope": "orders,WALLET_ACCESS"},
        {"scope": 5},
        {"userId": ["12"]},
        {"userId": {"id": 12}},
        {"userId": True},
        {"userId": [1, 5]},
        {"userId": "a\0b"},
        {"userId": "a\ud800"},
        {"userId": "a\nb"},
        {"userId": "x" * 256},
        {"userId": 10**255},
        {"userId": "", "sub": ["ana"]},
        {"permissions": "payments_read"},
        {"permissions": {"payments_read": True}},
        {"permissions": ["payments_read", 1]},
        {"role": 1},
    ],
    ids=str,
)
def test_claims_that_do_not_fit_an_access_token_are_rejected(app, claims):
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


def with_a_deeply_nested_header():
    return base64.urlsafe_b64encode(b'{"alg":' + b"[" * 5000).decode().rstrip("=") + ".e30.AA"


INVALID_TOKENS = {
    "another secret": make_token(secret="another secret, over 32 bytes long as well"),
    "another algorithm": make_token(algorithm="HS512"),
    "unsigned": unsigned(),
    "another payload": with_other_payload(),
    "cut short": make_token()[:-2],
    "a dot too many": make_token() + ".",
    "a list of claims": with_claims_that_are_a_list(),
    "a deeply nested header": with_a_deeply_nested_header(),
    "too long": make_token(padding="x" * 8192),
    "one word": "not-a-token",
    "three words": "a.b.c",
    "dots": "...",
    "bytes": "\xff\xfe",
}


@pytest.mark.parametrize("token", INVALID_TOKENS.values(), ids=INVALID_TOKENS)
def test_a_token_not_signed_with_the_secret_is_rejected(app, token):
    response = get_payments(app, token)
    assert response.status_code == 401
    assert response.json["message"] == "The access token is not valid."


def test_expired_and_missing_tokens_have_different_messages(app):
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
    assert client.get(f"/payments?accessToken={make_token()}").status_code == 401
    assert client.get("/payments", headers={"X-Access-Token": make_token()}).status_code == 401


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


KEYS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def app_with_public_keys(make_app, tmp_path):
    def make(*texts, **settings):
        (tmp_path / "public.pem").write_text("".join(texts))
        return make_app(JWT_SECRET="", JWT_PUBLIC_KEY_FILE=str(tmp_path / "public.pem"), **settings)

    return make


@pytest.mark.parametrize("algorithm", KEYS)
def test_tokens_are_verified_by_a_public_key(app_with_public_keys, algorithm):
    app = app_with_public_keys(public(KEYS[algorithm]), JWT_ALGORITHM=algorithm)
    assert get_payments(app, make_token(secret=KEYS[algorithm], algorithm=algorithm)).status_code == 204


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_public_key_verifies_nothing_but_its_own_algorithm(app_with_public_keys, algorithm):
    app = app_with_public_keys(public(KEYS[algorithm]))
    others = [make_token(secret=key, algorithm=name) for name, key in KEYS.items() if name != algorithm]
    forged = [signed_by_text(text) for text in (public(KEYS[algorithm]), public(KEYS[algorithm]).strip())]
    for token in [*others, *forged, make_token(), unsigned(), make_token(secret=KEYS["RS256"], algorithm="PS256")]:
        assert get_payments(app, token).status_code == 401


def test_public_keys_are_rotated_without_an_outage(app_with_public_keys):
    old, new, strange = (ed25519.Ed25519PrivateKey.generate() for _ in range(3))
    app = app_with_public_keys("The one to come:\n", public(new), public(old))
    for key, code in {old: 204, new: 204, strange: 401}.items():
        assert get_payments(app, make_token(secret=key, algorithm="EdDSA")).status_code == code


def test_secrets_are_rotated_without_an_outage(make_app, tmp_path):
    old, new = "the secret until now, over 32 bytes", "the secret from now on, over 32 bytes"
    (tmp_path / "secrets").write_text(f"{new}\n\n{old}\n")
    app = make_app(JWT_SECRET="", JWT_SECRET_FILE=str(tmp_path / "secrets"))
    for secret, code in {old: 204, new: 204, SECRET: 401, f"{new}\n\n{old}": 401}.items():
        assert get_payments(app, make_token(secret=secret)).status_code == code
    token = app.test_cli_runner().invoke(args=["token"]).output.strip()
    assert jwt.decode(token, new, algorithms=["HS256"])


def test_a_secret_file_may_begin_with_a_byte_order_mark(make_app, tmp_path):
    (tmp_path / "secrets").write_text(SECRET, "utf-8-sig")
    app = make_app(JWT_SECRET="", JWT_SECRET_FILE=str(tmp_path / "secrets"))
    assert get_payments(app, make_token()).status_code == 204


@pytest.mark.parametrize(
    "line",
    [
        "# the key of the sign-in service, since November",
        "".join(public(KEYS["RS256"]).splitlines()[1:-1]),
        "".join(public(KEYS["ES256"]).splitlines()[1:-1]),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJt9XkpEXAMPLE",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY",
    ],
    ids=["comment", "RSA", "EC", "PEM", "SSH", "SSH's EC"],
)
def test_a_line_that_others_know_is_no_secret(make_app, tmp_path, line):
    (tmp_path / "secrets").write_text(f"{SECRET}\n{line}\n")
    with pytest.raises(SettingError, match="PAYMENTS_JWT_SECRET_FILE .* must hold only secrets"):
        make_app(JWT_SECRET="", JWT_SECRET_FILE=str(tmp_path / "secrets"))


@pytest.mark.parametrize(
    "text",
    [
        public(rsa.generate_private_key(65537, 1024)),
        public(ec.generate_private_key(ec.SECP384R1())),
        public(KEYS["RS256"]) + public(KEYS["ES256"]),
        public(KEYS["RS256"]).replace("M", "N", 1),
        KEYS["EdDSA"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        SECRET,
        public(KEYS["EdDSA"]) + public(KEYS["EdDSA"])[:-10],
        public(KEYS["EdDSA"])[1:] + public(KEYS["EdDSA"]),
    ],
    ids=["short RSA", "other curve", "two kinds", "broken", "private", "secret", "cut short", "begun late"],
)
def test_invalid_public_keys_stop_the_start(app_with_public_keys, text):
    with pytest.raises(SettingError, match="PAYMENTS_JWT_PUBLIC_KEY_FILE .* must hold public keys in PEM"):
        app_with_public_keys(text)


@pytest.mark.parametrize("algorithm", ["RS256", "HS256"])
def test_an_algorithm_that_does_not_fit_the_key_stops_the_start(app_with_public_keys, algorithm):
    with pytest.raises(SettingError, match=f"is for ES256, but PAYMENTS_JWT_ALGORITHM is {algorithm}"):
        app_with_public_keys(public(KEYS["ES256"]), JWT_ALGORITHM=algorithm)


def test_every_secret_of_a_file_is_measured(make_app, tmp_path):
    (tmp_path / "secrets").write_text(f"{SECRET}\nshort\n")
    with pytest.raises(SettingError, match="PAYMENTS_JWT_SECRET_FILE .* must hold at least 32 bytes on each line"):
        make_app(JWT_SECRET="", JWT_SECRET_FILE=str(tmp_path / "secrets"))


def test_no_part_of_a_token_is_logged(app, caplog):
    caplog.set_level("DEBUG")
    for token in (make_token(), make_token(secret="another secret, over 32 bytes long as well"), make_token()[:-2]):
        get_payments(app, token)
        assert not [part for part in token.split(".") if part in caplog.text]


def test_a_cached_token_is_rejected_once_it_expires(make_app):
    app = make_app(JWT_LEEWAY=1)
    token = make_token(exp=int(time.time()) + 1)
    assert get_payments(app, token).status_code == 204
    assert get_payments(app, token).status_code == 204
    wait_until(lambda: get_payments(app, token).status_code == 401)
    assert "refresh" in get_payments(app, token).json["message"]


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_cached_token_is_rejected_before_its_start(app, monkeypatch, claim):
    token = make_token(**{claim: int(time.time())})
    assert get_payments(app, token).status_code == 204
    an_hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    monkeypatch.setattr(access_tokens, "time", an_hour_ago.timestamp)
    monkeypatch.setattr("jwt.api_jwt.datetime", Mock(now=Mock(return_value=an_hour_ago)))
    assert get_payments(app, token).status_code == 401


def test_a_cached_token_is_verified_once(app, monkeypatch):
    decoder = app.extensions["payments"].tokens._decoder
    monkeypatch.setattr(decoder, "decode", Mock(side_effect=decoder.decode))
    token = make_token()
    assert [get_payments(app, token).status_code for _ in range(3)] == [204] * 3
    assert decoder.decode.call_count == 1


def test_a_rejected_token_is_never_cached(app):
    for token in (make_token(exp=1), make_token(type="refresh"), make_token(userId=[]), make_token()[:-2], "e.y.J"):
        assert [get_payments(app, token).status_code for _ in range(2)] == [401, 401]
    assert not app.extensions["payments"].tokens._cache.tokens


def test_a_token_cached_by_another_application_is_verified(make_app):
    one, other = make_app(), make_app(JWT_SECRET="another secret, over 32 bytes long as well")
    strict, token = make_app(JWT_ISSUER="sign-in"), make_token()
    assert [get_payments(app, token).status_code for app in (one, other, strict, one)] == [204, 401, 401, 204]


def test_a_cached_token_grants_the_same_permissions(app):
    client = client_of(app, make_token(permissions=["payments_read"]))
    for _ in range(2):
        assert client.get("/payments").status_code == 204
        assert client.delete(f"/payments/{NOBODY}").status_code == 403


def test_a_forged_token_with_a_cached_signature_is_rejected(app):
    good, weak = make_token(), make_token(permissions=[])
    assert [get_payments(app, token).status_code for token in (good, weak)] == [204, 403]
    forged = ".".join([*good.split(".")[:2], weak.split(".")[2]])
    assert get_payments(app, forged).status_code == 401


def test_the_token_cache_has_a_maximum_size(app, monkeypatch):
    monkeypatch.setattr(access_tokens, "MAX_CACHED_TOKENS", 3)
    for number in [*range(7), 0]:
        assert get_payments(app, make_token(jti=str(number))).status_code == 204
        assert len(app.extensions["payments"].tokens._cache.tokens) <= 3


def test_the_cache_holds_no_token(app):
    token = make_token()
    get_payments(app, token)
    assert not [part for part in token.split(".") if part in str(app.extensions["payments"].tokens._cache.tokens)]
