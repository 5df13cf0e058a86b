"""Access tokens"""
import time
from typing import Any

import jwt

SECRET = "a secret of the tests, long enough for HS512 too: over 64 bytes, that is"
PERMISSIONS = ["payments_read", "payments_create", "payments_update", "payments_delete"]


def make_token(secret: str = SECRET, algorithm: str | None = "HS256", **claims: Any) -> str:
    """Return a user's token. By default it grants every permission for a minute. A claim of None is left out."""
    claims = {"userId": 12, "exp": int(time.time()) + 60, "permissions": PERMISSIONS} | claims
    return jwt.encode({name: claim for name, claim in claims.items() if claim is not None}, secret, algorithm)
