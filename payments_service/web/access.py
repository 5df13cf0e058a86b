"""The check of every request: is it signed in, and does its token grant the permission that the route declares?"""
import flask

from ..errors import NotPermitted, NotSignedIn
from .blueprint import PUBLIC
from .origins import check_origin, is_preflight
from .request_state import request_state
from .runtime import runtime

COOKIE = "accessToken"
SECURITY_SCHEMES = {COOKIE: {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A JWT"}}


def check_access() -> None:
    """Let the request pass if its route is public, or if its access token grants the route's permission.

    A preflight passes too: browsers send it without cookies. Raises `NotSignedIn`, and `NotPermitted`, also for a
    request from another origin. Nothing else of the request is validated before.
    """
    request = flask.request
    view = flask.current_app.view_functions.get(request.endpoint or "")
    permission = getattr(view, "permission", None)
    if permission == PUBLIC or is_preflight():
        return
    token = request.cookies.get(COOKIE)
    if not token:
        raise NotSignedIn(f"Sign in first: the request carries no {COOKIE} cookie.")
    access_token = runtime().tokens.read(token)
    state = request_state()
    state.user_id, state.permissions = access_token.user_id, access_token.permissions
    check_origin()
    if request.routing_exception is not None:
        # Flask raises it next, as a 404 or 405.
        return
    if permission is None:
        raise NotPermitted("This route declares no permission, so no token grants it.")
    if not state.may(permission):
        raise NotPermitted(f"This needs the permission {permission}, which the access token does not grant.")
