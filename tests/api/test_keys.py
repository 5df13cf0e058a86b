"""The keys that verify access tokens: their formats, their ids, and changes while the service runs"""
import base64
import json
import os
import threading
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from payments_service import SettingError
from payments_service.tokens import keys

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.keys import KeyServer, algorithm_of, certificate, jwk, jwks, make_key, spki
from ..support.tokens import SECRET, make_token, signed_by_text
from ..support.waiting import wait_until

pytestmark = on_one_engine

RSA, EC, ED = (make_key(algorithm) for algorithm in ("RS256", "ES256", "EdDSA"))
OTHER = make_key()
NEW_SECRET = "the secret from now on, over 32 bytes"


def get(app, key, kid=None, **claims):
    """Return the status of a request with a token that a private key or a secret has signed."""
    algorithm = "HS256" if isinstance(key, (str, bytes)) else algorithm_of(key)
    token = make_token(secret=key, algorithm=algorithm, headers={"kid": kid} if kid else None, **claims)
    return client_of(app, token).get("/payments").status_code


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def app_of_file(make_app, file):
    """Make an application with public keys."""

    def make(content, **settings):
        file.write_bytes(content)
        return make_app(JWT_SECRET="", JWT_PUBLIC_KEY_FILE=str(file), **settings)

    return make


@pytest.fixture
def app_of_secrets(make_app, file):
    """Make an application with secrets in a file."""

    def make(content):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return make_app(JWT_SECRET="", JWT_SECRET_FILE=str(file))

    return make


# Formats of public keys


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=algorithm_of)
def test_a_public_key_may_have_many_formats(app_of_file, key):
    pem = spki(key)
    bare = b"".join(pem.splitlines()[1:-1])
    for content in (
        pem,
        spki(key, Encoding.DER),
        bare,
        bare + b"\n",
        b"\xef\xbb\xbf" + pem.replace(b"\n", b"\r\n"),
        certificate(key).public_bytes(Encoding.PEM),
        certificate(key).public_bytes(Encoding.DER),
        base64.b64encode(certificate(key).public_bytes(Encoding.DER)),
        b"subject=CN = sign-in\n" + certificate(key).public_bytes(Encoding.PEM) + pem,
        jwks(jwk(key)),
        b"\xef\xbb\xbf\n" + jwks(jwk(key, kid="1", use="sig", alg=algorithm_of(key), key_ops=["verify"])),
        json.dumps(jwk(key, kid="1"), indent=2).encode(),
    ):
        app = app_of_file(content)
        assert get(app, key) == 204, content
        assert get(app, key, kid="1") == 204, content
        assert get(app, OTHER) == 401


def test_a_public_key_may_be_in_pkcs_1(app_of_file):
    assert get(app_of_file(RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)), RSA) == 204


def test_a_certificate_that_issued_another_is_no_key(app_of_file):
    leaf, root = make_key(), make_key()
    chain = [certificate(leaf, "sign-in", "root", root), certificate(root, "root", "root of all", OTHER)]
    app = app_of_file(b"".join(entry.public_bytes(Encoding.PEM) for entry in chain))
    assert (get(app, leaf), get(app, root)) == (204, 401)


def test_two_certificates_of_one_name_are_both_keys(app_of_file):
    app = app_of_file(b"".join(certificate(key).public_bytes(Encoding.PEM) for key in (ED, OTHER)))
    assert (get(app, ED), get(app, OTHER)) == (204, 204)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"keys": []}',
        b'{"keys": {}}',
        b'{"keys": [1, null, "x", {}]}',
        b'{"keys": ' + b"[" * 5000,
        b'{"issuer": "https://sso.example", "jwks_uri": "https://sso.example/jwks"}',
        jwks(jwk(ED))[:-5],
        jwks(jwk(ED, use="enc")),
        jwks(jwk(RSA, alg="RS512")),
        jwks(jwk(RSA, alg="RSA-OAEP", use="enc")),
        jwks({**jwk(ED), "x": "AA"}),
        spki(rsa.generate_private_key(65537, 1024), Encoding.DER),
        certificate(ec.generate_private_key(ec.SECP384R1())).public_bytes(Encoding.PEM),
        certificate(ED).public_bytes(Encoding.PEM)[:-40],
        certificate(ED).public_bytes(Encoding.DER)[:-40],
        base64.b64encode(SECRET.encode()),
    ],
    ids=range(17),
)
def test_a_file_without_a_usable_public_key_stops_the_start(app_of_file, content):
    with pytest.raises(SettingError, match="PAYMENTS_JWT_PUBLIC_KEY_FILE .* must hold public keys in PEM or JWKS"):
        app_of_file(content)


