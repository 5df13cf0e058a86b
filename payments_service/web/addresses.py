"""The address at which clients reach the service."""
from urllib.parse import quote

import flask


def find_root() -> str:
    """Return the URL at which the client reaches the service, without a slash at its end.

    It is only a path, "" at the root, if the request names no valid host.
    """
    request = flask.request
    # Anybody may send X-Forwarded-Proto, but only the sender's own response depends on it.
    scheme = request.headers.get("X-Forwarded-Proto", "").lower()
    if scheme not in ("http", "https"):
        scheme = request.scheme
    # request.host is "" for a host that Werkzeug finds invalid, and lacks the scheme's default port.
    host = request.headers.get("Host") if request.host else None
    prefix = quote(request.script_root)
    return f"{scheme}://{host}{prefix}" if host else prefix
