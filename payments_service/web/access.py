"""The check of every request: is it signed in, and does its token grant the permission that the route declares?"""
import logging
from typing import Literal

import flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from ..errors import NotPermitted, NotSignedIn, TokenRejected
from ..tokens.claims import AccessToken
from ..tokens.permissions import Permission
from .blueprint import PUBLIC, Owners
from .origins import check_origin, is_preflight
from .request_state import current_request, request_state
from .runtime import runtime

COOKIE = "accessToken"
# The order of cookies with one name means nothing (RFC 6265, section 4.2.2). Each costs the work of verifying a token.
MAX_COOKIES = 5
BEARER = "bearerAuth"
# A request needs only one of them.
SECURITY_SCHEMES = {
    COOKIE: {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The access token, a JWT"},
    BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access token, a JWT"},
}

logger = logging.getLogger(__name__)


def find_permission() -> Permission | Literal["public"] | None:
    """Return what the request's route declares.

    Where no route of the path takes the request's method, only a 405 can follow: it is public if all routes are.
    """
    request = current_request()
    error = request.routing_exception
    if isinstance(error, MethodNotAllowed):
        permissions = {_find_permission_of(method) for method in error.valid_methods or ()}
        return PUBLIC if permissions == {PUBLIC} else None
    return getattr(flask.current_app.view_functions.get(request.endpoint or ""), "permission", None)


def _find_permission_of(method: str) -> Permission | Literal["public"] | None:
    """Return what the route for a method at the request's path declares, None if there is no such route."""
    adapter = flask.current_app.create_url_adapter(flask.request)
    try:
        endpoint, _ = adapter.match(method=method) if adapter else ("", {})
    except HTTPException:
        # Werkzeug names methods of /payments/{id} at /payments/methods too.
        return None
    return getattr(flask.current_app.view_functions[endpoint], "permission", None)


def check_access() -> None:
    """Let the request pass if its route is public, or if its access token grants the route's permission.

    A preflight passes too: browsers send it without cookies. Raises `NotSignedIn`, and `NotPermitted`, also for a
    request from another origin. Nothing else of the request is validated before.
    """
    request = current_request()
    permission = find_permission()
    if permission == PUBLIC or is_preflight():
        return
    access_token, by_cookie = sign_in()
    state = request_state()
    state.user_id, state.permissions = access_token.user_id, access_token.permissions
    # Browsers add cookies by themselves, but never a Bearer token.
    if by_cookie:
        check_origin()
    if request.routing_exception is not None:
        # Flask raises it next, as a 404 or 405.
        return
    if permission is None:
        raise NotPermitted("This route declares no permission, so no token grants it.")
    if not state.may(permission) and not is_permitted_to_owner():
        raise NotPermitted(f"This needs the permission {permission}, which the access token does not grant.")


def is_permitted_to_owner() -> bool:
    """Tell whether the route has a further permission for whoever made what its path names, and this is who did."""
    owners: Owners | None = getattr(flask.current_app.view_functions[flask.request.endpoint or ""], "owners", None)
    state = request_state()
    if owners is None or state.user_id is None or not state.may(owners.permission):
        return False
    return owners.find_user(**(flask.request.view_args or {})) == state.user_id


def sign_in() -> tuple[AccessToken, bool]:
    """Return the request's valid access token, and whether one of its cookies is valid.

    A valid Bearer token counts first, because it was added on purpose. Otherwise it is the valid cookie that was issued
    last. Raises `NotSignedIn` if the request has no valid token.
    """
    request = current_request()
    cookies = [cookie for cookie in request.cookies.getlist(COOKIE) if cookie][:MAX_COOKIES]
    authorization = request.authorization
    bearer = authorization.token if authorization and authorization.type == "bearer" else None
    rejected: list[TokenRejected] = []
    by_cookie = read_valid(cookies, rejected)
    by_bearer = read_valid([bearer] if bearer else [], rejected)
    valid = by_bearer or by_cookie
    if valid:
        return max(valid, key=lambda token: (token.issued_at, token.expires_at)), bool(by_cookie)
    if not rejected:
        raise NotSignedIn(f"Sign in first: the request carries no {COOKIE} cookie and no Bearer token.")
    reasons = "; ".join(dict.fromkeys(rejection.reason for rejection in rejected))
    logger.warning("Rejected an access token", extra={"reason": reasons})
    # A client refreshes an expired token.
    raise next((rejection for rejection in rejected if rejection.expired), rejected[0])


def read_valid(tokens: list[str], rejected: list[TokenRejected]) -> list[AccessToken]:
    """Return what the valid ones among some tokens grant, and add why the others are rejected."""
    valid = []
    for token in tokens:
        try:
            valid.append(runtime().tokens.read(token))
        except TokenRejected as rejection:
            rejected.append(rejection)
    return valid