@pytest.mark.parametrize(
    "secret",
    [
        {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "alg": "HS256"},
        jwk(ED) | {"d": base64.urlsafe_b64encode(ED.private_bytes_raw()).decode().rstrip("=")},
    ],
    ids=["a secret", "a private key"],
)
def test_a_key_set_with_a_secret_in_it_stops_the_start(app_of_file, secret):
    with pytest.raises(SettingError, match="must not hold private keys") as raised:
        app_of_file(jwks(jwk(OTHER), secret))
    assert SECRET[:20] not in str(raised.value)


# Key sets and ids


def test_the_id_of_a_token_selects_its_key(app_of_file):
    app = app_of_file(jwks(jwk(ED, kid="old"), jwk(OTHER, kid="new")))
    assert (get(app, ED, "old"), get(app, OTHER, "new")) == (204, 204)
    assert (get(app, ED), get(app, OTHER)) == (204, 204)
    assert (get(app, ED, "new"), get(app, OTHER, "old"), get(app, ED, "older")) == (401, 401, 401)


def test_several_keys_may_share_an_id_or_have_none(app_of_file):
    app = app_of_file(jwks(jwk(ED, kid="1"), jwk(OTHER, kid="1"), jwk(EC)))
    assert (get(app, ED, "1"), get(app, OTHER, "1"), get(app, EC, "2"), get(app, ED, "2")) == (204, 204, 204, 401)


def test_keys_of_several_kinds_each_verify_their_algorithm(app_of_file):
    unused = [
        jwk(OTHER, use="enc"), {"kty": "OKP", "crv": "X25519", "x": "AAAA"}, {"kty": "new"}, jwk(RSA, alg="RSA-OAEP"),
    ]
    app = app_of_file(jwks(*unused, jwk(RSA, kid="1", alg="RS256"), jwk(EC, kid="2"), jwk(ED, kid="3", alg="EdDSA")))
    assert [get(app, key, kid) for key, kid in ((RSA, "1"), (EC, "2"), (ED, "3"), (RSA, "2"))] == [204, 204, 204, 401]
    assert get(app, OTHER) == 401
    for algorithm in ("RS512", "PS256"):
        assert client_of(app, make_token(secret=RSA, algorithm=algorithm)).get("/payments").status_code == 401


def test_the_algorithm_that_is_set_selects_keys_of_a_set(app_of_file):
    app = app_of_file(jwks(jwk(ED), jwk(EC)), JWT_ALGORITHM="ES256")
    assert (get(app, EC), get(app, ED)) == (204, 401)
    with pytest.raises(SettingError, match="is for ES256, EdDSA, but PAYMENTS_JWT_ALGORITHM is RS256"):
        app_of_file(jwks(jwk(ED), jwk(EC)), JWT_ALGORITHM="RS256")


def test_a_token_signed_by_the_text_of_a_key_set_is_rejected(app_of_file):
    app = app_of_file(jwks(jwk(ED)))
    for text in (jwks(jwk(ED)).decode(), json.dumps(jwk(ED))):
        assert client_of(app, signed_by_text(text)).get("/payments").status_code == 401


# Secrets


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode], ids=["standard", "URL-safe"])
def test_a_secret_may_be_in_base64(app_of_secrets, make_app, encode):
    secret = b"\xff\xfe\xfb" + os.urandom(30)
    text = encode(secret).decode()
    for written in (text, text.rstrip("=")):
        assert get(app_of_secrets(f"base64:{written}\n"), secret) == 204
        assert get(make_app(JWT_SECRET=f"base64:{written}"), secret) == 204
    assert get(app_of_secrets(text), text) == 204
    assert get(app_of_secrets(text), secret) == 401


def test_the_token_command_uses_a_secret_in_base64(app_of_secrets):
    app = app_of_secrets("base64:" + base64.b64encode(os.urandom(32)).decode())
    token = app.test_cli_runner().invoke(args=["token"]).output.strip()
    assert client_of(app, token).get("/payments").status_code == 204


