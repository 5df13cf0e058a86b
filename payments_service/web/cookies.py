"""Cookies of a request with several Cookie headers."""
from collections.abc import Callable, Iterable
from typing import Any


class CookieMiddleware:
    """WSGI middleware that separates cookies by semicolons where waitress joined Cookie headers with commas.

    Werkzeug takes what follows a comma for a part of the cookie before it. A cookie's value has no comma (RFC 6265,
    section 4.1.1), and neither has a token. Needed as long as waitress joins them so (3.0.2).
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Pass the request on with its cookies separated by semicolons."""
        if "HTTP_COOKIE" in environ:
            environ["HTTP_COOKIE"] = environ["HTTP_COOKIE"].replace(",", ";")
        return self.app(environ, start_response)
