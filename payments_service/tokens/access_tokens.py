"""Verifying access tokens, and what their claims grant."""
import hashlib
import logging
from collections.abc import Mapping
from time import time
from typing import Any, NamedTuple

import jwt

from ..errors import NotSignedIn, SettingError
from .keys import Keys
from .permissions import Permission

# A longer text is not decoded: no access token is that long.
MAX_TOKEN_LENGTH = 8 * 1024
MAX_CACHED_TOKENS = 1000
# The claims that name the user: the first that the token has counts.
USER_CLAIMS = ["userId", "sub"]
# A longer user id would not fit into PostgreSQL's index.
MAX_USER_LENGTH = 255

logger = logging.getLogger(__name__)


class NotAnAccessToken(Exception):
    """A key verifies the token, but it is not an access token; the message quotes nothing of it."""


class AccessToken(NamedTuple):
    """The user that a token was issued to, None if it names none, and the permissions that it grants."""

    user_id: str | None
    permissions: frozenset[Permission]


class CachedToken(NamedTuple):
    """A verified token and when it is valid, in seconds since 1970."""

    token: AccessToken
    valid_from: int
    valid_until: int


class TokenReader:
    """Verifies the access tokens of one application. Caches them by hash, so that it holds no token."""

    def __init__(self, settings: Mapping[str, Any], keys: Keys) -> None:
        """Raise `SettingError` for a role with an unknown permission."""
        for role, permissions in settings["ROLE_PERMISSIONS"].items():
            for name in permissions:
                if name not in list(Permission):
                    raise SettingError(f"PAYMENTS_ROLE_PERMISSIONS gives {role!r} an unknown permission: {name!r}")
        self.keys = keys
        self._issuer = settings["JWT_ISSUER"]
        self._audience = settings["JWT_AUDIENCE"]
        self._leeway_seconds: int = settings["JWT_LEEWAY"]
        self._role_permissions: dict[str, list[str]] = settings["ROLE_PERMISSIONS"]
        self._cache: dict[bytes, CachedToken] = {}

    def read(self, token: str) -> AccessToken:
        """Return what a token grants, and to whom.

        Raises `NotSignedIn` for a token that is expired, that no key verifies, or that is not an access token.
        """
        try:
            return self._read_cached(token)
        # Whatever a text from outside leads to while it is decoded, it is not a valid token.
        except Exception as error:
            logger.warning("Rejected an access token", extra={"reason": _explain(error)})
            expired = isinstance(error, jwt.ExpiredSignatureError)
        raise NotSignedIn(
            "The access token has expired: refresh it." if expired else "The access token is not valid."
        )

    def _read_cached(self, token: str) -> AccessToken:
        if len(token) > MAX_TOKEN_LENGTH:
            raise NotAnAccessToken("too long")
        digest = hashlib.sha256(token.encode()).digest()
        cached = self._cache.get(digest)
        if cached and cached.valid_from <= time() < cached.valid_until:
            return cached.token
        claims = self._verify(token)
        access_token = AccessToken(_read_user(claims), self._read_permissions(claims))
        if len(self._cache) >= MAX_CACHED_TOKENS:
            self._cache.clear()
        # PyJWT converts these claims in the same way.
        valid_from = max(int(claims.get(name, 0)) for name in ("nbf", "iat")) - self._leeway_seconds
        self._cache[digest] = CachedToken(access_token, valid_from, int(claims["exp"]) + self._leeway_seconds)
        return access_token

    def _verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that one of the keys verifies; raises `jwt.InvalidTokenError`, and more."""
        for key in self.keys.verifying:
            try:
                return jwt.decode(
                    token,
                    key,
                    # The key's algorithm, whatever the token's header says (RFC 8725, section 3.1).
                    algorithms=[self.keys.algorithm],
                    issuer=self._issuer,
                    audience=self._audience,
                    leeway=self._leeway_seconds,
                    options={
                        "require": ["exp"],
                        "verify_aud": self._audience is not None,
                        # Some issuers put numbers into sub and jti, which PyJWT rejects.
                        "verify_sub": False,
                        "verify_jti": False,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
        raise jwt.InvalidSignatureError

    def _read_permissions(self, claims: dict[str, Any]) -> frozenset[Permission]:
        """Return the permissions that verified claims grant; raises `NotAnAccessToken`."""
        scope = claims.get("scope", "")
        permissions = claims.get("permissions", [])
        role = claims.get("role", "")
        if claims.get("type", "access") != "access" or "wallet_access" in str(scope).lower():
            raise NotAnAccessToken("another type of token")
        if not isinstance(scope, (str, list)) or not isinstance(role, str) or not isinstance(permissions, list):
            raise NotAnAccessToken("a claim has the wrong type")
        if not all(isinstance(name, str) for name in permissions):
            raise NotAnAccessToken("a claim has the wrong type")
        granted = {*permissions, *self._role_permissions.get(role, ())}
        return frozenset(permission for permission in Permission if permission in granted)


def _explain(error: Exception) -> str:
    """Return why a token was rejected, without the text of a library, which may quote the token."""
    if isinstance(error, NotAnAccessToken):
        return str(error)
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"no {error.claim}"
    return type(error).__name__


def _read_user(claims: dict[str, Any]) -> str | None:
    """Return the user that a token was issued to; raises `NotAnAccessToken` for an id that cannot be recorded."""
    for name in USER_CLAIMS:
        user = claims.get(name)
        if user in (None, ""):
            continue
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not isinstance(user, str) or not user.isprintable() or len(user) > MAX_USER_LENGTH:
            raise NotAnAccessToken("a claim has the wrong type")
        return user
    return None
