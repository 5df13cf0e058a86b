"""The client's address behind a proxy"""
import ipaddress

import pytest

from payments_service.server.proxy import trust_proxy

HEADERS = {"HTTP_X_FORWARDED_FOR": "192.0.2.9, 10.0.0.7", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_FORWARDED": "for=x"}


def environ_behind(network, address):
    """Return the environment that the application gets for a connection from an address."""
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return []

    proxied = trust_proxy(app, network and ipaddress.ip_network(network))
    proxied({"REMOTE_ADDR": address, "wsgi.url_scheme": "http"} | HEADERS, lambda *_: None)
    return seen[0]


@pytest.mark.parametrize(
    ("network", "address", "trusted"),
    [
        ("127.0.0.1/32", "127.0.0.1", True),
        ("127.0.0.1/32", "127.0.0.2", False),
        ("172.16.0.0/12", "172.18.0.5", True),
        ("172.16.0.0/12", "172.32.0.1", False),
        ("127.0.0.1/32", "::ffff:127.0.0.1", True),
        ("172.16.0.0/12", "::ffff:172.18.0.5", True),
        ("::ffff:127.0.0.1/128", "::ffff:127.0.0.1", True),
        ("172.16.0.0/12", "::1", False),
        ("fd00::/8", "fd12::5", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00::/8", "172.18.0.5", False),
        ("::1/128", "127.0.0.1", False),
        (None, "127.0.0.1", False),
    ],
)
def test_the_address_is_taken_from_the_header_of_a_trusted_proxy(network, address, trusted):
    environ = environ_behind(network, address)
    assert environ["REMOTE_ADDR"] == ("10.0.0.7" if trusted else address)
    assert environ["wsgi.url_scheme"] == "http"
    assert HEADERS.keys() <= environ.keys()
