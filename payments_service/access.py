"""Who may do what: permissions, the blueprint whose routes declare one, access tokens, the check of each request."""
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from time import time
from typing import Any, Final, Literal, NamedTuple

import flask
import flask_smorest
import jwt
from marshmallow import Schema

from . import wire
from .errors import BODY_LIMIT, ErrorSchema, NotPermitted, NotSignedIn, error_body
from .keys import SECRET_ALGORITHM, read_keys
from .origins import SAFE_METHODS, check_origin, is_preflight
from .settings import SettingError

COOKIE = "accessToken"
SECURITY_SCHEMES = {COOKIE: {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A JWT"}}
# Nothing of this size is a token; decoding it would only cost time.
TOKEN_LIMIT = 8 * 1024
EXTENSION = "payments_tokens"
# How many verified tokens are remembered, so that not each request has to verify its own again.
REMEMBERED_TOKENS = 1000
# Which claims name the user: the first that a token has.
USER_CLAIMS = ["userId", "sub"]
# More names nobody, and would not fit into an index.
USER_LENGTH = 255


logger = logging.getLogger(__name__)


class Permission(StrEnum):
    """What a token can grant, by the names of the API page."""

    READ = "payments_read"
    CREATE = "payments_create"
    UPDATE = "payments_update"
    DELETE = "payments_delete"


class NotForAccess(Exception):
    """A token that one of our keys verifies is not one for access; the text quotes nothing of it."""


class AccessToken(NamedTuple):
    """What an access token says: who it was issued to, None if it does not tell, and what that user may do."""

    user_id: str | None
    permissions: frozenset[str]


class Remembered(NamedTuple):
    """A token that was verified, and the seconds since 1970 between which it is good."""

    token: AccessToken
    since: int
    until: int


# What a route that shows nothing of anybody's declares in place of a permission.
PUBLIC: Final = "public"


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose every route declares its permission, for `check_access` and the API document alike."""

    ARGUMENTS_PARSER = wire.StrictParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(self._document_access)

    def route(
        self, rule: str, *, permission: Permission | Literal["public"], **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a view at `rule` for callers whose token grants `permission`."""
        register = super().route(rule, **options)

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            view._apidoc = {**getattr(view, "_apidoc", {}), "permission": permission}  # type: ignore[attr-defined]
            return register(view)

        return decorator

    def arguments(self, schema: type[Schema], **options: Any) -> Callable[..., Any]:
        """Read the arguments of a view by `schema`, of which webargs itself would make another for each request."""
        return super().arguments(schema(), **options)

    @staticmethod
    def _document_access(doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_: Any) -> dict[str, Any]:
        """Add the permission, and what every operation that needs one, takes a body or takes fields can refuse."""
        permission = doc_info["permission"]
        if permission == PUBLIC:
            return doc
        refusals = {
            401: "No access token, or not a good one",
            403: f"The access token does not grant {permission}",
            503: "The database is not available; Retry-After says when to try again",
        }
        if method.upper() not in SAFE_METHODS:
            refusals[403] += ", or a page of another origin made a browser send this"
        if "requestBody" in doc:
            refusals |= {
                400: "The body is not JSON",
                413: f"The body is over {BODY_LIMIT // 1024} KiB",
                415: "The body does not say that it is JSON",
            }
        if 422 in doc["responses"]:
            refusals[422] = "A field is missing, unknown or has a value that is refused"
        for code, further in doc_info.get("further_refusals", {}).items():
            refusals[code] += f", or {further}"
        for code, description in refusals.items():
            doc["responses"][code] = {
                "description": description,
                "content": {"application/json": {"schema": ErrorSchema}},
            }
        doc["responses"][503]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}
        _document_examples(doc["responses"])
        texts = [doc_info["docstring"].get("description"), f"Needs the permission `{permission}`."]
        doc_info["docstring"]["description"] = "\n\n".join(filter(None, texts))
        # OpenAPI 3.1 lets schemes without scopes list what an operation needs here.
        doc["security"] = [{COOKIE: [permission]}]
        return doc


def _document_examples(responses: dict[int, Any]) -> None:
    """Give each refusal an example with its own status; 422 keeps that of `ErrorSchema`, which has a field."""
    for code, response in responses.items():
        if int(code) >= 400 and code != 422:
            example = error_body(int(code), f"{response['description']}.")
            response["content"]["application/json"]["example"] = example


def check_access() -> None:
    """Let the request pass if its route is public, or if its token grants what the route declares.

    `flask.g` then has the token's `user_id`, and `may_read`, whether it may see payments.

    A browser that asks for a trusted page whether it may call has no token yet. Raises `NotSignedIn`, or `NotPermitted`
    also for what a page of another origin sent, before anything else of the request is looked at.
    """
    view = flask.current_app.view_functions.get(flask.request.endpoint or "")
    permission = getattr(view, "_apidoc", {}).get("permission")
    if permission == PUBLIC or is_preflight():
        return
    token = read_token(flask.request.cookies.get(COOKIE))
    flask.g.user_id, flask.g.may_read = token.user_id, Permission.READ in token.permissions
    check_origin()
    if flask.request.routing_exception is not None:
        return
    if permission is None:
        raise NotPermitted("This route declares no permission, so nobody has it.")
    if permission not in token.permissions:
        raise NotPermitted(f"This needs the permission {permission}, which the access token does not grant.")


def read_token(token: str | None) -> AccessToken:
    """Return what an access token (a JWT, RFC 7519) says.

    Raises `NotSignedIn` for none, and for one that none of our keys verifies, has expired, or is not for access.
    """
    if not token:
        raise NotSignedIn(f"Sign in first: the request carries no {COOKIE} cookie.")
    app = flask.current_app
    try:
        if len(token) > TOKEN_LIMIT:
            raise NotForAccess("too long")
        return _remembered(token, app.extensions[EXTENSION], app.config)
    except Exception as error:
        # Whatever else a text from outside leads to while it is taken apart, it is no token of ours. What libraries say
        # of it may quote it.
        reason = str(error) if isinstance(error, NotForAccess) else type(error).__name__
        if isinstance(error, jwt.MissingRequiredClaimError):
            reason = f"no {error.claim}"
        logger.warning("Refused an access token", extra={"reason": reason})
        expired = isinstance(error, jwt.ExpiredSignatureError)
    raise NotSignedIn("The access token has expired: refresh it." if expired else "The access token is not valid.")


def _remembered(token: str, memory: dict[bytes, Remembered], config: dict[str, Any]) -> AccessToken:
    """Return what a good token says, as it was remembered, or else after verifying it; raises what verifying does.

    The memory is an application's own, whose keys and settings stay as they are. It holds no token, but a hash of each.
    """
    digest = hashlib.sha256(token.encode()).digest()
    known = memory.get(digest)
    if known and known.since <= time() < known.until:
        return known.token
    claims = _verified_claims(token, config)
    access = AccessToken(_user_of(claims), _granted(claims, config["ROLE_PERMISSIONS"]))
    if len(memory) >= REMEMBERED_TOKENS:
        memory.clear()
    leeway = config["JWT_LEEWAY"]
    # As PyJWT reads them.
    since = max(int(claims.get(name, 0)) for name in ("nbf", "iat"))
    memory[digest] = Remembered(access, since - leeway, int(claims["exp"]) + leeway)
    return access


def _verified_claims(token: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a token that one of our keys verifies; raises a `jwt.InvalidTokenError`, and more."""
    for key in config["JWT_KEYS"].verifying:
        try:
            return jwt.decode(
                token,
                key,
                # Ours, whatever the token says of itself.
                algorithms=[config["JWT_KEYS"].algorithm],
                issuer=config["JWT_ISSUER"],
                audience=config["JWT_AUDIENCE"],
                leeway=config["JWT_LEEWAY"],
                options={
                    "require": ["exp"],
                    "verify_aud": config["JWT_AUDIENCE"] is not None,
                    # Issuers that count their users and tokens put numbers there.
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
    raise jwt.InvalidSignatureError


def _granted(claims: dict[str, Any], role_permissions: dict[str, list[str]]) -> frozenset[str]:
    """Return the permissions that verified claims grant; raises `NotForAccess` if they are not an access token's."""
    scope = claims.get("scope", "")
    permissions = claims.get("permissions", [])
    role = claims.get("role", "")
    if claims.get("type", "access") != "access" or "wallet_access" in str(scope).lower():
        raise NotForAccess("another kind of token")
    if not isinstance(scope, (str, list)) or not isinstance(role, str) or not isinstance(permissions, list):
        raise NotForAccess("claims of another shape")
    if not all(isinstance(name, str) for name in permissions):
        raise NotForAccess("claims of another shape")
    return frozenset(Permission) & {*permissions, *role_permissions.get(role, ())}


def _user_of(claims: dict[str, Any]) -> str | None:
    """Return who a token was issued to; raises `NotForAccess` for what names nobody that a record could name."""
    for name in USER_CLAIMS:
        user = claims.get(name)
        if user in (None, ""):
            continue
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not isinstance(user, str) or not user.isprintable() or len(user) > USER_LENGTH:
            raise NotForAccess("claims of another shape")
        return user
    return None


def issue_token(settings: dict[str, Any], lifetime: timedelta) -> str:
    """Return an access token with every permission, good for `lifetime`, for a technician at the box.

    Raises `NotPermitted` where the box has public keys alone.
    """
    keys = settings["JWT_KEYS"]
    if keys.algorithm != SECRET_ALGORITHM:
        raise NotPermitted("This box can only verify access tokens: get one from the service that signs people in.")
    now = datetime.now(timezone.utc)
    claims = {"sub": "technician", "type": "access", "permissions": list(Permission), "iat": now, "exp": now + lifetime}
    if settings["JWT_ISSUER"]:
        claims["iss"] = settings["JWT_ISSUER"]
    if settings["JWT_AUDIENCE"]:
        claims["aud"] = settings["JWT_AUDIENCE"]
    return jwt.encode(claims, keys.verifying[0], algorithm=keys.algorithm)


def init_app(app: flask.Flask) -> None:
    """Check every request to `app`.

    Raises `SettingError` for keys that are not taken, and for a role with a permission that does not exist.
    """
    app.config["JWT_KEYS"] = read_keys(app.config)
    for role, permissions in app.config["ROLE_PERMISSIONS"].items():
        for name in permissions:
            if name not in list(Permission):
                raise SettingError(f"PAYMENTS_ROLE_PERMISSIONS gives {role!r} an unknown permission: {name!r}")
    app.extensions[EXTENSION] = {}
    app.before_request(check_access)