@pytest.mark.parametrize(
    "line",
    [
        "base64:" + base64.b64encode(b"x" * 31).decode(),
        "base64:",
        "base64:not base64, but over 32 bytes long",
        "base64:" + base64.b64encode(spki(ED)).decode(),
        "base64:" + base64.b64encode(spki(ED, Encoding.DER)).decode(),
        base64.b64encode(certificate(ED).public_bytes(Encoding.DER)).decode(),
        jwks(jwk(ED)).decode(),
        json.dumps(jwk(ED)),
    ],
    ids=["short", "empty", "invalid", "PEM", "DER", "certificate", "JWKS", "JWK"],
)
def test_a_line_that_is_no_secret_stops_the_start(app_of_secrets, line):
    with pytest.raises(SettingError, match="PAYMENTS_JWT_SECRET_FILE .* must hold"):
        app_of_secrets(f"{SECRET}\n{line}\n")


def test_an_error_shows_no_byte_of_a_secret(app_of_secrets):
    with pytest.raises(SettingError, match="must be UTF-8 text: write other bytes in Base64") as raised:
        app_of_secrets(b"\xf1" * 40)
    assert "f1" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "warnings"),
    [
        (f"JWT_SECRET={SECRET}", ["name"]),
        (f"export JWT_SECRET = {SECRET}", ["name"]),
        (f'JWT_SECRET="{SECRET}"', ["name", "quotes"]),
        (f"secret: {SECRET}", ["name"]),
        (f'"{SECRET}"', ["quotes"]),
        (f"'{SECRET}'", ["quotes"]),
        (SECRET, []),
        ("c2VjcmV0IG9mIHRoZSB0ZXN0cywgbG9uZyBlbm91Z2g=", []),
        ("c2VjcmV0IG9mIHRoZSB0ZXN0cywgbG9uZyBlbm91Z2g9PQ==", []),
        ("base64:" + base64.b64encode(bytes(range(34, 80))).decode(), []),
        ("12=" + SECRET, []),
        (SECRET[:20] + '"' + SECRET[20:], []),
    ],
)
def test_a_doubtful_secret_is_a_warning_and_is_used(app_of_secrets, make_app, caplog, line, warnings):
    for make in (lambda: app_of_secrets(line), lambda: make_app(JWT_SECRET=line)):
        app = make()
        texts = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [word for word in ("name", "quotes") if any(word in text for text in texts)] == warnings
        assert len(texts) == len(warnings)
        assert SECRET not in caplog.text
        findings = app.test_cli_runner().invoke(args=["doctor"]).output
        assert findings.count("warning access tokens: a secret ") == len(warnings)
        assert SECRET not in findings
        if not line.startswith("base64:"):
            assert get(app, line) == 204
        caplog.clear()


# Files that change


@pytest.fixture
def clock(monkeypatch):
    """Set the clock by hand that measures how old keys are."""
    clock = Mock(return_value=1000)
    monkeypatch.setattr(keys, "monotonic", clock)
    return clock


def test_a_changed_secret_is_used_within_a_minute(app_of_secrets, file, clock):
    app = app_of_secrets(SECRET)
    assert (get(app, SECRET), get(app, NEW_SECRET)) == (204, 401)
    file.write_text(NEW_SECRET)
    clock.return_value += 60
    assert (get(app, SECRET), get(app, NEW_SECRET)) == (401, 204)


def test_a_cached_token_does_not_outlive_its_key(app_of_secrets, file, clock):
    app = app_of_secrets(f"{NEW_SECRET}\n{SECRET}")
    tokens = [make_token(), make_token(secret=NEW_SECRET), make_token(exp=1), make_token(permissions=[])]
    clients = [client_of(app, token) for token in tokens]
    assert [client.get("/payments").status_code for client in clients] == [204, 204, 401, 403]
    file.write_text(NEW_SECRET)
    clock.return_value += 60
    responses = [client.get("/payments") for client in clients]
    assert [response.status_code for response in responses] == [401, 204, 401, 401]
    assert "refresh" not in "".join(response.text for response in responses)
    file.write_text(SECRET)
    clock.return_value += 60
    responses = [client.get("/payments") for client in clients]
    assert [response.status_code for response in responses] == [204, 401, 401, 403]
    assert "refresh" in responses[2].json["message"]


