"""Keys of access tokens from a URL, in a process of its own"""
import pytest

from ..support.engines import on_one_engine
from ..support.keys import KeyServer, jwk, jwks, make_key
from ..support.tokens import in_a_day, make_token

pytestmark = on_one_engine

KEY = make_key()
TOKEN = {"Cookie": f"accessToken={make_token(secret=KEY, algorithm='EdDSA', exp=in_a_day())}"}


@pytest.fixture
def key_server(monkeypatch):
    """Start a server with a key set."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = KeyServer()
    server.body = jwks(jwk(KEY, kid="1"))
    yield server
    server.close()


def test_keys_are_fetched_at_the_start(start_server, key_server):
    server = start_server(JWT_SECRET="", JWT_JWKS_URL=key_server.url)
    assert len(key_server.requests) == 1
    assert [line for line in server.log if f'keys=EdDSA keys_from="PAYMENTS_JWT_JWKS_URL {key_server.url}"' in line]
    assert server.request("GET", "/payments", **TOKEN) == (204, None)
    assert len(key_server.requests) == 1


def test_the_service_starts_without_the_keys(start_server, key_server):
    key_server.status = 503
    server = start_server(JWT_SECRET="", JWT_JWKS_URL=key_server.url)
    assert server.request("GET", "/payments", **TOKEN)[0] == 503
    assert server.request("GET", "/health/live")[0] == 200
    assert [line for line in server.log if "has no usable keys" in line and "level=error" in line]
    assert server.stop() == 0
