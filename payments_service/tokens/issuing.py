"""Issuing access tokens, for a technician at the box."""
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt

from ..errors import NotPermitted
from .keys import SECRET_ALGORITHM, Keys
from .permissions import Permission


def issue_token(settings: Mapping[str, Any], keys: Keys, lifetime: timedelta) -> str:
    """Return an access token with every permission; raises `NotPermitted` where the box has only public keys."""
    if keys.algorithm != SECRET_ALGORITHM:
        raise NotPermitted("This box can only verify access tokens: get one from the service that signs people in.")
    now = datetime.now(timezone.utc)
    claims = {"sub": "technician", "type": "access", "permissions": list(Permission), "iat": now, "exp": now + lifetime}
    if settings["JWT_ISSUER"]:
        claims["iss"] = settings["JWT_ISSUER"]
    if settings["JWT_AUDIENCE"]:
        claims["aud"] = settings["JWT_AUDIENCE"]
    return jwt.encode(claims, keys.verifying[0], algorithm=keys.algorithm)