def test_a_changed_public_key_is_used(app_of_file, file, clock, caplog):
    caplog.set_level("INFO")
    app = app_of_file(spki(ED))
    assert (get(app, ED), get(app, EC)) == (204, 401)
    caplog.clear()
    file.write_bytes(jwks(jwk(EC, kid="1"), jwk(ED, kid="2")))
    clock.return_value += 60
    assert (get(app, ED, "2"), get(app, EC, "1"), get(app, EC, "2")) == (204, 204, 401)
    (line,) = [record for record in caplog.records if "keys of access tokens" in record.message]
    assert (line.levelname, line.keys) == ("INFO", 2)


def test_an_unchanged_file_keeps_the_cached_tokens(app_of_file, clock):
    app = app_of_file(jwks(jwk(ED)))
    get(app, ED)
    cached = app.extensions["payments"].tokens._cache
    clock.return_value += 60
    get(app, ED)
    assert app.extensions["payments"].tokens._cache is cached


def test_a_file_is_not_read_for_each_request(app_of_secrets, clock, monkeypatch):
    app = app_of_secrets(SECRET)
    source = app.extensions["payments"].tokens.source
    monkeypatch.setattr(source, "load", Mock(side_effect=source.load))
    for _ in range(5):
        get(app, SECRET)
    assert source.load.call_count == 0
    clock.return_value += 60
    for _ in range(5):
        get(app, SECRET)
    assert source.load.call_count == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "comment", "folder"])
def test_a_damaged_file_is_an_error_and_the_last_keys_stay(app_of_secrets, file, clock, caplog, damage):
    app = app_of_secrets(SECRET)
    file.unlink()
    texts = {"empty": "", "short": "x" * 31, "comment": f"# the new secret\n{NEW_SECRET}"}
    if damage in texts:
        file.write_text(texts[damage])
    if damage == "folder":
        file.mkdir()
    for _ in range(5):
        clock.return_value += 60
        assert (get(app, SECRET), get(app, NEW_SECRET)) == (204, 401)
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"PAYMENTS_JWT_SECRET_FILE {file}" in error
    assert NEW_SECRET not in caplog.text
    file.rmdir() if damage == "folder" else None
    file.write_text(NEW_SECRET)
    clock.return_value += 60
    assert (get(app, SECRET), get(app, NEW_SECRET)) == (401, 204)


def test_the_last_keys_of_a_damaged_file_are_used_for_a_day(app_of_secrets, file, clock):
    app = app_of_secrets(SECRET)
    file.unlink()
    clock.return_value += 7 * 24 * 3600
    assert get(app, SECRET) == 204
    clock.return_value += 24 * 3600 - 60
    assert get(app, SECRET) == 204
    clock.return_value += 120
    response = client_of(app, make_token()).get("/payments")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert "keys" in response.json["message"]
    assert app.test_client().get("/payments").status_code == 401
    file.write_text(SECRET)
    clock.return_value += 60
    assert get(app, SECRET) == 204


def test_one_slow_read_of_the_file_does_not_delay_others(app_of_secrets, clock, monkeypatch):
    app = app_of_secrets(SECRET)
    source = app.extensions["payments"].tokens.source
    reading, go_on = threading.Event(), threading.Event()
    loaded = source.load()

    def read_slowly():
        reading.set()
        assert go_on.wait(60)
        return loaded

    monkeypatch.setattr(source, "load", read_slowly)
    clock.return_value += 60
    slow = threading.Thread(target=get, args=[app, SECRET])
    slow.start()
    assert reading.wait(60)
    clock.return_value += 60
    assert get(app, SECRET) == 204
    go_on.set()
    slow.join()


def test_a_pipe_is_read_once(make_app, tmp_path, clock):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[SECRET])
    writer.start()
    app = make_app(JWT_SECRET="", JWT_SECRET_FILE=str(pipe))
    writer.join()
    clock.return_value += 60
    assert get(app, SECRET) == 204


# A URL


