"""Which web pages may call: a browser sends its cookies with whatever any page makes it ask for."""
import flask

from .errors import NotPermitted

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# What a page of a trusted origin may read besides the body.
EXPOSED_HEADERS = "ETag, Idempotency-Replayed, Retry-After, X-Request-Id"
# What it may send besides what any page may.
ALLOWED_HEADERS = "Content-Type, Idempotency-Key, If-Match, If-None-Match"
PREFLIGHT_SECONDS = 600


def is_trusted() -> bool:
    """Tell whether a page of a trusted origin made the request."""
    return flask.request.headers.get("Origin") in flask.current_app.config["TRUSTED_ORIGINS"]


def is_preflight() -> bool:
    """Tell whether the request is a browser asking, without cookies, whether a trusted page may make one."""
    request = flask.request
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers and is_trusted()


def check_origin() -> None:
    """Let the request pass unless a page of another origin, and not a trusted one, made a browser send it.

    Raises `NotPermitted`. The rule is that of Go's `http.CrossOriginProtection`: a browser says where a request comes
    from by Sec-Fetch-Site, older ones by Origin, and what is no browser by neither.
    """
    request = flask.request
    if request.method in SAFE_METHODS or is_trusted():
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    # Not request.host, which is "" for a host that Werkzeug finds odd, and without the port that is the scheme's own.
    host = request.headers.get("Host")
    if site:
        same = site in ("same-origin", "none")
    elif origin:
        same = bool(host) and origin.partition("://")[2] == host
    else:
        same = True
    if not same:
        raise NotPermitted("A page of another origin sent this: let PAYMENTS_TRUSTED_ORIGINS name it if it may.")


def _allow_trusted(response: flask.Response) -> flask.Response:
    """Tell the browser, by CORS (the Fetch standard), that a page of a trusted origin may read the answer."""
    # The answer depends on it also where it allows nothing.
    response.vary.add("Origin")
    if is_trusted():
        response.headers["Access-Control-Allow-Origin"] = flask.request.headers["Origin"]
        response.headers["Access-Control-Allow-Credentials"] = "true"
        if is_preflight():
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(response.allow))
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        else:
            # Link is a page's of a list alone.
            exposed = [EXPOSED_HEADERS, "Link"] if "Link" in response.headers else [EXPOSED_HEADERS]
            response.headers["Access-Control-Expose-Headers"] = ", ".join(exposed)
    return response


def init_app(app: flask.Flask) -> None:
    """Give the answers of `app` the headers that trusted pages need, if there are any."""
    if app.config["TRUSTED_ORIGINS"]:
        app.after_request(_allow_trusted)
