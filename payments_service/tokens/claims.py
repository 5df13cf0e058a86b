"""What the claims of a verified token say: whether it is an access token, whose it is, and what it grants."""
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import SettingError, TokenRejected
from .permissions import Permission

# The claims that issuers use to tell their types of tokens apart, and the values that access tokens have there.
TYPE_CLAIMS = ["type", "token_type", "tokenType", "token_use", "tokenUse", "typ", "purpose"]
ACCESS_TYPES = {"access", "bearer", "jwt", "at+jwt"}
# The claims that name the user: the first that the token has counts.
USER_CLAIMS = ["userId", "sub"]
# A longer user id would not fit into PostgreSQL's index.
MAX_USER_LENGTH = 255
# Claims with a string of names separated by spaces (RFC 8693, section 4.2).
SCOPE_CLAIMS = {"scope", "scopes", "scp"}
# It has always been a list.
PERMISSIONS_CLAIM = "permissions"

Claims = Mapping[str, Any]


class AccessToken(NamedTuple):
    """The user that a token was issued to, None if it names none, and the permissions that it grants."""

    user_id: str | None
    permissions: frozenset[Permission]
    # In seconds since 1970; 0 if the token does not say when it was issued.
    issued_at: int
    expires_at: int


class ClaimsReader:
    """Reads claims by the settings of one application."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Raise `SettingError` for a role with an unknown permission."""
        self._role_permissions: dict[str, list[str]] = settings["ROLE_PERMISSIONS"]
        for role, permissions in self._role_permissions.items():
            for name in permissions:
                if name not in list(Permission):
                    raise SettingError(f"PAYMENTS_ROLE_PERMISSIONS gives {role!r} an unknown permission: {name!r}")
        self._permissions_claim: str = settings["JWT_PERMISSIONS_CLAIM"]
        self._role_claim: str = settings["JWT_ROLE_CLAIM"]
        self._required: tuple[str, str] | None = settings["JWT_REQUIRED_CLAIM"]

    def read(self, header: Claims, claims: Claims) -> AccessToken:
        """Return what the header and the claims of a verified token say. A claim that is null counts as absent.

        Raises `TokenRejected` for another type of token, and for a claim of the wrong type.
        """
        _check_type(header, claims)
        self._check_required(header, claims)
        # PyJWT converts these claims in the same way.
        issued_at, expires_at = int(claims.get("iat", 0)), int(claims["exp"])
        return AccessToken(_read_user(claims), self._read_permissions(claims), issued_at, expires_at)

    def _check_required(self, header: Claims, claims: Claims) -> None:
        """Check that the claim that the settings require has their value, or is a list with that value."""
        if self._required is None:
            return
        name, value = self._required
        found = find_claim(claims, name)
        if found is None and name == "typ":
            # RFC 8725, section 3.11, puts the explicit type into the header.
            found = header.get(name)
        if found is None:
            raise TokenRejected(f"{name} is missing")
        candidates = found if isinstance(found, list) else [found, *_split_scope(name, found)]
        if value not in [_to_text(candidate) for candidate in candidates]:
            raise TokenRejected(f"{name} is not that of PAYMENTS_JWT_REQUIRED_CLAIM")

    def _read_permissions(self, claims: Claims) -> frozenset[Permission]:
        name, found = self._permissions_claim, find_claim(claims, self._permissions_claim)
        if isinstance(found, str) and name != PERMISSIONS_CLAIM:
            found = found.split()
        granted = set(_check_names(name, found))

        name, found = self._role_claim, find_claim(claims, self._role_claim)
        if isinstance(found, str):
            found = [found, *_split_scope(name, found)]
        for role in _check_names(name, found):
            granted.update(self._role_permissions.get(role, ()))
        return frozenset(permission for permission in Permission if permission in granted)


def find_claim(claims: Claims, path: str) -> Any:
    """Return a claim by its name, or by the names on the way to it: `realm_access.roles`. None if it is absent.

    Names may contain dots themselves: `https://pos.example/roles`.
    """
    if path in claims:
        return claims[path]
    for dot, character in enumerate(path):
        inner = claims.get(path[:dot]) if character == "." else None
        if isinstance(inner, dict):
            found = find_claim(inner, path[dot + 1:])
            if found is not None:
                return found
    return None


def is_valid_user(user: str) -> bool:
    """Tell whether a user's id can be recorded and logged."""
    return user.isprintable() and 0 < len(user) <= MAX_USER_LENGTH


def _check_type(header: Claims, claims: Claims) -> None:
    """Raise `TokenRejected` for a token of another type, which the same key may have signed (RFC 8725, 3.12)."""
    for name in TYPE_CLAIMS:
        if not _is_access_type(claims.get(name)):
            raise TokenRejected(f"{name} is not that of an access token")
    if not _is_access_type(header.get("typ")):
        raise TokenRejected("typ in the header is not that of an access token")
    scope = claims.get("scope", "")
    if not isinstance(scope, (str, list)):
        raise TokenRejected("scope has the wrong type")
    if "wallet_access" in str(scope).lower():
        raise TokenRejected("scope is that of a wallet token")


def _is_access_type(value: Any) -> bool:
    """Tell whether a type is absent or that of an access token. Types are media types (RFC 7515, section 4.1.9)."""
    if value is None:
        return True
    return isinstance(value, str) and value.lower().removeprefix("application/") in ACCESS_TYPES


def _read_user(claims: Claims) -> str | None:
    """Return the user that a token was issued to; raises `TokenRejected` for an id that cannot be recorded."""
    for name in USER_CLAIMS:
        user = claims.get(name)
        if user in (None, ""):
            continue
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not isinstance(user, str) or not is_valid_user(user):
            raise TokenRejected(f"{name} is not the id of a user")
        return user
    return None


def _check_names(claim: str, found: Any) -> list[str]:
    """Return a claim's list of names, empty if the claim is absent; raises `TokenRejected` for anything else."""
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise TokenRejected(f"{claim} has the wrong type")
    return found


def _split_scope(claim: str, found: Any) -> list[str]:
    """Return the names in a scope, none for another claim: the name of a role may contain spaces."""
    return found.split() if isinstance(found, str) and claim.rpartition(".")[2] in SCOPE_CLAIMS else []


def _to_text(value: Any) -> str:
    """Return a value of a claim as a setting spells it."""
    return value if isinstance(value, str) else json.dumps(value)