@pytest.fixture
def key_server(monkeypatch):
    """Start a server with a key set of one key, ED."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = KeyServer()
    server.body = jwks(jwk(ED, kid="1", alg="EdDSA", use="sig"))
    yield server
    server.close()


@pytest.fixture
def app_of_url(make_app, key_server):
    """Make an application with the server's keys."""
    return lambda **settings: make_app(**{"JWT_SECRET": "", "JWT_JWKS_URL": key_server.url} | settings)


def finish_fetch(app):
    """Wait until a fetch in the background has ended."""
    app.extensions["payments"].tokens.source._fetching.join(60)


def test_keys_are_fetched_from_a_url_once(app_of_url, key_server, clock):
    app = app_of_url()
    assert key_server.requests == []
    assert app.test_client().get("/payments").status_code == 401
    assert key_server.requests == []
    assert [get(app, ED, "1"), get(app, ED), get(app, OTHER), get(app, OTHER, "1")] == [204, 204, 401, 401]
    clock.return_value += 299
    assert get(app, ED, "1") == 204
    (request,) = key_server.requests
    assert request["path"] == "/jwks.json"
    assert request["User-Agent"] == "payments-service"


def test_keys_from_a_url_are_refreshed_in_the_background(app_of_url, key_server, clock):
    app = app_of_url()
    assert get(app, ED) == 204
    key_server.body = jwks(jwk(OTHER, kid="2"))
    clock.return_value += 301
    key_server.responds.clear()
    assert get(app, ED) == 204
    key_server.responds.set()
    finish_fetch(app)
    assert (get(app, ED), get(app, OTHER)) == (401, 204)
    assert len(key_server.requests) == 2


def test_after_a_long_pause_requests_wait_for_newer_keys(app_of_url, key_server, clock):
    app = app_of_url()
    token = make_token(secret=ED, algorithm="EdDSA")
    assert client_of(app, token).get("/payments").status_code == 204
    key_server.body = jwks(jwk(OTHER, kid="2"))
    clock.return_value += 3600
    assert client_of(app, token).get("/payments").status_code == 401
    assert get(app, OTHER) == 204


def test_an_unknown_id_fetches_newer_keys_but_not_always(app_of_url, key_server, clock):
    app = app_of_url()
    assert get(app, ED, "1") == 204
    key_server.body = jwks(jwk(ED, kid="1"), jwk(OTHER, kid="2"))
    clock.return_value += 60
    assert (get(app, OTHER, "2"), get(app, ED, "1")) == (204, 204)
    for number in range(20):
        assert get(app, OTHER, f"unknown {number}") == 401
    assert client_of(app, "a.b.c").get("/payments").status_code == 401
    assert len(key_server.requests) == 2
    clock.return_value += 60
    assert get(app, OTHER, "3") == 401
    assert len(key_server.requests) == 3


def test_without_keys_from_the_url_requests_get_503(app_of_url, key_server, clock, caplog):
    key_server.status = 500
    app = app_of_url()
    for _ in range(3):
        response = client_of(app, make_token(secret=ED, algorithm="EdDSA")).get("/payments")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert client_of(app, make_token()).get("/payments").status_code == 503
    assert app.test_client().get("/payments").status_code == 401
    assert len(key_server.requests) == 1
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"PAYMENTS_JWT_JWKS_URL {key_server.url}" in error
    assert "500" in error
    key_server.status = 200
    clock.return_value += 11
    get(app, ED)
    finish_fetch(app)
    assert get(app, ED) == 204


