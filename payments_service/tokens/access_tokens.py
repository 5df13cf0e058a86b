"""Verifying access tokens."""
import hashlib
import re
from collections.abc import Mapping
from time import time
from typing import Any, NamedTuple

import jwt

from ..errors import PaymentsError, TokenRejected
from .claims import AccessToken, ClaimsReader
from .key_formats import Key, Keys
from .keys import KeySource

# A longer text is not decoded: no access token is that long.
MAX_TOKEN_LENGTH = 8 * 1024
MAX_CACHED_TOKENS = 1000
# A token that is valid for longer has its `exp` in milliseconds, or never expires.
MAX_LIFETIME_SECONDS = 10 * 366 * 24 * 3600
# How PyJWT's messages name the claim that is wrong.
NAMED_CLAIM = re.compile(r"\((exp|nbf|iat)\)")


class CachedToken(NamedTuple):
    """A verified token and when it is valid, in seconds since 1970."""

    token: AccessToken
    valid_from: int
    valid_until: int


class Cache(NamedTuple):
    """The tokens that these keys have verified, by their hashes. It ends with the keys."""

    keys: Keys
    tokens: dict[bytes, CachedToken]


class Decoder(jwt.PyJWT):
    """PyJWT, for which a claim that is null counts as absent."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        claims = super()._decode_payload(decoded)
        return {name: claim for name, claim in claims.items() if claim is not None}


class TokenReader:
    """Verifies the access tokens of one application. Caches them by hash, so that it holds no token."""

    def __init__(self, settings: Mapping[str, Any], source: KeySource) -> None:
        """Raise `SettingError` for a role with an unknown permission."""
        self.source = source
        self._claims = ClaimsReader(settings)
        self._decoder = Decoder()
        self._issuer: str | None = settings["JWT_ISSUER"]
        self._audiences: tuple[str, ...] | None = settings["JWT_AUDIENCE"]
        self._leeway_seconds: int = settings["JWT_LEEWAY"]
        self._cache = Cache((), {})

    def read(self, token: str) -> AccessToken:
        """Return what a token grants, and to whom.

        Raises `TokenRejected` for a token that is expired, that no key verifies, or that is not an access token.
        Raises `KeysUnavailable` where there are no keys.
        """
        try:
            return self._read_cached(token)
        except PaymentsError:
            raise
        # Whatever a text from outside leads to while it is decoded, it is not a valid token.
        except Exception as error:
            raise TokenRejected(_explain(error), isinstance(error, jwt.ExpiredSignatureError)) from None

    def _read_cached(self, token: str) -> AccessToken:
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenRejected("the token is too long")
        cache = self._current_cache()
        digest = hashlib.sha256(token.encode()).digest()
        cached = cache.tokens.get(digest)
        if cached and cached.valid_from <= time() < cached.valid_until:
            return cached.token
        header = jwt.get_unverified_header(token)
        if not _find_keys(cache.keys, header):
            self.source.renew()
            cache = self._current_cache()
        claims = self._verify(token, header, cache.keys)
        access_token = self._claims.read(header, claims)
        if len(cache.tokens) >= MAX_CACHED_TOKENS:
            cache.tokens.clear()
        valid_from = max(int(claims.get("nbf", 0)), access_token.issued_at) - self._leeway_seconds
        cache.tokens[digest] = CachedToken(access_token, valid_from, access_token.expires_at + self._leeway_seconds)
        return access_token

    def _current_cache(self) -> Cache:
        """Return the cache of the current keys, an empty one if they have changed."""
        keys = self.source.current()
        cache = self._cache
        if cache.keys is not keys:
            cache = self._cache = Cache(keys, {})
        return cache

    def _verify(self, token: str, header: dict[str, Any], keys: Keys) -> dict[str, Any]:
        """Return the claims of a token that one of the keys verifies; raises `jwt.InvalidTokenError`, and more."""
        fitting = _find_keys(keys, header)
        if not fitting:
            known = sorted({key.algorithm for key in keys})
            same_algorithm = header.get("alg") in known
            raise TokenRejected("kid names no key" if same_algorithm else f"alg is not {' or '.join(known)}")
        for key in fitting:
            try:
                claims = self._decode(token, key)
            except jwt.InvalidSignatureError:
                continue
            if int(claims["exp"]) > time() + MAX_LIFETIME_SECONDS:
                raise TokenRejected("exp is more than ten years ahead")
            return claims
        raise jwt.InvalidSignatureError

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        return self._decoder.decode(
            token,
            key.material,
            # The key's algorithm, whatever the token's header says (RFC 8725, section 3.1).
            algorithms=[key.algorithm],
            issuer=self._issuer,
            audience=self._audiences,
            leeway=self._leeway_seconds,
            options={
                "require": ["exp"],
                "verify_aud": self._audiences is not None,
                # Some issuers put numbers into sub and jti, which PyJWT rejects.
                "verify_sub": False,
                "verify_jti": False,
            },
        )


def _find_keys(keys: Keys, header: dict[str, Any]) -> list[Key]:
    """Return the keys that a token's unverified header allows: of its algorithm and, where both have an id, its id."""
    kid = header.get("kid")
    return [
        key for key in keys if key.algorithm == header.get("alg") and (kid is None or key.kid is None or key.kid == kid)
    ]


def _explain(error: Exception) -> str:
    """Return why a token was rejected, without the text of a library, which may quote the token."""
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"{error.claim} is missing"
    if isinstance(error, jwt.ExpiredSignatureError):
        return "exp has passed"
    if isinstance(error, jwt.InvalidIssuerError):
        return "iss is not PAYMENTS_JWT_ISSUER"
    if isinstance(error, jwt.InvalidAudienceError):
        return "aud is not in PAYMENTS_JWT_AUDIENCE"
    if isinstance(error, jwt.InvalidSignatureError):
        return "no key verifies the signature"
    named = NAMED_CLAIM.search(str(error))
    if isinstance(error, jwt.ImmatureSignatureError):
        return f"{named[1] if named else 'nbf or iat'} is in the future"
    return f"{named[1]} is not a number" if named else "the token is malformed"
