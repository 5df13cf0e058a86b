"""Issuing access tokens, for a technician at the box and for a box without a sign-in service."""
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt

from ..errors import NotPermitted
from .key_formats import SECRET_ALGORITHM
from .keys import KeySource
from .permissions import Permission


def issue_token(
    settings: Mapping[str, Any], source: KeySource, user: str, permissions: Collection[Permission], lifetime: timedelta
) -> str:
    """Return a user's access token that this box accepts; raises `NotPermitted` where the box has only public keys."""
    key = source.current()[0] if source.algorithms == SECRET_ALGORITHM else None
    if key is None:
        raise NotPermitted("This box can only verify access tokens: get one from the service that signs people in.")
    now = datetime.now(timezone.utc)
    claims: dict[str, Any] = {"sub": user, "type": "access", "iat": now, "exp": now + lifetime}
    claims[settings["JWT_PERMISSIONS_CLAIM"]] = [str(permission) for permission in permissions]
    if settings["JWT_ISSUER"]:
        claims["iss"] = settings["JWT_ISSUER"]
    if settings["JWT_AUDIENCE"]:
        claims["aud"] = settings["JWT_AUDIENCE"][0]
    if settings["JWT_REQUIRED_CLAIM"]:
        name, value = settings["JWT_REQUIRED_CLAIM"]
        # A claim that both settings name has to have the permissions and the value.
        claims[name] = [*claims[name], value] if isinstance(claims.get(name), list) else value
    return jwt.encode(claims, key.material, algorithm=key.algorithm)