@pytest.mark.parametrize(
    "response",
    [
        {"status": 302, "headers": {"Location": "/jwks.json"}},
        {"status": 404},
        {"status": 204, "body": b""},
        {"body": b"<html>"},
        {"body": b"\xff\xfe"},
        {"body": b"[" * 100_000},
        {"body": b"[]"},
        {"body": b"{}"},
        {"body": b'{"keys": []}'},
        {"body": b'{"issuer": "https://sso.example"}'},
        {"body": jwks(jwk(ED))[:-9]},
        {"body": jwks(jwk(ED)), "headers": {"Content-Length": "9999"}},
        {"body": jwks(jwk(ED, use="enc"))},
        {"body": jwks({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"})},
        {"body": jwks(jwk(ED), jwk(OTHER) | {"d": base64.urlsafe_b64encode(OTHER.private_bytes_raw()).decode()[:43]})},
    ],
    ids=range(15),
)
def test_a_response_without_usable_keys_changes_nothing(app_of_url, key_server, clock, caplog, response):
    app = app_of_url()
    assert get(app, ED) == 204
    good = key_server.body
    for name, value in response.items():
        setattr(key_server, name, value)
    for _ in range(3):
        clock.return_value += 3600
        assert (get(app, ED), get(app, OTHER, "2")) == (204, 401)
        finish_fetch(app)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "PAYMENTS_JWT_JWKS_URL" in errors[0]
    clock.return_value += 24 * 3600
    get(app, ED)
    finish_fetch(app)
    assert get(app, ED) == 503
    key_server.status, key_server.headers, key_server.body = 200, {}, good
    clock.return_value += 3600
    get(app, ED)
    finish_fetch(app)
    assert get(app, ED) == 204


def test_no_other_server_is_asked_after_a_redirect(app_of_url, key_server):
    other = KeyServer()
    other.body = key_server.body
    key_server.status, key_server.headers = 301, {"Location": other.url}
    assert get(app_of_url(), ED) == 503
    assert (len(key_server.requests), other.requests) == (1, [])
    other.close()


def test_a_server_that_hangs_delays_requests_once(app_of_url, key_server, clock, monkeypatch):
    monkeypatch.setattr(keys, "WAIT_SECONDS", 1 / 10)
    key_server.responds.clear()
    app = app_of_url()
    threads = [threading.Thread(target=get, args=[app, ED]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: key_server.requests)
    clock.return_value += 11
    assert get(app, ED) == 503
    assert len(key_server.requests) == 1
    key_server.responds.set()
    finish_fetch(app)
    assert get(app, ED) == 204


def test_a_fetch_that_takes_very_long_is_an_error(app_of_url, key_server, clock, monkeypatch, caplog):
    monkeypatch.setattr(keys, "WAIT_SECONDS", 0)
    key_server.responds.clear()
    app = app_of_url()
    assert get(app, ED) == 503
    wait_until(lambda: key_server.requests)
    clock.return_value += 61
    for _ in range(3):
        assert get(app, ED) == 503
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "is slow" in error
    assert len(key_server.requests) == 1


def test_plain_http_through_a_proxy_stops_the_start(app_of_url, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    with pytest.raises(SettingError, match="PAYMENTS_JWT_JWKS_URL .* through the proxy"):
        app_of_url()
    assert app_of_url(JWT_JWKS_URL="https://sso.example/jwks.json")


def test_the_algorithm_that_is_set_selects_keys_of_a_url(app_of_url, key_server):
    key_server.body = jwks(jwk(ED), jwk(EC))
    app = app_of_url(JWT_ALGORITHM="ES256")
    assert (get(app, EC), get(app, ED)) == (204, 401)


def test_with_keys_from_a_url_no_token_is_issued(app_of_url, key_server):
    result = app_of_url().test_cli_runner().invoke(args=["token"])
    assert (result.exit_code, result.output.startswith("Error: This box can only verify")) == (1, True)
    assert key_server.requests == []


def test_doctor_fetches_the_keys(app_of_url, key_server):
    runner = app_of_url().test_cli_runner()
    assert f"ok      access tokens: verified with EdDSA and PAYMENTS_JWT_JWKS_URL {key_server.url}\n" in runner.invoke(
        args=["doctor"]
    ).output
    key_server.status = 404
    result = runner.invoke(args=["doctor"])
    assert result.exit_code == 1
    assert f"fault   access tokens: PAYMENTS_JWT_JWKS_URL {key_server.url} has no usable keys: " in result.output


def test_a_token_is_read_while_the_keys_change(app_of_secrets, file, monkeypatch):
    monkeypatch.setattr(keys, "FILE_CHECK_SECONDS", 0)
    app = app_of_secrets(f"{SECRET}\n{NEW_SECRET}")
    changed = threading.Event()
    found = set()

    def call():
        while not changed.is_set():
            found.add(get(app, SECRET))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(200):
        (file.parent / "new").write_text(SECRET if number % 2 else f"{SECRET}\n{NEW_SECRET}")
        (file.parent / "new").rename(file)
    changed.set()
    for thread in threads:
        thread.join()
    assert found == {204}
