"""Access tokens"""
import base64
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

import jwt

SECRET = "a secret of the tests, long enough for HS512 too: over 64 bytes, that is"
PERMISSIONS = ["payments_read", "payments_create", "payments_update", "payments_delete"]


def make_token(
    secret: Any = SECRET,
    algorithm: str | None = "HS256",
    headers: dict[str, Any] | None = None,
    null: Sequence[str] = (),
    **claims: Any,
) -> str:
    """Return a user's token. By default it grants every permission for a minute.

    A claim of None is left out, and each claim of `null` is null.
    """
    claims = {"userId": 12, "exp": int(time.time()) + 60, "permissions": PERMISSIONS} | claims
    claims = {name: claim for name, claim in claims.items() if claim is not None} | dict.fromkeys(null)
    # Not jwt.encode, which rejects some claims that other issuers make.
    return jwt.PyJWS().encode(json.dumps(claims).encode(), secret, algorithm, headers)


def in_a_day() -> int:
    """Return when a token for a long run expires, in seconds since 1970."""
    return int(time.time()) + 24 * 3600


def signed_by_text(text: str) -> str:
    """Return a token signed by HMAC with a public key's text, which a careless verifier would accept."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"exp": int(time.time()) + 60, "permissions": PERMISSIONS})
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.digest(text.encode(), signed, "sha256")
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
