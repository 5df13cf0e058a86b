"""Take the client's address from the header of a trusted proxy."""
import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from waitress.proxy_headers import proxy_headers_middleware

Application = Callable[..., Iterable[bytes]]


def trust_proxy(app: Application, network: ipaddress.IPv4Network | ipaddress.IPv6Network | None) -> Application:
    """Return `app` with client addresses from the X-Forwarded-For of proxies in a network, and of nobody else.

    The headers themselves stay: `web.addresses` reads X-Forwarded-Proto.

    Works around: waitress 3.0.2 compares the text of the proxy's address with one address.
    Drop when: its option `trusted_proxy` takes a network.
    """
    from_proxy = proxy_headers_middleware(
        app, trusted_proxy="*", trusted_proxy_headers={"x-forwarded-for"}, clear_untrusted=False
    )

    def choose(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        address = ipaddress.ip_address(environ["REMOTE_ADDR"])
        # A socket for IPv6 shows the addresses of IPv4 in the form ::ffff:127.0.0.1.
        forms = [address, getattr(address, "ipv4_mapped", None) or address]
        trusted = network is not None and any(form in network for form in forms)
        response: Iterable[bytes] = (from_proxy if trusted else app)(environ, start_response)
        return response

    return choose
