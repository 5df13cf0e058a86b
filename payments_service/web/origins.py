"""Cross-origin requests: a browser sends its cookies along with the requests of any page."""
import flask

from ..errors import NotPermitted
from .request_state import current_request

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# Response headers that a page of a trusted origin may read.
EXPOSED_HEADERS = "ETag, Idempotency-Replayed, Location, Retry-After, X-Request-Id"
# Request headers that it may send.
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
PREFLIGHT_SECONDS = 600


def is_trusted() -> bool:
    """Tell whether a page of a trusted origin sent the request."""
    return flask.request.headers.get("Origin") in flask.current_app.config["TRUSTED_ORIGINS"]


def is_preflight() -> bool:
    """Tell whether the request is a CORS preflight for a page of a trusted origin."""
    request = current_request()
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers and is_trusted()


def check_origin() -> None:
    """Raise `NotPermitted` for an unsafe request that a page of another, untrusted origin made a browser send.

    The rule is that of Go's `http.CrossOriginProtection`: browsers send Sec-Fetch-Site, older ones Origin, and other
    clients neither.
    """
    request = current_request()
    if request.method in SAFE_METHODS or is_trusted():
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    # Not request.host: that is "" for a host that Werkzeug finds invalid, and lacks the scheme's default port.
    host = request.headers.get("Host")
    if site:
        same = site in ("same-origin", "none")
    elif origin:
        # An app's page may have any host: capacitor://localhost.
        scheme, _, origin_host = origin.partition("://")
        same = scheme in ("http", "https") and bool(host) and origin_host == host
    else:
        same = True
    if not same:
        raise NotPermitted("A page of another origin sent this: add it to PAYMENTS_TRUSTED_ORIGINS if it may.")


def allow_trusted_origin(response: flask.Response) -> flask.Response:
    """Add the CORS headers (the Fetch standard) that let a page of a trusted origin read the response."""
    if not flask.current_app.config["TRUSTED_ORIGINS"]:
        return response
    # Also in responses to other origins: a cache must not give the response to one origin to another.
    response.vary.add("Origin")
    if is_trusted():
        response.headers["Access-Control-Allow-Origin"] = flask.request.headers["Origin"]
        response.headers["Access-Control-Allow-Credentials"] = "true"
        if is_preflight():
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(response.allow))
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        else:
            # Only the pages of a list have this header.
            exposed = [EXPOSED_HEADERS, "Link"] if "Link" in response.headers else [EXPOSED_HEADERS]
            response.headers["Access-Control-Expose-Headers"] = ", ".join(exposed)
    return response
